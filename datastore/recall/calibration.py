"""The recall that an index reaches, measured when it is built, and which effort buys how much of it.

Recall@k is the share of the k best rows of an exact scan that are among an index's candidates: exact rescoring then
ranks them as the scan does. Queries are held out, as everywhere in the literature (ann-benchmarks; Simhadri et al.,
Results of the NeurIPS'21 Challenge on ANN search, 2022). Those made from passages of the store are not quite: their best
row, as a rule the passage they came from, is one that no index misses, so it counts neither as true nor as found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import IntegrityError
from ..index.dense import DenseIndex, Plan, Vectors
from ..index.dense.exact import ExactIndex
from ..planning.costs import query_us

FILE = "calibration.json"
Source = Literal["given", "sentences", "rows"]
"""Where the queries came from; `rows` (perturbed rows) are closer to the passages than a user's queries: optimistic."""

_DEPTHS: tuple[Literal[10, 100], ...] = (10, 100)
_CANDIDATES_PER_HIT = (1, 1.5, 2, 3, 4, 6, 10, 15, 20, 30)
_ALIKE = 1.05  # costs of a model that differ by less do not differ
_NORMAL_95 = 1.96
_NO_GAIN = 0.0005  # what more candidates must bring at an effort, or its recall is the coverage
_ALL = 0.9995
_FILE_BYTES_LIMIT = 1 << 20
# Codes that round a query less a mean of rows, as RaBitQ's do, lose a query that is not far longer than those.
_ROWS_LENGTHS = 100
_LENGTH_ROWS = 4_096
_LONGEST_QUERY, _SHORTEST_QUERY = 1e18, 1e-18  # whose squares float32 holds


class Setting(NamedTuple):
    """How to ask an index."""

    effort: int | None
    candidates: int
    recall: float
    cost_us: float  # estimate for one query at batch 1


@dataclass(frozen=True, slots=True)
class Point:
    """One measured setting."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    k: Literal[10, 100]
    effort: Annotated[int, Field(ge=1)] | None
    candidates: Annotated[int, Field(ge=1, lt=2**31)]
    recall: Annotated[float, Field(ge=0, le=1)]
    """Mean over the queries of recall@k."""
    low: Annotated[float, Field(ge=0, le=1)]
    """Lower end of the 95 % interval of that mean."""
    cost_us: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @property
    def safe_recall(self) -> float:
        """One standard error below the mean: what other queries of the distribution will mostly reach."""
        return self.recall - (self.recall - self.low) / _NORMAL_95


@dataclass(frozen=True, slots=True)
class Curve:
    """Measured settings of one index."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    source: Source
    queries: Annotated[int, Field(ge=1)]
    points: Annotated[tuple[Point, ...], Field(max_length=10_000)]
    query_length: Annotated[float, Field(gt=0, lt=_LONGEST_QUERY)] | None = None
    """The queries had this length, and others must be brought to it (`at_length`); None: each its own."""

    def __post_init__(self) -> None:
        missing = set(_DEPTHS) - {point.k for point in self.points}
        if missing:
            raise ValueError(f"no point for k = {min(missing)}")

    def cheapest(self, k: int, recall: float) -> Setting | None:
        """The cheapest setting that reaches `recall`; of those that cost about as much, the best. None: no setting does.

        A setting reaches a target if its recall does so by one standard error: the few queries it was measured with
        may have been easy ones, the more so for the cheapest of many.

        Up to k = 10 what was measured at 10 holds, up to 100 what was measured at 100: true neighbours of low rank are
        found more easily than those behind them. Beyond 100, candidates are scaled by k / 100, and so is the cost; the
        effort by the root of that, since the last of so many lie in lists farther away: extrapolated, never measured.
        """
        reaching = [point for point in self._points(k) if point.safe_recall >= recall]
        if not reaching:
            return None
        least = min(point.cost_us for point in reaching)
        alike = [point for point in reaching if point.cost_us <= least * _ALIKE]
        return _setting(max(alike, key=_by_recall), k)

    def best(self, k: int) -> Setting:
        """The setting of the highest recall, whatever it costs; `k` as in `cheapest`."""
        return _setting(max(self._points(k), key=_by_recall), k)

    def reached(self, k: int) -> float:
        """The highest recall that `cheapest` has a setting for."""
        return max(point.safe_recall for point in self._points(k))

    def _points(self, k: int) -> list[Point]:
        depth = 10 if k <= 10 else 100
        return [point for point in self.points if point.k == depth]


