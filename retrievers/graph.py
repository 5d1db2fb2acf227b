"""Hits with what is linked to the best of them: facts that no query names are a step or two away from those it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, Hits, UsageError
from datastore.checks import integer
from datastore.errors import nearest
from datastore.features import FeatureIndex, searching
from datastore.hits import padded, rank
from datastore.index.graph import Adjacency, EdgeKind, Walk

from .explain import ChainHits, Step, revised
from .parameters import check_name, number, written
from .selectors import Selector, snapshot_of

LEAST_EDGES_PER_DOCUMENT = 0.1
"""Of the kinds that are followed. Below it the graph is too thin to say anything, and the hits stay as they are."""

_CANDIDATES = 100  # hits that decide: what comes first does not depend on k
_WALKED = 1_000  # places of the walk that count
_RANK_CONSTANT = 10
_LEAST_SEED_WEIGHT = 0.1


@dataclass(frozen=True, repr=False)
class Graph(Selector):
    """What a random walk from the best hits reaches, fused with the hits by rank.

    Personalised PageRank (Haveliwala, WWW 2002; for retrieval from a graph of passages Gutiérrez et al., "HippoRAG", NeurIPS
    2024) from a few seeds: many seeds lead everywhere. The seeds stay on top in their order, so that nothing replaces what
    was found best; behind them each passage has 1 / (10 + rank) of its place among the hits, and `weight` times that of its
    place in the walk. A query from whose seeds no edge leads keeps its hits and their scores, and so does every query
    where the store has fewer than a tenth of an edge a document; edges of the user's own are followed however few.

    What the walk passes and what it brings in fulfils the filter of the search.

    Attributes
    ----------
    seeds
        Best hits that the walk starts from, each by its score.
    damping
        Probability that the walk goes on to a linked passage instead of back to a seed.
    hops
        How many edges away from the seeds it may lead.
    weight
        What the place in the walk counts beside the place among the hits.
    edges
        Kinds that are followed: title (a passage mentions a document's title), link (the metadata names it), own (a file of
        edges), sequence (the next passage of the document), knn (near vectors), entity (a shared rare name). Those that the
        store's graph lacks do not matter.
    index
        The name of the store's graph, where it has several; None: the one that is called graph.
    """

    seeds: int = 3
    damping: float = 0.5
    hops: int = 2
    weight: float = 2.0
    edges: tuple[EdgeKind, ...] = ("title", "link", "own", "sequence")
    index: str | None = None

    name: ClassVar[str] = "graph"

    def __post_init__(self) -> None:
        for name in ("seeds", "hops"):
            object.__setattr__(self, name, integer(name, getattr(self, name), at_least=1))
        for name in ("damping", "weight"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if not 0 <= self.damping < 1:
            raise UsageError(f"damping must be at least 0 and below 1, got {self.damping}")
        if self.weight < 0:
            raise UsageError(f"weight must not be negative, got {self.weight}")
        given: object = self.edges
        known = get_args(EdgeKind)
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise UsageError(
                f"edges must be one or more kinds, got {given!r}", hint='edges=("title", "link")'
            )
        for kind in given:
            if kind not in known:
                raise UsageError(f"there are no edges of kind {kind!r}", hint=nearest(str(kind), known))
        object.__setattr__(self, "edges", tuple(given))
        check_name(self.index, "index")

    def __call__(
        self,
        *,
        seeds: int = seeds,
        damping: float = damping,
        hops: int = hops,
        weight: float = weight,
        edges: Sequence[EdgeKind] = edges,
        index: str | None = index,
    ) -> Graph:
        """A selector with these parameters; what is not given has its default."""
        return Graph(seeds, damping, hops, weight, edges, index)  # type: ignore[arg-type]  # made a tuple there

    def __repr__(self) -> str:
        return written(self.name, self)

    def depth(self, k: int) -> int:
        return max(k, self.seeds, _CANDIDATES)

    def bind(self, store: Datastore) -> BoundGraph:
        """Bind to a store that has a graph.

        Raises
        ------
        UsageError
            If it has none: the hint says how to add it.
        """
        store.snapshot.feature("graph", self.index)
        return BoundGraph(self, store)


class _Line(NamedTuple):
    """The hits of a query, and how the walk came to those that it reached."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    paths: Mapping[int, tuple[Step, ...]]


