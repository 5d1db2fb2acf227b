"""A segment: passages, their vectors and their metadata, written once, in document order, never edited.

passages.arrow     Arrow IPC, LZ4, 32 rows a record batch: all that a Hit returns
metadata.parquet   one row a passage: the columns one can filter and count by
passage_ids.npy    sorted hashes of passage ids with positions, and
document_ids.npy   the same of document ids: lookups without a scan
dedup.npy          (documents, 3) uint64, of what a build made: position of the document's first row, and xxh3-128 of its
                   text without case and white space; (documents, 4 + b) if the build looked for near-copies: what
                   names the settings of its MinHash, and the hashes of b bands
vectors.npy        (n, d) float16 or float32, C order; row i is passage i
exact_vectors.npy  the same from a second encoder, where the store has one
"""

from __future__ import annotations

import json
import math
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .arrays import read_array
from .errors import IntegrityError, UsageError
from .files import checksum
from .hits import Hit
from .index.dense.vectors import LONGEST, SHORTEST
from .lookup import Table, hash_ids, positions_of, write_lookup
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
_HIT_COLUMNS = [
    PASSAGES.get_field_index(name)
    for name in ("passage_id", "document_id", "source", "title", "text", "metadata")
]
FILTER_COLUMNS = ("passage_id", "document_id", "source", "title", "ordinal")
PASSAGE_FILES = ("passages.arrow", "metadata.parquet", "passage_ids.npy", "document_ids.npy")
DEDUP_FILE = "dedup.npy"
VECTORS_FILE = "vectors.npy"
EXACT_VECTORS_FILE = "exact_vectors.npy"

