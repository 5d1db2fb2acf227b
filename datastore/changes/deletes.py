"""Rows that are deleted: a file of their positions beside each segment, written anew by every change."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..catalog import Catalog, read_deletes
from ..files import checksum, crash_point, fsync, write_durably
from ..manifest import DeletesEntry, Manifest, SegmentEntry, next_version


def mark_deleted(
    path: Path, manifest: Manifest, catalog: Catalog, rows: NDArray[np.int64]
) -> Iterable[SegmentEntry]:
    """The version's segments with these rows deleted too; what is written is on disk when this ends."""
    numbers, positions = catalog.locate(rows)
    name = f"{next_version(path):08d}.npy"
    for number, entry in enumerate(manifest.segments):
        here = positions[numbers == number]
        if not len(here):
            yield entry
            continue
        merged = np.union1d(read_deletes(path, entry), here)
        buffer = io.BytesIO()
        np.save(buffer, merged)
        folder = path / "deletes" / entry.id
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / name, buffer.getvalue())
        deletes = DeletesEntry(
            name=name, rows=len(merged), bytes=len(buffer.getvalue()), checksum=checksum(folder / name)
        )
        yield entry.model_copy(update={"deletes": deletes})
    if len(rows):
        fsync(path / "deletes")  # the segments' folders in it
    crash_point("after_deletes")
