"""The search path: a proxy's candidates, then exact MaxSim; what no index covers is scored in whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.tokens import TokenVectors
from ..hits import merge_best, rank
from .maxsim import PackedQueries, some
from .part import TokenPart
from .proxy import CandidateIndex

_QUERIES_PER_BLOCK = 16  # bounds products in RAM
_ROWS_PER_BLOCK = 16_384

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Indexed:
    """An index and the rows of its ordinals."""

    index: CandidateIndex
    rows: NDArray[np.int64]  # (n,)


@dataclass(frozen=True)
class TokenSearch:
    """The token vectors of a version. Safe for concurrent searches."""

    parts: Sequence[TokenPart]  # one a segment
    first_rows: NDArray[np.int64]  # part i has the rows from first_rows[i]
    indexes: Sequence[Indexed]
    tail: Sequence[int]  # numbers of the parts that no index covers

    def search(
        self,
        queries: TokenVectors,
        k: int,
        candidates: int,
        mask: Mask | None = None,
        *,
        exactly: bool = False,
    ) -> Found:
        """The k best rows that `mask` (rows,) allows for each query; one without a vector finds nothing.

        Parameters
        ----------
        candidates
            Of each index, at least k.
        exactly
            Score every row that the mask allows.
        """
        texts = len(queries.offsets) - 1
        found = Found(np.full((texts, k), -1, dtype=np.int64), np.full((texts, k), -np.inf, dtype=np.float32))
        asked = np.flatnonzero(np.diff(queries.offsets))
        plan = self._plan(max(candidates, k), mask, exactly)
        for start in range(0, len(asked), _QUERIES_PER_BLOCK):
            block = asked[start : start + _QUERIES_PER_BLOCK]
            found.rows[block], found.scores[block] = self._search_block(
                _chosen(queries, block), k, max(candidates, k), plan, found.timings_ms
            )
        return found

    def scores(self, queries: TokenVectors, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(nq, m): the exact MaxSim of each query with its own (nq, m) rows.

        -inf where a row is -1; 0 for a query without a vector.
        """
        scores = np.where(rows < 0, np.float32(-np.inf), np.float32(0))
        for query, (line, own) in enumerate(zip(scores, rows, strict=True)):
            present = own >= 0
            one = some(queries, query, query + 1)
            if len(one.vectors):
                line[present] = self._scores(PackedQueries(one), own[present])[:, 0]
        return scores

    def _plan(self, candidates: int, mask: Mask | None, exactly: bool) -> _Plan:
        """Which rows are scored in whole, and which indexes are asked with which mask of theirs."""
        whole = [
            np.arange(self.first_rows[number], self.first_rows[number + 1])
            for number in (range(len(self.parts)) if exactly else self.tail)
        ]
        asked: list[tuple[Indexed, Mask | None]] = []
        for indexed in () if exactly else self.indexes:
            allowed = None if mask is None else mask[indexed.rows]
            count = len(indexed.rows) if allowed is None else int(np.count_nonzero(allowed))
            if count <= candidates:
                whole.append(indexed.rows)
            else:
                asked.append((indexed, allowed))
        rows = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *whole]))
        return _Plan(rows if mask is None else rows[mask[rows]], asked)

    def _search_block(
        self, queries: TokenVectors, k: int, candidates: int, plan: _Plan, timings_ms: dict[str, float]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        count = len(queries.offsets) - 1
        started = time.perf_counter()
        proposed = [np.empty((count, 0), dtype=np.int64)]
        for indexed, allowed in plan.asked:
            ordinals = indexed.index.candidates(queries, candidates, allowed)
            proposed.append(np.where(ordinals < 0, -1, indexed.rows[ordinals]))
        rows = np.concatenate(proposed, axis=1)
        proposing_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        # In order of rows, that they are read in the order of the disk.
        rows = np.sort(rows, axis=1)
        scores = self.scores(queries, rows)
        best = np.empty((count, 0), dtype=np.int64), np.empty((count, 0), dtype=np.float32)
        packed = PackedQueries(queries)
        for start in range(0, len(plan.whole), _ROWS_PER_BLOCK):
            block = plan.whole[start : start + _ROWS_PER_BLOCK]
            best = merge_best(best, block, self._scores(packed, block).T, k)
        best = rank(np.concatenate([rows, best[0]], axis=1), np.concatenate([scores, best[1]], axis=1), k)
        if plan.asked:
            _add(timings_ms, "proxy", proposing_ms)
        _add(timings_ms, "maxsim", (time.perf_counter() - started) * 1e3)
        return best

    def _scores(self, queries: PackedQueries, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m, nq) exact scores of the same m rows for every query."""
        if len(self.parts) == 1:
            return self.parts[0].scores(queries, rows)
        scores = np.empty((len(rows), queries.count), dtype=np.float32)
        numbers = np.searchsorted(self.first_rows, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            scores[here] = self.parts[number].scores(queries, rows[here] - self.first_rows[number])
        return scores


@dataclass(frozen=True)
class Found:
    """Ranked rows of each query."""

    rows: NDArray[np.int64]  # (nq, k), best first, -1 where there are fewer
    scores: NDArray[np.float32]  # (nq, k), -inf there
    timings_ms: dict[str, float] = field(default_factory=dict)


class _Plan(NamedTuple):
    whole: NDArray[np.int64]  # ascending
    asked: list[tuple[Indexed, Mask | None]]


def _chosen(tokens: TokenVectors, texts: NDArray[np.int64]) -> TokenVectors:
    """Those of some texts."""
    if len(texts) == len(tokens.offsets) - 1:
        return tokens
    spans = [slice(*tokens.offsets[[text, text + 1]].tolist()) for text in texts.tolist()]
    offsets = np.cumsum([0, *(span.stop - span.start for span in spans)])
    return TokenVectors(np.concatenate([tokens.vectors[span] for span in spans]), offsets)


def _add(timings_ms: dict[str, float], stage: str, duration_ms: Any) -> None:
    timings_ms[stage] = timings_ms.get(stage, 0.0) + duration_ms
