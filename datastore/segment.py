"""A segment: passages, their vectors and their metadata, written once, in document order, never edited.

passages.arrow    Arrow IPC, LZ4, 32 rows a record batch: all that a Hit returns
metadata.parquet  one row a passage: the columns one can filter and count by
vectors.npy       (n, d) float16, C order; row i is passage i
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .errors import IntegrityError
from .files import checksum
from .hits import Hit
from .manifest import FileEntry, SegmentEntry

# Ten random passages cost ten batches. LZ4, since Arrow makes a zstd context for each of a batch's 16 buffers, which
# takes ten times as long as the decompression itself (docs/design/store-format.md has the table).
ROWS_PER_BATCH = 32

PASSAGES = pa.schema(
    [
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # position among the document's passages, from 0
        # characters [start, end) of the document's normalised text
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),  # JSON object: keeps a value's type
    ]
)
_FILTER_COLUMNS = ["passage_id", "document_id", "source", "title", "ordinal"]


class Passage(NamedTuple):
    """One row of `PASSAGES`, metadata still as a mapping."""

    passage_id: str
    document_id: str
    source: str
    title: str
    ordinal: int
    start: int
    end: int
    text: str
    metadata: Mapping[str, Any]


def _metadata_table(passages: pa.Table, metadata: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The filterable columns: a key whose values are of one scalar type keeps it (whole numbers among others count as
    floats), any other becomes JSON text.
    """
    table = passages.select(_FILTER_COLUMNS)
    for key in sorted({key for record in metadata for key in record} - set(_FILTER_COLUMNS)):
        values = [record.get(key) for record in metadata]
        types = {type(value) for value in values if value is not None}
        if types == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif not types or len(types) > 1 or types - {bool, int, float, str}:
            values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        try:
            column = pa.array(values)
        except (pa.ArrowInvalid, OverflowError):  # an integer beyond 64 bits
            column = pa.array([None if value is None else str(value) for value in values])
        table = table.append_column(key, column)
    return table


def write_passages(folder: Path, passages: Iterable[Passage]) -> int:
    """Write passages.arrow and metadata.parquet into `folder`; the number of rows."""
    rows = list(passages)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PASSAGES)
    metadata: Sequence[Mapping[str, Any]] = columns[-1]
    encoded = [json.dumps(record, ensure_ascii=False, sort_keys=True) for record in metadata]
    table = pa.table([*columns[:-1], encoded], schema=PASSAGES)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(folder / "passages.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, PASSAGES, options=options) as file,
    ):
        file.write_table(table, max_chunksize=ROWS_PER_BATCH)
    pq.write_table(_metadata_table(table, metadata), folder / "metadata.parquet", compression="zstd")
    return len(rows)


def write_vectors(folder: Path, vectors: NDArray[np.float32]) -> None:
    """Write vectors.npy as float16.

    Raises
    ------
    IntegrityError
        If a vector is not finite, or zero, after rounding to float16.
    """
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused below
        rounded = vectors.astype(np.float16)
    bad = ~np.isfinite(rounded).all(axis=1) | ~rounded.any(axis=1)
    if bad.any():
        raise IntegrityError(
            f"the encoder gave a vector that is not finite or is zero, first at row {int(bad.argmax())}"
        )
    np.save(folder / "vectors.npy", rounded)


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Size and checksum of each file in a folder, by name."""
    return {
        file.name: FileEntry(bytes=file.stat().st_size, checksum=checksum(file))
        for file in sorted(folder.iterdir())
    }


class Segment:
    """An open segment: its files are mapped, nothing is read until asked for.

    Safe for concurrent reads.
    """

    def __init__(self, folder: Path, entry: SegmentEntry, dimension: int) -> None:
        self.entry = entry
        self._path = str(folder / "passages.arrow")
        try:
            self.vectors: NDArray[np.float16] = np.load(
                folder / "vectors.npy", mmap_mode="r", allow_pickle=False
            )
            self._passages = pa.ipc.open_file(
                pa.memory_map(self._path),
                options=pa.ipc.IpcReadOptions(use_threads=False),
            )
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"segment {entry.id} cannot be read: {error}", hint=f"compendia verify {folder.parents[1]}"
            ) from error
        if self.vectors.shape != (entry.rows, dimension) or self.vectors.dtype != np.float16:
            raise IntegrityError(
                f"segment {entry.id}: expected vectors ({entry.rows}, {dimension}) float16, "
                f"got {self.vectors.shape} {self.vectors.dtype}"
            )
        if self._passages.schema != PASSAGES:
            raise IntegrityError(f"segment {entry.id}: passages.arrow has other columns than this format")
        self._lock = threading.Lock()  # Arrow's file reader is not documented as safe for concurrent reads

    def read_hit(self, position: int, score: float) -> Hit:
        """The passage at a position, as a Hit."""
        number, row = divmod(position, ROWS_PER_BATCH)
        with self._lock:
            batch = self._passages.get_batch(number)
        value = {name: batch.column(i)[row].as_py() for i, name in enumerate(PASSAGES.names)}
        return Hit(
            passage_id=value["passage_id"],
            document_id=value["document_id"],
            source=value["source"],
            title=value["title"],
            score=score,
            text=value["text"],
            metadata=json.loads(value["metadata"]),
        )

    def read_column(self, name: str) -> list[Any]:
        """One column of all passages, in order; the others are not decompressed."""
        options = pa.ipc.IpcReadOptions(included_fields=[PASSAGES.get_field_index(name)])
        with pa.memory_map(self._path) as source:
            values: list[Any] = pa.ipc.open_file(source, options=options).read_all().column(name).to_pylist()
        return values