@dataclass(frozen=True)
class BoundGraph:
    selector: Graph
    store: Datastore

    def select(self, queries: Sequence[str], hits: Hits, k: int, where: str | None = None) -> ChainHits:
        del queries
        snapshot = snapshot_of(hits, self.store)
        feature = snapshot.feature("graph", self.selector.index)
        kept = revised(hits, rows=hits.rows[:, :k], scores=hits.scores[:, :k])
        # One index covers all that any does.
        index = feature.indexes[0] if feature.indexes else None
        kinds = () if index is None else _worth_following(index.index, self.selector.edges)
        if index is None or not kinds:
            return kept
        mask = snapshot.mask(where)
        allowed = None if mask is None else mask[index.rows]
        with searching(snapshot.path, feature):
            lines = [
                self._line(index, kinds, allowed, rows[rows >= 0], scores[rows >= 0], k)
                for rows, scores in zip(hits.rows, hits.scores, strict=True)
            ]
        if not lines:
            return kept
        rows, scores = zip(*(padded(line.rows[None], line.scores[None], k) for line in lines), strict=True)
        known = hits.paths if isinstance(hits, ChainHits) and hits.paths else [{}] * len(hits)
        return revised(
            hits,
            rows=np.concatenate(rows),
            scores=np.concatenate(scores),
            paths=[{**earlier, **line.paths} for earlier, line in zip(known, lines, strict=True)],
        )

    def _line(
        self,
        index: FeatureIndex,
        kinds: Sequence[EdgeKind],
        allowed: NDArray[np.bool_] | None,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        k: int,
    ) -> _Line:
        deciding = max(_CANDIDATES, self.selector.seeds)
        top = rows[: self.selector.seeds]
        places = _ordinals(index, top)
        adjacency: Adjacency = index.index
        walk = adjacency.walk(
            places[places >= 0],
            _seed_weights(scores[:deciding])[: len(top)][places >= 0],
            kinds,
            damping=self.selector.damping,
            hops=self.selector.hops,
            allowed=allowed,
        )
        best = np.lexsort((walk.rows, -walk.mass))
        best = best[(walk.mass[best] > 0) & ~np.isin(walk.rows[best], places)][: max(_WALKED, k)]
        if not len(best):
            return _Line(rows[:k], scores[:k], {})
        reached = index.rows[walk.rows[best]]
        walked = np.concatenate([top, reached])
        fused_rows, fused = _by_rank(rows[:deciding], walked, self.selector.weight, k)
        if len(fused) < k:
            others = rows[~np.isin(rows, fused_rows)][: k - len(fused)]
            fused_rows = np.concatenate([fused_rows, others])
            fused = np.concatenate([fused, np.full(len(others), fused[-1], dtype=np.float32)])
        shown = set(fused_rows.tolist())
        paths = {
            row: _path(walk, place, index, adjacency)
            for row, place in zip(reached.tolist(), best.tolist(), strict=True)
            if row in shown
        }
        return _Line(fused_rows, fused, paths)


def _worth_following(adjacency: Adjacency, kinds: Sequence[EdgeKind]) -> Sequence[EdgeKind]:
    """Those kinds of edges of which there are enough to say something; the user's own always do."""
    if adjacency.edges_per_document(kinds) >= LEAST_EDGES_PER_DOCUMENT:
        return kinds
    return ("own",) if "own" in kinds and adjacency.edges_per_document(("own",)) else ()


def _ordinals(index: FeatureIndex, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) ordinals of rows; -1 of a row that the index does not cover."""
    ordinals = np.full(len(rows), -1, dtype=np.int64)
    first = 0
    for covered in index.ranges:
        inside = (rows >= covered.start) & (rows < covered.stop)
        ordinals[inside] = rows[inside] - covered.start + first
        first += len(covered)
    return ordinals


def _seed_weights(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m,) scores of descending hits on [0.1, 1]; all 1 where they are the same."""
    if not len(scores) or scores[0] == scores[-1]:
        return np.ones(len(scores))
    wide = scores.astype(np.float64)
    scaled: NDArray[np.float64] = (wide - wide[-1]) / (wide[0] - wide[-1])
    return np.maximum(scaled, _LEAST_SEED_WEIGHT)


def _by_rank(
    hits: NDArray[np.int64], walked: NDArray[np.int64], weight: float, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of two rankings. Both start with the same rows, the seeds: so these come first."""
    rows, place = np.unique(np.concatenate([hits, walked]), return_inverse=True)
    shares = [
        factor / (_RANK_CONSTANT + np.arange(1, len(ranking) + 1))
        for ranking, factor in ((hits, 1.0), (walked, weight))
    ]
    sums = np.bincount(place, np.concatenate(shares)).astype(np.float32)
    found, scores = rank(rows[None], sums[None], min(k, len(rows)))
    return found[0], scores[0]


def _path(walk: Walk, place: int, index: FeatureIndex, adjacency: Adjacency) -> tuple[Step, ...]:
    """From a seed to what is at a place of the walk."""
    steps = []
    while walk.before[place] >= 0:
        steps.append(Step(int(index.rows[walk.rows[place]]), adjacency.kind_of(int(walk.labels[place]))))
        place = int(walk.before[place])
    return (Step(int(index.rows[walk.rows[place]]), ""), *reversed(steps))


graph = Graph()
