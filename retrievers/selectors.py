"""Selectors take hits and give hits: `retriever >> selector` asks the retriever for candidates and selects from them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, Hits, UsageError
from datastore.hits import padded
from datastore.request import LARGEST_K
from datastore.snapshot import Snapshot

from .explain import ChainHits, Paths, Spans, Stage, common_route, noted, revised, total_ms
from .protocol import Chain, MovedOnError, Retriever, check_request, of_one_version


class BoundSelector(Protocol):
    """A selector on a store. Safe for concurrent use."""

    def select(self, queries: Sequence[str], hits: Hits, k: int, where: str | None = None) -> Hits:
        """At most k hits for each query, best first, made of `hits`, which are those of the same queries.

        `where` is the filter that `hits` come from: what else is brought in must fulfil it. New hits are made with
        `revised(hits, rows=…, scores=…)`; the chain takes the time.
        """


class Selector(ABC):
    """How to select, as data: frozen, hashable, equal by value, bound to nothing.

    Its `str` is what one writes to get it, in Python and through `parse`.
    """

    name: ClassVar[str]
    merges: ClassVar[bool] = False
    """Whether several hits may become one: a query that has too few then is asked again, deeper."""

    @abstractmethod
    def depth(self, k: int) -> int:
        """How many hits to ask of the retriever for k selected ones."""

    @abstractmethod
    def bind(self, store: Datastore) -> BoundSelector: ...

    def __rrshift__(self, retriever: Chain) -> Selection:
        return Selection(retriever, self)


@dataclass(frozen=True, repr=False)
class Selection:
    """`retriever >> selector`, a chain itself."""

    retriever: Chain
    selector: Selector

    def __post_init__(self) -> None:
        if not isinstance(self.retriever, Chain):
            raise UsageError(
                f"what stands before >> {self.selector} must be a retriever, got {self.retriever!r}",
                hint=f"dense >> {self.selector}",
            )

    def __repr__(self) -> str:
        return f"{self.retriever} >> {self.selector}"

    def on(self, store: Datastore) -> SelectionRetriever:
        return SelectionRetriever(self, store, self.retriever.on(store), self.selector.bind(store))


@dataclass(frozen=True)
class SelectionRetriever:
    chain: Selection
    store: Datastore
    retriever: Retriever
    selector: BoundSelector

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> ChainHits:
        texts = check_request(queries, k)
        passages = max(len(self.store), 1)
        k = min(k, max(passages, LARGEST_K))
        depth = max(self.chain.selector.depth(k), k)
        selected = of_one_version(lambda: self._select(texts, k, min(depth, passages), where, explain))
        rows, scores = padded(selected.rows, selected.scores, k)
        return replace(selected, rows=rows, scores=scores)

    def _select(self, texts: list[str], k: int, depth: int, where: str | None, explain: bool) -> ChainHits:
        found = self.retriever.retrieve(texts, depth, where, explain)
        if isinstance(found, ChainHits) and found.scored is not None:
            found = replace(found, scored=None)
        started = time.perf_counter()
        selected = revised(self.selector.select(texts, found, k, where))
        spent = {self.chain.selector.name: (time.perf_counter() - started) * 1e3}
        if explain:
            selected = noted(selected, str(self.chain.selector), spent, [found])
        selected = replace(selected, timings_ms=total_ms([found.timings_ms, spent]))
        if not self.chain.selector.merges or depth >= len(self.store):
            return selected
        # A line that is not full to the depth has nothing more behind it.
        lacking = (selected.rows >= 0).sum(axis=1) < k
        short = np.flatnonzero(lacking & ((found.rows >= 0).sum(axis=1) >= depth))
        if not len(short):
            return selected
        try:
            deeper = self._select(
                [texts[i] for i in short], k, min(2 * depth, len(self.store)), where, explain
            )
        except MovedOnError:
            raise
        except UsageError:  # the queries are good: the chain has a limit of its own, as dense(candidates=200)
            return selected
        return _replaced(selected, short, deeper)


def snapshot_of(hits: Hits, store: Datastore) -> Snapshot:
    """The version that the rows of hits are valid for.

    Raises
    ------
    UsageError
        If the store has moved on, and the hits do not hold it themselves.
    """
    snapshot = hits.reader if isinstance(hits.reader, Snapshot) else store.snapshot
    if snapshot.version != hits.version:
        raise UsageError(
            f"the store has moved on to version {snapshot.version}, the hits are rows of version {hits.version}",
            hint="search again",
        )
    return snapshot


def _replaced(hits: ChainHits, lines: NDArray[np.int64], other: ChainHits) -> ChainHits:
    """The hits, of the queries at `lines` those that `other` has for them."""
    if other.version != hits.version:
        raise MovedOnError
    rows, scores = _with_lines(hits.rows, hits.scores, lines, other.rows, other.scores)
    spans: Spans = ()
    if hits.spans or other.spans:
        known = [*(hits.spans or [{}] * len(hits))]
        for place, line in enumerate(lines.tolist()):
            known[line] = other.spans[place] if other.spans else {}
        spans = known
    paths: Paths = ()
    if hits.paths or other.paths:
        ways = [*(hits.paths or [{}] * len(hits))]
        for place, line in enumerate(lines.tolist()):
            ways[line] = other.paths[place] if other.paths else {}
        paths = ways
    stages = tuple(
        Stage(
            one.name,
            *_with_lines(one.rows, one.scores, lines, two.rows, two.scores),
            total_ms([one.timings_ms, two.timings_ms]),
            _with_weights(one.weights, lines, two.weights),
        )
        for one, two in zip(hits.stages, other.stages, strict=True)
    )
    return replace(
        hits,
        rows=rows,
        scores=scores,
        spans=spans,
        paths=paths,
        stages=stages,
        timings_ms=total_ms([hits.timings_ms, other.timings_ms]),
        route=common_route([hits, other]),
    )


def _with_weights(
    weights: NDArray[np.float64] | None, lines: NDArray[np.int64], other: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    if weights is None or other is None:
        return None
    weights = weights.copy()
    weights[lines] = other
    return weights


def _with_lines(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    lines: NDArray[np.int64],
    other_rows: NDArray[np.int64],
    other_scores: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(nq, m) rows and scores, those of `lines` being the other ones; as wide as the wider."""
    width = max(rows.shape[1], other_rows.shape[1])
    rows, scores = padded(rows.copy(), scores.copy(), width)
    rows[lines], scores[lines] = padded(other_rows, other_scores, width)
    return rows, scores