_CURVE = TypeAdapter(Curve)


def _by_recall(point: Point) -> tuple[float, float]:
    return point.recall, -point.cost_us


def _setting(point: Point, k: int) -> Setting:
    scale = max(1.0, k / 100)
    effort = None if point.effort is None else ceil(point.effort * sqrt(scale))
    return Setting(effort, max(k, ceil(point.candidates * scale)), point.recall, point.cost_us * scale)


class Interval(NamedTuple):
    mean: float
    low: float
    high: float


def mean_interval(recalls: NDArray[np.float64], depth: int) -> Interval:
    """The mean of per-query recalls@depth, with its 95 % interval.

    Wilson's interval with the effective sample size (Korn and Graubard, Survey Methodology 24, 1998): `depth`
    neighbours of each query, fewer in effect since those of one query are missed together. Unlike the mean plus or minus
    errors it stays inside 0..1, and has a width when nothing was missed.
    """
    mean = float(recalls.mean())
    trials = float(len(recalls) * depth)
    variance = float(recalls.var(ddof=1)) / len(recalls) if len(recalls) > 1 else 0.0
    if variance > 0:
        trials = min(trials, mean * (1 - mean) / variance)
    square = _NORMAL_95**2
    centre = (mean + square / (2 * trials)) / (1 + square / trials)
    half = sqrt(square * mean * (1 - mean) / trials + (square / (2 * trials)) ** 2) / (1 + square / trials)
    return Interval(mean, max(0.0, centre - half), min(1.0, centre + half))


def measure(
    index: DenseIndex, vectors: Vectors, queries: NDArray[np.float32], source: Source, plan: Plan
) -> Curve:
    """The curve of `index`, which `plan` built over `vectors`, from (nq, d) queries in its space.

    Beside the index takes a float32 block of the vectors, and 8 bytes a query and candidate.
    """
    left_out = 0 if source == "given" else 1
    truth = ExactIndex(vectors).search(queries, _DEPTHS[-1] + left_out).ordinals
    nearest, truth = truth[:, :left_out], truth[:, left_out:]
    query_length = _query_length(vectors)
    if query_length is not None:
        queries = at_length(queries, query_length)
    points: list[Point] = []
    for effort in index.efforts or (None,):
        reached = dict.fromkeys(_DEPTHS, -1.0)
        rising = list(_DEPTHS)
        for candidates in _candidates_grid(vectors.rows):
            depths = [k for k in rising if candidates >= min(k, vectors.rows)]
            if not depths:
                continue
            # A shorter list is asked for, not cut from a longer one: for that one more was scanned or visited.
            found = index.search(queries, candidates + left_out, effort=effort).ordinals
            found = _without(found, nearest)
            for k in depths:
                mean, low, _ = mean_interval(recall_at(truth, found, k), k)
                cost_us = query_us(
                    plan.family, plan.parameters, vectors.rows, vectors.dimension, effort, candidates
                )
                points.append(Point(k, effort, candidates, round(mean, 6), round(low, 6), round(cost_us, 3)))
                if mean - reached[k] < _NO_GAIN or mean > _ALL:
                    rising.remove(k)
                reached[k] = mean
        if min(reached.values()) > _ALL:
            break  # more effort has nothing left to find
    return Curve(source, len(queries), tuple(points), query_length)