StoredType = Literal["float16", "float32"]


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
    floats); of any other texts stay as they are, and the rest becomes JSON text. NaN is a value that is missing.
    """
    table = passages.select(FILTER_COLUMNS)
    for key in sorted({key for record in metadata for key in record} - set(FILTER_COLUMNS)):
        given = (record.get(key) for record in metadata)
        values = [None if isinstance(value, float) and math.isnan(value) else value for value in given]
        types = {type(value) for value in values if value is not None}
        if not types or (len(types) > 1 and types != {int, float}) or types - {bool, int, float, str}:
            values = [
                value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                for value in values
            ]
        try:
            if types == {int, float}:
                values = [None if value is None else float(value) for value in values]
            column = pa.array(values)
        except (pa.ArrowInvalid, OverflowError):  # an integer beyond 64 bits
            column = pa.array([None if value is None else str(value) for value in values])
        table = table.append_column(key, column)
    return table


def write_passages(folder: Path, passages: Iterable[Passage]) -> int:
    """Write `PASSAGE_FILES` into `folder`; the number of rows."""
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
    write_lookup(folder / "passage_ids.npy", columns[0])
    write_lookup(folder / "document_ids.npy", columns[1])
    return len(rows)


def stored_vectors(vectors: NDArray[np.floating[Any]], dtype: StoredType) -> NDArray[np.floating[Any]]:
    """(n, d) vectors in the type they are stored in.

    Raises
    ------
    UnstorableVectorError
        If one is not finite, or zero, after rounding, or longer than `LONGEST` or shorter than `SHORTEST`.
    """
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused below
        rounded = np.ascontiguousarray(vectors, dtype=dtype)
        bad = ~np.isfinite(rounded).all(axis=1) | ~rounded.any(axis=1)
        if dtype == "float32":  # float16 holds nothing as long or as short
            squares = np.einsum("ij,ij->i", rounded, rounded)
            bad |= ~((squares <= LONGEST**2) & (squares >= SHORTEST**2))
    if bad.any():
        row = int(bad.argmax())
        raise UnstorableVectorError(row, *_why_unstorable(vectors[row], dtype))
    return rounded


def _why_unstorable(vector: NDArray[np.floating[Any]], dtype: StoredType) -> tuple[str, str]:
    """The reason, and what mends it."""
    if not np.isfinite(vector).all():
        return "is not finite", "leave the row out"
    if not vector.any():
        return "is zero", "leave the row out"
    if dtype == "float16":
        return "does not fit float16", "leave the row out, or make the store with vectors='float32'"
    if np.abs(vector).max() < 1:
        return f"is too short for float32 (at least {SHORTEST:g})", "multiply all vectors by one number"
    return f"is too long for float32 (at most {LONGEST:g})", "divide all vectors by one number"


class UnstorableVectorError(UsageError):
    """A vector that no search could find."""

    def __init__(self, row: int, reason: str, hint: str) -> None:
        super().__init__(f"the vector of row {row} {reason}", hint=hint)
        self.row = row
        self.reason = reason


def write_vectors(
    folder: Path,
    vectors: NDArray[np.floating[Any]],
    dtype: StoredType = "float16",
    file: str = VECTORS_FILE,
) -> None:
    """Write (n, d) vectors; see `stored_vectors` for what is refused."""
    np.save(folder / file, stored_vectors(vectors, dtype))


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

    def __init__(self, folder: Path, entry: SegmentEntry) -> None:
        self.entry = entry
        self.folder = folder
        with self._reading():
            self._source = pa.memory_map(str(folder / "passages.arrow"))
            self._passages = pa.ipc.open_file(self._source, options=pa.ipc.IpcReadOptions(use_threads=False))
            if self._passages.schema != PASSAGES:
                raise ValueError("passages.arrow has other columns than this format")
            shape = (2, entry.rows)
            self._passage_ids: Table = read_array(folder / "passage_ids.npy", shape, np.uint64, mapped=True)
            self._document_ids: Table = read_array(folder / "document_ids.npy", shape, np.uint64, mapped=True)
        self._new_lock()
        _open_segments.add(self)

    def _new_lock(self) -> None:
        self._lock = threading.Lock()  # Arrow's file reader is not documented as safe for concurrent reads

    def read_passage(self, position: int) -> Passage:
        """The passage at a position.

        Raises
        ------
        IntegrityError
            If there is none, or the file is damaged.
        """
        return Passage._make(self._read(position, range(len(PASSAGES))))

    def _read(self, position: int, columns: Iterable[int]) -> list[Any]:
        """Values of one row, metadata as a mapping; that is the last of `columns`."""
        number, row = divmod(position, ROWS_PER_BATCH)
        with self._reading():
            with self._lock:
                batch = self._passages.get_batch(number)
            if not 0 <= row < batch.num_rows:
                raise IndexError(f"there is no row {position}")
            passage = batch.slice(row, 1)
            passage.validate(full=True)  # Arrow follows offsets that are out of bounds
            values: list[Any] = [passage.column(i)[0].as_py() for i in columns]
            values[-1] = json.loads(values[-1])
        return values

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What Arrow and JSON raise for a damaged file, as one error."""
        try:
            yield
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            IndexError,
            OverflowError,
            MemoryError,
            RecursionError,
        ) as error:
            raise _unreadable(self.folder, self.entry, error) from error

    def read_hit(self, position: int, score: float) -> Hit:
        """The passage at a position, as a Hit; see `read_passage`."""
        passage_id, document_id, source, title, text, metadata = self._read(position, _HIT_COLUMNS)
        return Hit(passage_id, document_id, source, title, score, text, metadata)

    def read_column(self, name: str) -> list[Any]:
        """One column of all passages, in order; the others are not decompressed."""
        options = pa.ipc.IpcReadOptions(included_fields=[PASSAGES.get_field_index(name)])
        with self._reading():
            # A slice of the open map: the file may have lost its name since.
            table = pa.ipc.open_file(pa.BufferReader(self._buffer()), options=options).read_all()
            table.validate(full=True)
            values: list[Any] = table.column(name).to_pylist()
        return values

    def read_passages(self) -> Iterator[Passage]:
        """All passages in order, a record batch in RAM at a time."""
        with self._reading():
            reader = pa.ipc.open_file(pa.BufferReader(self._buffer()))
            batches = reader.num_record_batches
        for number in range(batches):
            with self._reading():
                batch = reader.get_batch(number)
                batch.validate(full=True)
                *columns, metadata = (column.to_pylist() for column in batch.columns)
                passages = list(map(Passage._make, zip(*columns, map(json.loads, metadata), strict=True)))
            yield from passages

    def _buffer(self) -> pa.Buffer:
        with self._lock:
            self._source.seek(0)
            return self._source.read_buffer()

    def find_passages(self, ids: Sequence[str], hashes: NDArray[np.uint64]) -> Iterator[tuple[int, Hit]]:
        """The ids that this segment holds, as positions and passages without a score; `hashes` are theirs."""
        numbers, positions = positions_of(self._passage_ids, hashes)
        for number, position in zip(numbers.tolist(), positions.tolist(), strict=True):
            hit = self.read_hit(position, math.nan)
            if hit.passage_id == ids[number]:
                yield position, hit

    def positions_of_documents(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """(p,) positions of all passages of these documents, ascending."""
        numbers, positions = positions_of(self._document_ids, hash_ids(ids))
        found = [
            position
            for number, position in zip(numbers.tolist(), positions.tolist(), strict=True)
            if self.read_passage(position).document_id == ids[number]
        ]
        return np.array(sorted(found), dtype=np.int64)


_open_segments: weakref.WeakSet[Segment] = weakref.WeakSet()


def _renew_locks() -> None:
    for segment in _open_segments:
        segment._new_lock()  # noqa: SLF001 (of this module)


# A lock that another thread held at the fork would never be let go in the child.
os.register_at_fork(after_in_child=_renew_locks)


def open_vectors(
    folder: Path, entry: SegmentEntry, dimension: int, dtype: StoredType, file: str = VECTORS_FILE
) -> NDArray[np.floating[Any]]:
    """(rows, dimension) memory map of a segment's vectors.

    Raises
    ------
    IntegrityError
        If the file is missing, or holds something else.
    """
    try:
        return read_array(folder / file, (entry.rows, dimension), dtype, mapped=True)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, entry, error) from error


def _unreadable(folder: Path, entry: SegmentEntry, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"segment {entry.id} cannot be read: {error}", hint=f"compendia verify {folder.parents[1]}"
    )
