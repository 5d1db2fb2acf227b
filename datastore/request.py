"""What is asked of a store, checked where it enters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray

from .checks import integer
from .errors import UsageError
from .index.dense.vectors import LONGEST, SHORTEST, Metric, unit_vectors, vector_array
from .snapshot import Snapshot
from .vector_search import Request

LARGEST_K = 100_000
"""Of a store with fewer rows: a k of millions would only fill RAM with padding."""
_LONGEST_SQUARE, _SHORTEST_SQUARE = LONGEST**2, SHORTEST**2
_NUMBERS = (float, int, np.floating, np.integer)


def check_request(
    snapshot: Snapshot,
    k: Any,
    recall: Any,
    candidates: Any,
    effort: Any,
    fused: bool,
    timeout_s: Any,
) -> Request:
    """The parameters of `Datastore.search`, as they are worked with.

    Raises
    ------
    UsageError
        If one is out of range.
    """
    k = integer("k", k, at_least=1)
    if k > max(snapshot.rows, LARGEST_K):
        raise UsageError(f"k must be at most {max(snapshot.rows, LARGEST_K):,} for this store, got {k:,}")
    if candidates is not None and (candidates := integer("candidates", candidates, at_least=1)) < k:
        raise UsageError(f"candidates must be at least k = {k}, got {candidates}")
    if effort is not None:
        effort = integer("effort", effort, at_least=1)
    if isinstance(recall, bool) or not isinstance(recall, _NUMBERS) or not 0 < recall <= 1:
        raise UsageError(f"recall must be above 0 and at most 1, got {recall!r}")
    if timeout_s is not None and (
        isinstance(timeout_s, bool) or not isinstance(timeout_s, _NUMBERS) or not timeout_s > 0
    ):
        raise UsageError(f"timeout_s must be a positive number of seconds, got {timeout_s!r}")
    if fused and snapshot.manifest.exact_encoder is None:
        raise UsageError("fused scores need a store with two encoders", hint="exact_encoder: in its recipe")
    try:
        deadline = float("inf") if timeout_s is None else time.monotonic() + float(timeout_s)
    except OverflowError:  # a whole number beyond all floats
        deadline = float("inf")
    return Request(k, float(recall), candidates, effort, fused, deadline)


def check_rows(snapshot: Snapshot, rows: Any) -> NDArray[np.int64]:
    """The rows as numbers.

    Raises
    ------
    UsageError
        If they are not (m,) whole numbers, or the version has no such row.
    """
    given = np.asarray(rows)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise UsageError(f"rows must be (m,) whole numbers, got {given.shape} {given.dtype}")
    beyond = given[(given < 0) | (given >= snapshot.rows)]
    if len(beyond):
        raise UsageError(
            f"version {snapshot.version} has {snapshot.rows:,} rows from 0, there is no row {beyond[0]}",
            hint="the rows of hits are valid in their own version alone: Datastore.open(path, version=hits.version)",
        )
    return given.astype(np.int64, copy=False)


def is_text(queries: Any) -> bool:
    """Whether queries are words rather than numbers; what is neither counts as words, to be refused as such."""
    if isinstance(queries, str):
        return True
    if not isinstance(queries, Sequence):  # an array, a tensor
        return False
    return not len(queries) or isinstance(queries[0], str) or not hasattr(queries[0], "__len__")


def check_texts(texts: Any, what: str = "query") -> list[str]:
    """The texts as a list.

    Raises
    ------
    UsageError
        If one is empty or not a string.
    """
    checked = [texts] if isinstance(texts, str) else list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise UsageError(f"{what} {position} is a {type(text).__name__}, not a string")
        if not text.strip():
            hint = "ask something, for example: how do I open a file?" if what == "query" else "leave it out"
            raise UsageError(f"{what} {position} is empty", hint=hint)
    return checked


def query_vectors(vectors: Any, dimension: int, metric: Metric) -> NDArray[np.float32]:
    """(n, d) query vectors as they are compared: for cosine, at length one.

    Raises
    ------
    UsageError
        If they are not (n, d) finite numbers, one is zero where only directions count, or where lengths do, too long or
        too short.
    """
    given = vector_array(vectors, dimension)
    if given.dtype == np.float32:
        checked = np.ascontiguousarray(given)
    else:
        with np.errstate(over="ignore"):
            checked = np.ascontiguousarray(given, dtype=np.float32)
    # In float64, and one by one: what NumPy has for it takes longer where one query is asked, the usual case.
    squares = np.fromiter((numkong.dot(row, row) for row in checked), dtype=np.float64, count=len(checked))
    # As plain numbers: a reduction of NumPy takes longer than a query has.
    lowest, highest = _range(squares)
    if metric != "cosine":
        if not highest <= _LONGEST_SQUARE:
            if not np.isfinite(given).all():
                raise UsageError("a query vector is not finite")
            raise UsageError(
                f"a query vector is too long for float32 (at most {LONGEST:g})",
                hint="divide queries and stored vectors by one number",
            )
        # How near to zero a point is does not matter to its distances; zero itself has a product of zero with all.
        if (
            metric == "inner_product"
            and lowest < _SHORTEST_SQUARE
            and (given.any(axis=1) & (squares < _SHORTEST_SQUARE)).any()
        ):
            raise UsageError(
                f"a query vector is too short for float32 (at least {SHORTEST:g})",
                hint="multiply it by any number: the order stays",
            )
        return checked
    if not (lowest > 1e-30 and highest < 1e38):
        # Too long or too short for a length in float32, or not to be compared at all.
        if not np.isfinite(given).all():
            raise UsageError("a query vector is not finite")
        if not given.any(axis=1).all():
            raise UsageError("a query vector is zero")
        return unit_vectors(given).astype(np.float32)
    lengths = np.sqrt(squares).astype(np.float32)
    return np.divide(checked, lengths[:, None], dtype=np.float32)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Least and greatest; nan where one is not a number, one for no values."""
    if len(values) == 1:
        return float(values[0]), float(values[0])
    return (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