def _query_length(vectors: Vectors) -> float | None:
    """The length to ask an index of inner products with, which rank alike at any; None where length counts."""
    if vectors.metric != "inner_product" or not vectors.rows:
        return None
    rows = vectors.sample(_LENGTH_ROWS, seed=0)
    length = float(np.sqrt(np.mean(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))))
    return _ROWS_LENGTHS * max(length, _SHORTEST_QUERY)


def at_length(queries: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    """(nq, d) queries brought to a length; the shortest that float32 can hold stay shorter."""
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))[:, None]
    scaled: NDArray[np.float32] = (queries * (length / np.maximum(lengths, _SHORTEST_QUERY))).astype(
        np.float32
    )
    return scaled


def _candidates_grid(rows: int) -> list[int]:
    return sorted({min(rows, ceil(k * factor)) for k in _DEPTHS for factor in _CANDIDATES_PER_HIT})


def _without(found: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(nq, m) of (nq, m + 1) found ones: each line's own of (nq, 1) rows left out, else its last; all of (nq, 0)."""
    if not rows.shape[1]:
        return found
    order = np.argsort(found == rows, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)[:, :-1]


def recall_at(truth: NDArray[np.int64], found: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(nq,) share of each query's first k true rows that are among the found ones; 1 where nothing is true.

    Both are (nq, ·), -1 where there is no row.
    """
    true = truth[:, :k]
    # Each line gets numbers of its own; -1 falls on one that no row has.
    lines = np.arange(len(true))[:, None] * (max(true.max(initial=0), found.max(initial=0)) + 2)
    wanted, there = true + lines, np.sort(found + lines, axis=None)
    places = np.minimum(np.searchsorted(there, wanted), there.size - 1)
    hits = (there[places] == wanted) & (true >= 0)
    counts = np.count_nonzero(true >= 0, axis=1)
    return np.where(counts > 0, np.count_nonzero(hits, axis=1) / np.maximum(counts, 1), 1.0)


def write_curve(folder: Path, curve: Curve) -> None:
    """Write calibration.json into an index's folder; equal curves give equal bytes."""
    (folder / FILE).write_bytes(_CURVE.dump_json(curve, indent=1) + b"\n")


def read_curve(folder: Path) -> Curve | None:
    """The curve in an index's folder; None where none was measured.

    Raises
    ------
    IntegrityError
        If the file holds something else.
    """
    file = folder / FILE
    try:
        with file.open("rb") as stream:
            raw = stream.read(_FILE_BYTES_LIMIT + 1)
    except FileNotFoundError:
        return None
    hint = f"compendia verify {folder.parents[1]}"
    if len(raw) > _FILE_BYTES_LIMIT:
        raise IntegrityError(f"{file} is too long for a recall curve", hint=hint)
    try:
        return _CURVE.validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise IntegrityError(f"{file} is not a recall curve: {where}{first['msg']}", hint=hint) from error


class RecallRow(NamedTuple):
    """Recall@k of a store that is asked for `target`; low and high are its 95 % interval."""

    k: int
    target: float
    recall: float
    low: float
    high: float
    shortfall: float  # of the mean below the target, 0 if it is reached


def recall_report(
    search: Callable[[NDArray[np.float32], int, float], NDArray[np.int64]],
    exact: Callable[[NDArray[np.float32], int], NDArray[np.int64]],
    queries: NDArray[np.float32],
    targets: Sequence[float],
) -> list[RecallRow]:
    """Recall@10 and @100 at each target.

    `search(queries, k, target)` and `exact(queries, k)` give (nq, k) rows, -1 where there is none.
    """
    truth = exact(queries, _DEPTHS[-1])
    report = []
    for k in _DEPTHS:
        for target in targets:
            mean, low, high = mean_interval(recall_at(truth, search(queries, k, target), k), k)
            report.append(RecallRow(k, target, mean, low, high, max(0.0, target - mean)))
    return report
