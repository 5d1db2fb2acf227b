"""Which indexes a version has: new rows are scanned exactly until they are worth a small index of their own; small
indexes are merged before there are many. So adding never rewrites the whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..arrays import read_array
from ..encoders import Encoder
from ..errors import IntegrityError, OverBudgetError
from ..files import content_key, crash_point, published_folder, write_durably
from ..index.dense import Plan, Vectors, build_index, open_index
from ..manifest import CalibrationEntry, IndexEntry, Manifest, SegmentEntry
from ..planning.planner import indexes_ram_bytes, plan_index
from ..recall.calibration import measure, write_curve
from ..recall.calibration_queries import perturbed_rows, sentence_queries
from ..segment import Segment, describe_files, open_vectors

SMALLEST_INDEX = 2_000
"""Rows. Scanning fewer exactly takes less than 1.5 ms (docs/design/dense-index.md)."""
_LARGEST_TAIL, _LARGEST_TAIL_SHARE = 20_000, 0.01
_MOST_INDEXES = 8
_CALIBRATION_QUERIES = 200


def fold(store: Path, manifest: Manifest) -> tuple[IndexEntry, ...]:
    """The indexes of a version that has the manifest's segments; those it names already are used where they can be.

    Where they would not fit the budget together, there is one over everything, planned with all of the budget. What is
    built is on disk when this returns. The caller holds the writer lock.

    Raises
    ------
    OverBudgetError
        If that does not fit either.
    """

    def indexes(
        build_over: Callable[[Sequence[SegmentEntry]], list[IndexEntry]],
    ) -> tuple[IndexEntry, ...]:
        return folded(manifest.indexes, manifest.segments, build_over, least_rows=SMALLEST_INDEX)

    if _fits(manifest, indexes):
        return indexes(lambda segments: build(store, manifest, segments))
    return tuple(build(store, manifest, manifest.segments))


def _fits(
    manifest: Manifest,
    indexes: Callable[[Callable[[Sequence[SegmentEntry]], list[IndexEntry]]], tuple[IndexEntry, ...]],
) -> bool:
    """Whether the indexes that the manifest would get fit its budget; nothing is built."""
    budget = manifest.index.ram_bytes
    if budget is None:
        return True
    rows = sum(entry.rows for entry in manifest.segments)
    try:
        planned = indexes(lambda segments: [one for one, _ in _planned(manifest, segments)])
    except OverBudgetError:
        return False
    return indexes_ram_bytes(planned, rows, manifest.dimension) <= budget


def folded(
    indexes: Sequence[IndexEntry],
    segments: Sequence[SegmentEntry],
    build_over: Callable[[Sequence[SegmentEntry]], list[IndexEntry]],
    *,
    least_rows: int,
    whole: bool = False,
) -> tuple[IndexEntry, ...]:
    """The rule of `fold` for indexes of any kind; fewer than `least_rows` new rows wait.

    With `whole`, the one index is over everything, and is made anew when enough rows are new.
    """
    present = {entry.id for entry in segments}
    kept = [index for index in indexes if all(segment in present for segment in index.segments)]
    covered = {segment for index in kept for segment in index.segments}
    tail = [entry for entry in segments if entry.id not in covered]
    waiting = sum(entry.rows for entry in tail)
    total = sum(entry.rows for entry in segments)
    if waiting >= max(least_rows, min(_LARGEST_TAIL, int(total * _LARGEST_TAIL_SHARE))):
        if whole:
            return tuple(build_over(segments))
        kept += build_over(tail)
    if len(kept) > _MOST_INDEXES:
        largest = max(kept, key=lambda index: index.rows)
        small = [index for index in kept if index is not largest]
        # Merging the small ones often and the large one rarely: each row is indexed a few times in all.
        merged = small if 2 * sum(index.rows for index in small) < largest.rows else kept
        ids = {segment for index in merged for segment in index.segments}
        kept = [index for index in kept if index not in merged] + build_over(
            [entry for entry in segments if entry.id in ids]
        )
    return tuple(kept)


def build(store: Path, manifest: Manifest, segments: Sequence[SegmentEntry]) -> list[IndexEntry]:
    """One index over some segments, in their order; none where they are too few. What is on disk is used as it is."""
    made = []
    for entry, plan in _planned(manifest, segments):
        final = store / "indexes" / entry.id
        if not final.exists():
            _build_into(final, store, manifest, segments, plan)
        made.append(entry.model_copy(update={"files": describe_files(final)}))
    return made


def _planned(manifest: Manifest, segments: Sequence[SegmentEntry]) -> list[tuple[IndexEntry, Plan]]:
    """What `build` would make, without its files."""
    rows = sum(entry.rows for entry in segments)
    plan = plan_index(rows, manifest.dimension, manifest.metric, manifest.index)
    if plan is None:
        return []
    ids = tuple(entry.id for entry in segments)
    calibration = manifest.calibration.name if manifest.calibration else None
    key = content_key(plan.family, dict(plan.parameters), manifest.metric, calibration, ids)
    entry = IndexEntry(
        id=f"dense-{plan.family}-{key[:16]}",
        kind="dense",
        family=plan.family,
        parameters=dict(plan.parameters),
        segments=ids,
        rows=rows,
        files={},
    )
    return [(entry, plan)]


def _build_into(
    final: Path, store: Path, manifest: Manifest, segments: Sequence[SegmentEntry], plan: Plan
) -> None:
    parts = [
        open_vectors(store / "segments" / entry.id, entry, manifest.dimension, manifest.dtype)
        for entry in segments
    ]
    vectors = Vectors(parts, manifest.metric, manifest.dimension, release=True)
    given = read_queries(store, manifest)
    with published_folder(final) as folder:
        build_index(plan, vectors, folder, given)
        crash_point("after_index_built")
        queries = perturbed_rows(vectors, _CALIBRATION_QUERIES, seed=0) if given is None else given
        source = manifest.calibration.source if manifest.calibration else "rows"
        index = open_index(plan.family, folder)
        write_curve(folder, measure(index, vectors, queries, source, plan))
        crash_point("before_index_rename")


def write_queries(
    store: Path, queries: NDArray[np.float32], source: Literal["given", "sentences"]
) -> CalibrationEntry:
    """Keep (n, d) queries for the measurement of recall whenever an index is built.

    The caller holds the writer lock.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(queries, dtype=np.float32))
    data = buffer.getvalue()
    digest = xxhash.xxh3_128_hexdigest(data)
    folder = store / "calibration"
    folder.mkdir(exist_ok=True)
    write_durably(folder / f"{digest}.npy", data)
    return CalibrationEntry(
        name=f"{digest}.npy", rows=len(queries), source=source, bytes=len(data), checksum=digest
    )


