"""One ranking out of several arms."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, UsageError
from datastore.checks import integer
from datastore.hits import rank
from datastore.request import LARGEST_K

from .bm25 import bm25
from .dense import dense
from .explain import ChainHits, common_route, common_spans, noted, total_ms
from .parameters import number, written
from .protocol import Chain, Retriever, check_request


@dataclass(frozen=True, repr=False)
class Fusion(ABC):
    """Ranks passages by the sum of what each arm gives them.

    Attributes
    ----------
    arms
        Chains of any kind, fusions included.
    depth
        Hits asked of each arm; raised to k where more hits than that are wanted.
    """

    arms: tuple[Chain, ...] = (dense, bm25)
    depth: int = 100

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for arm in self.arms:
            if not isinstance(arm, Chain):
                raise UsageError(
                    f"{arm!r} cannot be an arm of {self.name}", hint="arms are chains: rrf(dense, bm25)"
                )
        object.__setattr__(self, "depth", integer("depth", self.depth, at_least=1))

    def __repr__(self) -> str:
        return written(self.name, self, *self.arms)

    def on(self, store: Datastore) -> FusionRetriever:
        return FusionRetriever(self, store, tuple(arm.on(store) for arm in self.arms))

    @abstractmethod
    def shares(self, scores: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        """What each arm gives each of its hits, from their (nq, depth) scores; where there is no hit, anything."""


@dataclass(frozen=True, repr=False)
class ReciprocalRankFusion(Fusion):
    """Sum of 1 / (k + rank), ranks from 1.

    Cormack et al., "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods"
    (SIGIR 2009).
    """

    k: int = 60

    name: ClassVar[str] = "rrf"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "k", integer("k", self.k, at_least=0))

    def __call__(self, *arms: Chain, k: int = k, depth: int = Fusion.depth) -> ReciprocalRankFusion:
        """A chain of these arms (none: dense and bm25); a parameter that is not given has its default."""
        return ReciprocalRankFusion(arms or Fusion.arms, depth, k)

    def shares(self, scores: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        return [np.broadcast_to(1.0 / (self.k + np.arange(1, arm.shape[1] + 1)), arm.shape) for arm in scores]


@dataclass(frozen=True, repr=False)
class WeightedFusion(Fusion):
    """Weighted mean of scores, each arm's scaled per query to [0, 1] by the least and the greatest of its hits.

    Lee, "Analyses of Multiple Evidence Combination" (SIGIR 1997); Bruch et al., "An Analysis of Fusion Functions
    for Hybrid Retrieval" (TOIS 2023). A passage that an arm did not return gets 0 from it; an arm whose hits all
    score the same gives each of them 1.

    Attributes
    ----------
    weights
        One per arm, not negative, not all 0; only their proportions matter. None: equal.
    """

    weights: Sequence[float] | None = None

    name: ClassVar[str] = "weighted"

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.weights
        if given is None:
            return
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise UsageError(f"weights must be one number per arm, got {given!r}", hint="weights=(0.4, 0.6)")
        weights = tuple(number("a weight", weight) for weight in given)
        if len(weights) != len(self.arms):
            raise UsageError(
                f"weights must be one number per arm, got {len(weights)} for {len(self.arms)} arms"
            )
        if min(weights) < 0 or max(weights) == 0:
            raise UsageError(f"weights must not be negative, nor all 0, got {weights}")
        object.__setattr__(self, "weights", weights)

    def __call__(
        self, *arms: Chain, weights: Sequence[float] | None = weights, depth: int = Fusion.depth
    ) -> WeightedFusion:
        """A chain of these arms (none: dense and bm25); a parameter that is not given has its default."""
        return WeightedFusion(arms or Fusion.arms, depth, weights)

    def shares(self, scores: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        weights = self.weights or [1.0] * len(self.arms)
        return [_scaled(arm) * (weight / sum(weights)) for weight, arm in zip(weights, scores, strict=True)]


@dataclass(frozen=True)
class FusionRetriever:
    chain: Fusion
    store: Datastore
    arms: tuple[Retriever, ...]

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> ChainHits:
        texts = check_request(queries, k)
        depth = min(max(self.chain.depth, k), max(len(self.store), 1))
        found = [arm.retrieve(texts, depth, where, explain) for arm in self.arms]
        if len({hits.version for hits in found}) > 1:
            raise UsageError(
                "the store has moved on since the chain was bound to it: rows of two versions cannot be fused",
                hint="bind it again: chain.on(store)",
            )
        started = time.perf_counter()
        rows = np.concatenate([hits.rows for hits in found], axis=1)
        shares = np.concatenate(self.chain.shares([hits.scores for hits in found]), axis=1)
        rows, scores = rank(*_sum_by_row(rows, shares), min(k, max(depth, LARGEST_K)))
        spent = {"fuse": (time.perf_counter() - started) * 1e3}
        fused = ChainHits(
            found[0].version,
            rows,
            scores,
            found[0].reader,
            total_ms([*(hits.timings_ms for hits in found), spent]),
            common_route(found),
            spans=common_spans(found),
        )
        return noted(fused, str(self.chain), spent, found) if explain else fused


def _scaled(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each line of (nq, m) scores on [0, 1], -inf left out; 1 where they are all the same."""
    found = np.isfinite(scores)
    least = scores.min(axis=1, keepdims=True, where=found, initial=np.inf).astype(np.float64)
    greatest = scores.max(axis=1, keepdims=True, where=found, initial=-np.inf).astype(np.float64)
    scaled = np.ones(scores.shape)
    np.divide(scores - least, greatest - least, out=scaled, where=found & (greatest > least))
    return scaled


def _sum_by_row(
    rows: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The distinct rows of each line of (nq, m) with the sums of their shares; every other place has row -1."""
    order = np.argsort(rows, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    shares = np.take_along_axis(shares, order, axis=1)
    first = np.ones(rows.shape, dtype=np.bool_)
    first[:, 1:] = rows[:, 1:] != rows[:, :-1]
    sums = np.zeros(rows.shape, dtype=np.float32)
    sums[first] = np.add.reduceat(shares.ravel(), np.flatnonzero(first))
    return np.where(first, rows, -1), sums


rrf = ReciprocalRankFusion()
weighted = WeightedFusion()
