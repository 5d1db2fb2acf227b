"""Bringing a store to another set of documents: what fell out is marked deleted, what is new comes as segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..catalog import Catalog
from ..encoders import Encoder
from ..manifest import Manifest, SegmentEntry
from .compact import with_few_small
from .deletes import mark_deleted
from .features import with_features
from .finish import compacted_if_worth, with_indexes
from .fold import with_queries


def with_documents(
    path: Path,
    manifest: Manifest,
    *,
    deleted: Mapping[str, Sequence[str]],
    added: Sequence[SegmentEntry],
    order: Sequence[str],
    encoder: Encoder,
) -> Manifest:
    """The manifest without the documents `deleted` (ids by source) and with the segments `added`, and their indexes.

    A segment that is added takes the place of one of the same id: documents that come back as they were lead to the
    segment that they were deleted from. Segments stand in the `order` of ids, the others behind them. What is new is on
    disk when this returns; the caller, who holds the writer lock, commits it.
    """
    new = {entry.id: entry for entry in added}
    base = manifest.model_copy(
        update={"segments": tuple(entry for entry in manifest.segments if entry.id not in new)}
    )
    segments: tuple[SegmentEntry, ...] = base.segments
    if segments and any(deleted.values()):
        catalog = Catalog(path, base)
        rows = np.concatenate([rows_of_documents(catalog, source, ids) for source, ids in deleted.items()])
        segments = tuple(mark_deleted(path, base, catalog, np.sort(rows)))
    waiting = {entry.id: entry for entry in segments} | new
    placed = [waiting.pop(segment) for segment in order if segment in waiting]
    changed = manifest.model_copy(update={"segments": (*placed, *waiting.values())})
    changed = compacted_if_worth(path, with_features(path, with_queries(path, changed, encoder)))
    # Indexes first: a segment that one covers stays as it is, however small.
    return with_few_small(path, with_indexes(path, changed))


def rows_of_documents(catalog: Catalog, source: str, ids: Sequence[str]) -> NDArray[np.int64]:
    """(m,) rows of all passages of a source's documents."""
    rows = catalog.rows_of_documents(ids)
    numbers, positions = catalog.locate(rows)
    is_here = [
        catalog.segments[number].read_passage(position).source == source
        for number, position in zip(numbers.tolist(), positions.tolist(), strict=True)
    ]
    return rows[np.array(is_here, dtype=np.bool_)]
