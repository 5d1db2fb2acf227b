"""The passages of a version by row, position and id: what is deleted is out of sight, text is read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .arrays import read_array
from .errors import IntegrityError
from .filters import MetadataFile
from .hits import Hit
from .lookup import hash_ids
from .machine import allow_open_files
from .manifest import Manifest, SegmentEntry
from .rescore import ExactVectors, VectorFile
from .segment import EXACT_VECTORS_FILE, VECTORS_FILE, Passage, Segment

Mask = NDArray[np.bool_]


class Catalog:
    """The open segments of a version. Safe for concurrent reads."""

    def __init__(self, path: Path, manifest: Manifest, previous: Catalog | None = None) -> None:
        """`previous`: one of the same store, whose open segments are used again."""
        allow_open_files(12 * len(manifest.segments))  # of two versions, for the moment of a refresh
        opened = {} if previous is None else {segment.entry.id: segment for segment in previous.segments}
        self.segments: list[Segment] = [
            opened.get(entry.id) or Segment(path / "segments" / entry.id, entry)
            for entry in manifest.segments
        ]
        self.first_rows = np.array(
            [0, *accumulate(entry.rows for entry in manifest.segments)], dtype=np.int64
        )
        self.metadata_files = [
            MetadataFile(segment.entry.id, segment.folder / "metadata.parquet", segment.entry.rows)
            for segment in self.segments
        ]
        """What a filter is evaluated on, in row order."""
        self.live = self._live_rows(path, manifest)
        """(rows,) False where a row is deleted; None where none is."""

    @cached_property
    def columns(self) -> frozenset[str]:
        """What a filter may name, in lower case; empty where there is no segment."""
        names = (pq.read_schema(file.path).names for file in self.metadata_files)
        return frozenset(name.lower() for some in names for name in some)

    def _live_rows(self, path: Path, manifest: Manifest) -> Mask | None:
        if all(entry.deletes is None for entry in manifest.segments):
            return None
        live = np.ones(self.rows, dtype=np.bool_)
        for first, entry in zip(self.first_rows, manifest.segments, strict=False):
            live[first + read_deletes(path, entry)] = False
        live.setflags(write=False)
        return live

    @property
    def rows(self) -> int:
        """Rows, the deleted ones included."""
        return int(self.first_rows[-1])

    def locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Segment number and position of each row."""
        numbers = np.searchsorted(self.first_rows, rows, side="right") - 1
        return numbers, rows - self.first_rows[numbers]

    def read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """The passages of m rows with their (m,) scores, in the order given."""
        numbers, positions = self.locate(rows)
        return [
            self.segments[number].read_hit(position, score)
            for number, position, score in zip(
                numbers.tolist(), positions.tolist(), scores.tolist(), strict=True
            )
        ]

    def read_column(self, name: str) -> list[Any]:
        """A column of `datastore.segment.PASSAGES` for all rows, in row order, deleted ones included."""
        return [value for segment in self.segments for value in segment.read_column(name)]

    def read_passages(self) -> Iterator[tuple[int, Passage]]:
        """All rows that are not deleted, with their passages, in order."""
        for first, segment in zip(self.first_rows.tolist(), self.segments, strict=False):
            for row, passage in enumerate(segment.read_passages(), start=first):
                if self.live is None or self.live[row]:
                    yield row, passage

    def find_passages(self, ids: Sequence[str]) -> dict[str, tuple[int, Hit]]:
        """Row and passage, without a score, of each passage id that is there."""
        hashes = hash_ids(ids)
        found: dict[str, tuple[int, Hit]] = {}
        # An id may stand in several segments, deleted in all but one.
        for first, segment in zip(self.first_rows.tolist(), self.segments, strict=False):
            for position, hit in segment.find_passages(ids, hashes):
                if self.live is None or self.live[first + position]:
                    found[hit.passage_id] = first + position, hit
            if len(found) == len(ids):
                break
        return found

    def rows_of_passages(self, ids: Sequence[str]) -> dict[str, int]:
        """The row of each passage id that is there."""
        return {name: row for name, (row, _) in self.find_passages(ids).items()}

    def rows_of_documents(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """(m,) rows of all passages of these documents, ascending, whatever their source."""
        found = [
            first + segment.positions_of_documents(ids)
            for first, segment in zip(self.first_rows.tolist(), self.segments, strict=False)
        ]
        rows = np.concatenate([np.empty(0, dtype=np.int64), *found])
        return rows if self.live is None else rows[self.live[rows]]


def open_exact_vectors(catalog: Catalog, manifest: Manifest, *, rescoring: bool = True) -> ExactVectors:
    """The vectors that decide (`rescoring`), or those the index is made from; the same where there is one encoder."""
    second = manifest.exact_encoder if rescoring else None
    file = VECTORS_FILE if second is None else EXACT_VECTORS_FILE
    return ExactVectors(
        [VectorFile(segment.folder / file, segment.entry.rows) for segment in catalog.segments],
        manifest.dimension if second is None else second.fingerprint.dimension,
        np.float16 if manifest.dtype == "float16" else np.float32,
        manifest.metric,
    )


def read_deletes(path: Path, entry: SegmentEntry) -> NDArray[np.int64]:
    """Sorted positions of a segment's deleted rows.

    Raises
    ------
    IntegrityError
        If the file is missing or holds something else.
    """
    if entry.deletes is None:
        return np.empty(0, dtype=np.int64)
    file = path / "deletes" / entry.id / entry.deletes.name
    try:
        positions: NDArray[np.int64] = read_array(file, (entry.deletes.rows,), np.int64)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{file} cannot be read: {error}", hint=f"compendia verify {path}") from error
    if positions[0] < 0 or positions[-1] >= entry.rows or not (np.diff(positions) > 0).all():
        raise IntegrityError(
            f"{file} does not hold sorted positions of segment {entry.id}", hint=f"compendia verify {path}"
        )
    return positions
