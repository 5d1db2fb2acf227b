"""What every fusion does: ask all arms, add up what each gives a passage, rank by the sums."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, Hits, UsageError
from datastore.checks import integer
from datastore.hits import rank
from datastore.request import LARGEST_K

from ..bm25 import bm25
from ..dense import dense
from ..explain import ChainHits, common_paths, common_route, common_spans, noted, total_ms
from ..parameters import written
from ..protocol import Chain, MovedOnError, Retriever, check_request, of_one_version


class Shares(NamedTuple):
    """What arms give their hits; where there is no hit, anything."""

    of_arms: Sequence[NDArray[np.float64]]  # of each arm (nq, depth)
    weights: NDArray[np.float64] | None = None  # (nq, arms), of a fusion that weighs them


@dataclass(frozen=True, repr=False)
class Fusion(ABC):
    """Ranks passages by the sum of what each arm gives them.

    Attributes
    ----------
    arms
        Chains of any kind, fusions included.
    depth
        Hits of each arm that decide about the order. Where more are wanted than they give, those that deeper ones lead
        to follow, at most with the last one's score: what comes first does not depend on k.
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
    def shares(self, queries: Sequence[str], found: Sequence[Hits]) -> Shares:
        """What each arm gives each of its hits; `found` are the hits of each arm for all queries."""


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
        width = min(k, max(depth, LARGEST_K))
        found = of_one_version(lambda: self._ask(texts, depth, where, explain))
        started = time.perf_counter()
        shares = self.chain.shares(texts, [_cut(hits, self.chain.depth) for hits in found])
        rows, scores = _fused([hits.rows[:, : self.chain.depth] for hits in found], shares, width)
        if depth > self.chain.depth:
            deeper = _fused([hits.rows for hits in found], self.chain.shares(texts, found), width)
            rows, scores = _continued(rows, scores, *deeper)
        spent = {"fuse": (time.perf_counter() - started) * 1e3}
        fused = ChainHits(
            found[0].version,
            rows,
            scores,
            found[0].reader,
            total_ms([*(hits.timings_ms for hits in found), spent]),
            common_route(found),
            spans=common_spans(found),
            paths=common_paths(found),
        )
        return noted(fused, str(self.chain), spent, found, shares.weights) if explain else fused

    def _ask(self, texts: list[str], depth: int, where: str | None, explain: bool) -> list[Hits]:
        """The hits of each arm, all of one version."""
        found = [arm.retrieve(texts, depth, where, explain) for arm in self.arms]
        if len({hits.version for hits in found}) > 1:
            raise MovedOnError
        return found


def _cut(hits: Hits, depth: int) -> Hits:
    if hits.rows.shape[1] <= depth:
        return hits
    return replace(hits, rows=hits.rows[:, :depth], scores=hits.scores[:, :depth])


def _fused(
    rows: Sequence[NDArray[np.int64]], shares: Shares, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return rank(*sum_by_row(np.concatenate(rows, axis=1), np.concatenate(shares.of_arms, axis=1)), width)


def _continued(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    deeper_rows: NDArray[np.int64],
    deeper_scores: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each line with what the deeper one has besides, in its order, as far as there is room."""
    rows, scores = rows.copy(), scores.copy()
    for line in np.flatnonzero((rows[:, -1:] < 0).any(axis=1)).tolist():
        full = int((rows[line] >= 0).sum())
        new = (deeper_rows[line] >= 0) & ~np.isin(deeper_rows[line], rows[line, :full])
        count = min(int(new.sum()), rows.shape[1] - full)
        last = scores[line, full - 1] if full else np.inf
        rows[line, full : full + count] = deeper_rows[line][new][:count]
        scores[line, full : full + count] = np.minimum(deeper_scores[line][new][:count], last)
    return rows, scores


def sum_by_row(
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
