"""What a query gives back: arrays for many queries, objects for the few that are read."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that answers a query. Higher scores are better."""

    passage_id: str
    document_id: str
    source: str
    title: str
    score: float
    text: str
    metadata: Mapping[str, Any]


class PassageReader(Protocol):
    """Whoever can read passages by row: the store of the version that the rows belong to."""

    def read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]: ...


@dataclass(frozen=True, eq=False)
class Hits(Sequence[list[Hit]]):
    """Ranked rows of one version for each of nq queries; text is read when a query's list is asked for.

    Attributes
    ----------
    version
        The version of the store that the rows are valid for.
    rows
        (nq, k) int64, best first; -1 where a query has fewer than k hits, always at the end.
    scores
        (nq, k) float32, descending in each row; -inf where `rows` is -1.
    timings_ms
        Milliseconds per stage for the whole call, in the order in which the stages ran.
    route
        How the candidates were found: through the index, or exactly and why.
    """

    version: int
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    reader: PassageReader = field(repr=False)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    route: str = ""

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape != self.scores.shape:
            raise ValueError(
                f"expected rows and scores of one shape (nq, k), got {self.rows.shape} and {self.scores.shape}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> list[Hit]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[list[Hit]]: ...
    def __getitem__(self, index: int | slice) -> list[Hit] | Sequence[list[Hit]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        query = operator.index(index)
        found = self.rows[query] >= 0
        return self.reader.read_hits(self.rows[query][found], self.scores[query][found])

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[i] for i in range(len(self)))


def _top(
    rows: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """At least the k best of (m,) rows with (nq, m) scores, in no order: what `rank` decides among.

    All that ties with the k-th best is kept; lines with fewer ties are padded with what comes next.
    """
    if scores.shape[1] <= k:
        return np.broadcast_to(rows, scores.shape), scores
    cut = np.partition(scores, -k, axis=1)[:, -k]
    widest = int((scores >= cut[:, None]).sum(axis=1).max(initial=0))
    kept = (
        np.argpartition(-scores, widest - 1, axis=1)[:, :widest]
        if widest < scores.shape[1]
        else np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    )
    return rows[kept], np.take_along_axis(scores, kept, axis=1)


def merge_best(
    best: tuple[NDArray[np.int64], NDArray[np.float32]],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each line, as `rank` orders and pads them, of `best` and (m,) rows with (nq, m) scores.

    `best` is (nq, at most k) rows and scores in that order; `rows` are greater than all of its rows, so that one that ties
    with a k-th best stands behind it. A scan in blocks sorts next to nothing: few rows of a later block are above it.
    """
    best_rows, best_scores = best
    full = best_rows.shape[1] == k and not some_missing(best_rows)
    found = _above(rows, scores, best_scores[:, -1]) if full and k else None
    if found is None or found[0].shape[1] > k:
        found = _top(rows, scores, k)
    if not found[0].shape[1]:
        return padded(best_rows, best_scores, k)
    return rank(
        np.concatenate([best_rows, found[0]], axis=1), np.concatenate([best_scores, found[1]], axis=1), k
    )


def _above(
    rows: NDArray[np.int64], scores: NDArray[np.float32], least: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The (m,) rows whose score of (nq, m) is above that of (nq,) `least`, by line, padded with -1 and -inf."""
    lines, columns = np.nonzero(scores > least[:, None])
    counts = np.bincount(lines, minlength=len(scores))
    places = np.arange(len(lines)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = len(scores), int(counts.max(initial=0))
    found_rows = np.full(shape, -1, dtype=np.int64)
    found_scores = np.full(shape, -np.inf, dtype=np.float32)
    found_rows[lines, places], found_scores[lines, places] = rows[columns], scores[lines, columns]
    return found_rows, found_scores


def some_missing(rows: NDArray[np.int64]) -> bool:
    """Whether a line of (nq, m) has a -1, where those come last."""
    if not rows.size:
        return False
    if len(rows) == 1:  # one query is the usual case, and where microseconds count
        return bool(rows[0, -1] < 0)
    return bool((rows[:, -1] < 0).any())


def any_missing(rows: NDArray[np.int64]) -> bool:
    """Whether there is a -1 anywhere in `rows`."""
    return bool(rows.size and rows.item(rows.argmin()) < 0)  # a reduction, `min`, takes three times as long


def rank(
    rows: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of each line: score descending, ties by row ascending; padded with -1 and -inf.

    `rows` and `scores` are (nq, m); entries with row -1 are absent.
    """
    ties = rows
    if any_missing(rows):
        absent = rows < 0
        scores = np.where(absent, -np.inf, scores)
        # A row of -1 must sort behind every real row of the same score.
        ties = np.where(absent, np.iinfo(np.int64).max, rows)
    if len(rows) == 1:  # one query is the usual case, and where microseconds count
        best = np.lexsort((ties[0], -scores[0]))[:k]
        rows, scores = rows[0].take(best)[None], scores[0].take(best)[None]
    else:
        order = np.lexsort((ties, -scores), axis=-1)[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return padded(rows, scores.astype(np.float32, copy=False), k)


def padded(
    rows: NDArray[np.int64], scores: NDArray[np.float32], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(nq, m) rows and scores with -1 and -inf appended up to `width` columns."""
    found = rows.shape[1]
    if found >= width:
        return rows, scores
    # np.pad takes 40 us for this.
    wide_rows = np.full((len(rows), width), -1, dtype=np.int64)
    wide_scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
    wide_rows[:, :found], wide_scores[:, :found] = rows, scores
    return wide_rows, wide_scores
