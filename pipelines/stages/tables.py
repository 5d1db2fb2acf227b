"""Arrow files of the work area: written once, mapped to be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Of texts: few documents of a shard are read without decompressing all.
_ROWS_PER_BATCH = 64


def write_table(path: Path, table: pa.Table) -> None:
    """A table as one compressed record batch."""
    _write(path, table, None)


def write_texts(path: Path, table: pa.Table) -> None:
    """A table whose rows `read_rows` is to read."""
    _write(path, table, _ROWS_PER_BATCH)


def _write(path: Path, table: pa.Table, rows_per_batch: int | None) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as file:
        file.write_table(table.combine_chunks(), rows_per_batch)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table, or some of its columns; the others are not decompressed."""
    with pa.memory_map(str(path)) as source:
        return _open(source, columns).read_all()


def read_rows(path: Path, columns: list[str], positions: NDArray[np.int64]) -> pa.Table:
    """Rows of a file of `write_texts`, whose positions are ascending; only their batches are decompressed."""
    numbers, offsets = np.divmod(positions, _ROWS_PER_BATCH)
    with pa.memory_map(str(path)) as source:
        reader = _open(source, columns)
        batches = [
            reader.get_batch(number).take(pa.array(offsets[numbers == number]))
            for number in np.unique(numbers).tolist()
        ]
        return pa.Table.from_batches(batches, reader.schema)


def column_names(path: Path) -> list[str]:
    with pa.memory_map(str(path)) as source:
        names: list[str] = pa.ipc.open_file(source).schema.names
        return names


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """What stands beside the columns of a table."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema.metadata or {}


def _open(source: pa.MemoryMappedFile, columns: list[str] | None) -> pa.ipc.RecordBatchFileReader:
    reader = pa.ipc.open_file(source)
    if columns is None:
        return reader
    chosen = [reader.schema.get_field_index(name) for name in columns]
    return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=chosen))
