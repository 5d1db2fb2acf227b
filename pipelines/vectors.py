"""Vectors that exist already: .npy and Parquet files become a store without an encoder of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datastore import Datastore, NotFoundError, UsageError
from datastore.changes.batch import SEGMENT_ROWS
from datastore.changes.edit import Rows, add
from datastore.errors import nearest
from datastore.files import content_key
from datastore.index.config import IndexConfig
from datastore.index.dense import Metric
from datastore.manifest import current_version, read_manifest
from datastore.segment import StoredType

from .document import Reject
from .vector_pairs import Pair, is_release, pairs_in, pickled, read_pair
from .vector_rows import Block, SetAside, storable

_VECTOR_NAMES = ("vector", "embedding", "vectors", "embeddings", "emb")


class VectorBuild(NamedTuple):
    """What `build_from_vectors` made."""

    version: int
    changed: bool  # False: the store held these files' rows already
    set_aside: SetAside  # rows that no store could hold


class VectorFiles(NamedTuple):
    """Files of vectors, alone or with the passages that they belong to."""

    pairs: list[Pair]  # none: files alone
    files: list[Path]  # all of them
    dimension: int
    rows: int


def build_from_vectors(
    path: Path,
    out: Path,
    *,
    column: str | None = None,
    id_column: str = "id",
    text_column: str = "text",
    metric: Metric = "cosine",
    vectors: StoredType = "float16",
    index: IndexConfig | None = None,
    max_failure_share: float = 0.2,
) -> VectorBuild:
    """A store of the rows of a .npy or .parquet file, or of a folder of them in the order of their names.

    A .npy holds (n, d) vectors; their ids are `<file>-<row>`. A Parquet file holds them in `column` (default: one that
    is named vector or embedding), ids and texts beside it, and every other column is metadata. A folder of .npy files
    and passages as JSON lines, in the layout of the CompactDS release or side by side, gives the rows of both; see
    `vector_pairs`. Rows that the store has under the same id are replaced, its other rows stay. What has been read is
    written and dropped again: RAM is bounded but for 8 bytes a row. A row whose vector is missing, zero, not finite or
    too large, whose id is missing or that of an earlier row, or whose line is no passage, is set aside.

    Raises
    ------
    NotFoundError
        If there is no such file.
    UsageError
        If the files hold no vectors of one dimension, are pickles, or more than `max_failure_share` of the rows are set
        aside, and not just a few; the store is as it was then.
    """
    pairs, files, dimension, _ = find_vectors(path, column)
    key = content_key(
        [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        [column, id_column, text_column, metric, vectors],
    )
    if current_version(out) is None:
        Datastore.create(out, dimension=dimension, metric=metric, vectors=vectors, index=index).close()
    manifest = read_manifest(out)
    if manifest.encoder is not None:
        raise UsageError(
            f"{out} holds vectors of the encoder {manifest.encoder.fingerprint.model}; "
            f"those of {path} cannot be compared with them",
            hint="name another folder with --out",
        )
    if (manifest.dimension, manifest.metric) != (dimension, metric):
        raise UsageError(
            f"{out} holds vectors of {manifest.dimension} dimensions under {manifest.metric}, "
            f"{path} has {dimension}, to be compared by {metric}",
            hint="name another folder with --out",
        )
    if manifest.dtype != vectors:
        raise UsageError(
            f"{out} stores {manifest.dtype}, not {vectors}", hint="name another folder with --out"
        )
    if manifest.recipe_hash == key:
        return VectorBuild(manifest.version, changed=False, set_aside=SetAside())
    if pairs:
        blocks = (rows for pair in pairs for rows in _read_pair(pair, id_column, text_column))
    else:
        blocks = (rows for file in files for rows in _read(file, column, id_column, text_column, dimension))
    set_aside = SetAside()
    rows = storable(blocks, set_aside, metric, vectors, max_failure_share)
    manifest, _ = add(out, rows, replace=True, recipe_hash=key)
    return VectorBuild(manifest.version, changed=True, set_aside=set_aside)


def find_vectors(path: Path, column: str | None = None) -> VectorFiles:
    """What `build_from_vectors` would read; only what says how much there is is opened.

    Raises
    ------
    NotFoundError, UsageError
        As `build_from_vectors`.
    """
    pairs = pairs_in(path) if path.is_dir() else []
    files = [Path(file.place) for pair in pairs for half in pair for file in half] or _files(path)
    holding = [Path(file.place) for pair in pairs for file in pair.vectors] or files
    rows = sum(
        len(_open_npy(file)) if file.suffix == ".npy" else _parquet(file).metadata.num_rows
        for file in holding
    )
    return VectorFiles(pairs, files, _dimension(holding[0], column), rows)


def holds_vectors(path: Path) -> bool:
    """Whether a file is one of vectors, .npy or Parquet with a column of that name, or a folder a CompactDS release."""
    if path.is_dir():
        return is_release(path)
    if path.suffix == ".npy":
        return True
    return path.suffix == ".parquet" and _vector_column(_schema(path)) is not None


def _files(path: Path) -> list[Path]:
    if path.suffix in (".pkl", ".pickle"):
        raise pickled(path)
    if path.is_file() and path.suffix not in (".npy", ".parquet"):
        raise UsageError(f"{path} is neither .npy nor .parquet")
    files = (
        sorted(file for file in path.iterdir() if file.suffix in (".npy", ".parquet"))
        if path.is_dir()
        else [path]
    )
    if not files or not files[0].is_file():
        raise NotFoundError(f"there is no .npy or .parquet file at {path}")
    return files


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file} is not a Parquet file: {error}") from error


def _parquet(file: Path) -> pq.ParquetFile:
    _schema(file)  # whether it is one
    return pq.ParquetFile(file)


def _vector_column(schema: pa.Schema) -> str | None:
    return next((name for name in _VECTOR_NAMES if name in schema.names), None)


def _dimension(file: Path, column: str | None) -> int:
    if file.suffix == ".npy":
        shape = _open_npy(file).shape
        return int(shape[1])
    for batch in _parquet(file).iter_batches(columns=[_column(file, column)]):
        for vector in batch.column(0):
            if vector.is_valid:
                return len(vector)
    raise UsageError(f"{file} holds not one vector")


def _column(file: Path, column: str | None) -> str:
    schema = _schema(file)
    names = schema.names
    chosen = column or _vector_column(schema)
    if chosen is None or chosen not in names:
        raise UsageError(
            f"{file} has no column {column or 'of vectors'}",
            hint=nearest(column or "vector", names) + "  --vectors COLUMN names it",
        )
    kind = schema.field(chosen).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise UsageError(f"{file}: the column {chosen} holds {kind}, not lists of numbers")
    return chosen


def _open_npy(file: Path) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UsageError(f"{file} must hold (n, d) numbers, has {array.shape} {array.dtype}")
    return array


def _read(
    file: Path, column: str | None, id_column: str, text_column: str, dimension: int
) -> Iterator[Block]:
    if file.suffix == ".npy":
        array = _open_npy(file)
        for start in range(0, len(array), SEGMENT_ROWS):
            block = array[start : start + SEGMENT_ROWS]
            ids = [f"{file.stem}-{row}" for row in range(start, start + len(block))]
            yield Block(Rows(block, ids), {}, file.name, start)
        return
    chosen = _column(file, column)
    parquet = pq.ParquetFile(file)
    if id_column not in parquet.schema_arrow.names:
        raise UsageError(
            f"{file} has no column {id_column}", hint=nearest(id_column, parquet.schema_arrow.names)
        )
    first = 0
    for batch in parquet.iter_batches(SEGMENT_ROWS):
        table = pa.Table.from_batches([batch])
        matrix, wrong = _matrix(table.column(chosen), dimension)
        ids = ["" if value is None else str(value) for value in table.column(id_column).to_pylist()]
        rows = Rows(
            matrix,
            ids,
            [text or "" for text in table.column(text_column).to_pylist()]
            if text_column in table.column_names
            else None,
            table.drop_columns(
                [name for name in (chosen, id_column, text_column) if name in table.column_names]
            ),
        )
        faults = {
            row: Reject("wrong_vector", f"{file.name}:{first + row}", ids[row], detail, "")
            for row, detail in wrong.items()
        }
        yield Block(rows, faults, file.name, first)
        first += len(table)


def _read_pair(pair: Pair, id_column: str, text_column: str) -> Iterator[Block]:
    return read_pair(pair, [_open_npy(Path(file.place)) for file in pair.vectors], id_column, text_column)


def _matrix(column: pa.ChunkedArray, dimension: int) -> tuple[np.ndarray[Any, Any], dict[int, str]]:
    """(n, dimension) numbers of a column of lists, and what is wrong with rows that are no such list: zeros."""
    lists = column.combine_chunks()
    lengths = np.asarray(pc.list_value_length(lists).fill_null(-1))
    wrong = {
        int(row): f"a vector of {lengths[row]} numbers, expected {dimension}"
        if lengths[row] >= 0
        else "no vector"
        for row in np.flatnonzero(lengths != dimension)
    }
    values = lists.filter(pa.array(lengths == dimension)).flatten()
    if values.null_count:
        of_values = np.flatnonzero(lengths == dimension).repeat(dimension)
        missing = np.unique(of_values[np.asarray(values.is_null())])
        wrong |= {int(row): "a vector with missing numbers" for row in missing}
        values = values.fill_null(0)
    numbers = np.asarray(values)
    if not wrong:
        return numbers.reshape(-1, dimension), wrong
    matrix = np.zeros((len(lists), dimension), dtype=numbers.dtype)
    matrix[lengths == dimension] = numbers.reshape(-1, dimension)
    return matrix, wrong
