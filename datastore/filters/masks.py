"""Masks of the rows that a filter matches: computed once per segment and filter, then kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datastore.errors import UsageError, nearest
from datastore.machine import available_cores

from .cache import MaskCache, SegmentMask
from .evaluate import Columns, MetadataFile, locked_connection, too_slow
from .expressions import Kind
from .like import quoted
from .parse import Predicate, parse

TIMEOUT_S = 30.0
"""Where the caller sets no limit."""

_ROWS_PER_WORKER = 500_000  # fewer are done before a second DuckDB has started


def matches(predicate: Predicate, file: Path, rows: int, timeout_s: float = TIMEOUT_S) -> NDArray[np.bool_]:
    """`mask_of` for one metadata.parquet, nothing kept: (rows,) in file order."""
    return mask_of(predicate, [MetadataFile("", file, rows)], MaskCache(0), timeout_s)


def mask_of(
    where: str | Predicate,
    segments: Sequence[MetadataFile],
    cache: MaskCache,
    timeout_s: float = TIMEOUT_S,
) -> NDArray[np.bool_]:
    """Read-only mask over all rows of the segments, in their order.

    Unknown (NULL) counts as no match. A column that a segment lacks is NULL there. A name means the column spelled
    exactly so, else the only one that differs from it in case. `expressions` has the rules for columns whose type
    is not the same in every segment.

    Raises
    ------
    UsageError
        If the text is refused, no segment has a column of a name, a segment has several that differ from it in case
        only, or a column stands as a condition and holds booleans in no segment.
    SearchTimeoutError
        If it takes longer than `timeout_s`.
    """
    predicate = where if isinstance(where, Predicate) else parse(where)
    deadline = time.monotonic() + timeout_s
    names = tuple(segment.segment for segment in segments)
    whole = cache.whole(names, predicate.sql)
    if whole is not None:
        return whole
    masks = {name: kept for name in names if (kept := cache.segment(name, predicate.sql)) is not None}
    missing = {
        segment.segment: Columns(segment, predicate) for segment in segments if segment.segment not in masks
    }
    kinds = [mask.kinds for mask in masks.values()] + [columns.kinds for columns in missing.values()]
    _check_columns(predicate, segments, kinds, where if isinstance(where, str) else "")
    if missing:
        masks |= _evaluate(predicate, missing, cache, deadline, timeout_s)
    rows_matched = np.empty(sum(segment.rows for segment in segments), dtype=np.bool_)
    start = 0
    for name, _, rows in segments:
        bits = np.unpackbits(masks[name].bits, count=rows, bitorder="little")
        rows_matched[start : start + rows] = bits.view(np.bool_)
        start += rows
    rows_matched.setflags(write=False)
    cache.keep_whole(names, predicate.sql, rows_matched)
    return rows_matched


def _evaluate(
    predicate: Predicate,
    missing: Mapping[str, Columns],
    cache: MaskCache,
    deadline: float,
    timeout_s: float,
) -> dict[str, SegmentMask]:
    def evaluate(names: Sequence[str]) -> dict[str, SegmentMask]:
        masks = {}
        with locked_connection(deadline, timeout_s) as connection:
            for name in names:
                if time.monotonic() > deadline:
                    raise too_slow(timeout_s)
                masks[name] = missing[name].evaluate(connection)
                cache.keep_segment(name, predicate.sql, masks[name])
        return masks

    names = list(missing)
    rows = sum(columns.rows for columns in missing.values())
    workers = min(available_cores(), len(names), 1 + rows // _ROWS_PER_WORKER)
    if workers == 1:
        return evaluate(names)
    with ThreadPoolExecutor(workers) as pool:  # DuckDB and Arrow let go of Python's lock
        parts = pool.map(evaluate, [names[start::workers] for start in range(workers)])
        return {name: mask for part in parts for name, mask in part.items()}


def _check_columns(
    predicate: Predicate,
    segments: Sequence[MetadataFile],
    kinds: Sequence[Mapping[str, Kind]],
    text: str,
) -> None:
    """Refuse names without a column, and columns that are no conditions, where that holds in every segment.

    `text` is the filter as it was written.
    """
    if not segments:
        return
    for name in sorted(predicate.columns):
        found = {known[name] for known in kinds if name in known}
        if not found:
            columns = {column for segment in segments for column in pq.read_schema(segment.path).names}
            hint = nearest(name, columns)
            if quoted(name, '"') in text:
                hint += "; if it is a text, put it in single quotes: " + quoted(name, "'")
            raise UsageError(f"where names the column {name!r}, which is unknown", hint=hint)
        held = sorted(found - {"null"})
        if name in predicate.flags and held and "boolean" not in held:
            raise UsageError(
                f"the column {name!r} is not a condition: it holds a {' or a '.join(held)}, neither true nor false",
                hint=f"compare it with something, for example: {name} IS NOT NULL",
            )