def with_queries(store: Path, manifest: Manifest, encoder: Encoder) -> Manifest:
    """The manifest with queries to measure recall with: sentences of its passages, once an index is worth it.

    The caller holds the writer lock.
    """
    rows = sum(entry.rows for entry in manifest.segments)
    if manifest.calibration is not None or rows < SMALLEST_INDEX:
        return manifest
    drawn = np.sort(np.random.default_rng(0).choice(rows, _CALIBRATION_QUERIES, replace=False))
    texts: list[str] = []
    first = 0
    for entry in manifest.segments:
        segment = Segment(store / "segments" / entry.id, entry)
        here = drawn[(drawn >= first) & (drawn < first + entry.rows)] - first
        texts += [segment.read_passage(position).text for position in here.tolist()]
        first += entry.rows
    texts = [text for text in texts if text.strip()]
    if not texts:
        return manifest
    queries = sentence_queries(texts, encoder, len(texts), seed=0)
    return manifest.model_copy(update={"calibration": write_queries(store, queries, "sentences")})


def read_queries(store: Path, manifest: Manifest) -> NDArray[np.float32] | None:
    """The (n, d) queries that recall is measured with; None where the store has none of its own.

    Raises
    ------
    IntegrityError
        If their file is missing or holds something else.
    """
    if manifest.calibration is None:
        return None
    file = store / "calibration" / manifest.calibration.name
    try:
        return read_array(file, (manifest.calibration.rows, manifest.dimension), np.float32)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{file} cannot be read: {error}", hint=f"compendia verify {store}") from error
