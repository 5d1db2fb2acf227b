"""Rows that a user brings, checked: vectors, ids, texts and metadata become passages of bounded segments."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import UsageError
from ..index.dense.vectors import Metric, unit_vectors, vector_array
from ..segment import FILTER_COLUMNS, Passage, StoredType, UnstorableVectorError, stored_vectors

LONGEST_ID = 10_000  # characters
SEGMENT_ROWS = 131_072
"""Bounds what a writer holds in RAM beside the caller's own arrays."""

Metadata: TypeAlias = pa.Table | Sequence[Mapping[str, Any]]


class Batch(NamedTuple):
    """Rows for one segment."""

    vectors: NDArray[np.floating[Any]]  # (n, d), as they are stored
    passages: list[Passage]


def check_ids(ids: Sequence[str]) -> list[str]:
    """The ids as a list of plain strings.

    Raises
    ------
    UsageError
        If they are one string, or one of them is not a string, is empty, or occurs twice.
    """
    if isinstance(ids, str):
        raise UsageError(f"ids must be a list of strings, got the string {ids!r:.80}", hint="ids=[…]")
    given: list[Any] = [*ids]  # whatever a caller brings
    seen: dict[str, None] = {}
    for row, name in enumerate(given):
        if not isinstance(name, str) or not name or len(name) > LONGEST_ID:
            raise UsageError(
                f"id {row} must be a string of 1 to {LONGEST_ID:,} characters, got {name!r:.80}",
                hint="ids=[str(i) for i in …]",
            )
        if not _is_encodable(name):
            raise UsageError(f"id {row} is not valid text: {name!r:.80}")
        if name in seen:
            raise UsageError(f"id {name!r} occurs twice, last at row {row}")
        seen[str(name)] = None  # NumPy's strings too
    return [*seen]


def _is_encodable(text: str) -> bool:
    """Half of a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_rows(
    vectors: NDArray[np.floating[Any]],
    ids: Sequence[str],
    texts: Sequence[str] | None,
    metadata: Metadata | None,
    dimension: int,
) -> None:
    """Refuse rows that do not belong together.

    Raises
    ------
    UsageError
        If vectors are not (n, dimension) numbers, there are more or fewer ids, texts or metadata than vectors, or
        metadata is no list and no table, or a table with two columns of one name.
    """
    vector_array(vectors, dimension)
    if metadata is not None and not isinstance(metadata, pa.Table | Sequence | np.ndarray):
        raise UsageError(
            f"metadata must be a list of one record a row, or a pyarrow.Table, got a {type(metadata).__name__}",
            hint="metadata=[{'year': 2020}, …]; of a pandas frame: pyarrow.Table.from_pandas(frame)",
        )
    if isinstance(metadata, pa.Table):
        twice = [name for name, count in Counter(metadata.column_names).items() if count > 1]
        if twice:
            raise UsageError(
                f"metadata has several columns {twice[0]!r}",
                hint="metadata=table.rename_columns([…]), or drop one",
            )
    for name, values in (("ids", ids), ("texts", texts), ("metadata", metadata)):
        if values is not None and len(values) != len(vectors):
            raise UsageError(f"{len(vectors)} vectors but {len(values)} {name}")
    for row, text in enumerate(texts if texts is not None else ()):
        if not isinstance(text, str):
            raise UsageError(f"text {row} is a {type(text).__name__}, not a string")
        if not _is_encodable(text):
            raise UsageError(f"text {row} is not valid text: {text!r:.80}")


def batches(
    vectors: NDArray[np.floating[Any]],
    ids: Sequence[str],
    texts: Sequence[str] | None,
    metadata: Metadata | None,
    *,
    metric: Metric,
    dtype: StoredType,
) -> Iterator[Batch]:
    """Checked rows (`check_rows`, `check_ids`) as batches of at most `SEGMENT_ROWS`, in order.

    Raises
    ------
    UsageError
        If a vector is zero, not finite or beyond the stored type, or metadata is not of plain values; with its row.
    """
    for start in range(0, len(vectors), SEGMENT_ROWS):
        stop = min(start + SEGMENT_ROWS, len(vectors))
        try:
            part = vectors[start:stop]
            stored = stored_vectors(unit_vectors(part) if metric == "cosine" else part, dtype)
        except UnstorableVectorError as error:
            raise UsageError(
                f"the vector of row {start + error.row} (id {ids[start + error.row]!r}) {error.reason}",
                hint=error.hint,
            ) from error
        records = _records(metadata, start, stop)
        passages = [
            _passage(ids[row], texts[row] if texts is not None else "", record, row)
            for row, record in zip(range(start, stop), records, strict=True)
        ]
        yield Batch(stored, passages)


def _records(metadata: Metadata | None, start: int, stop: int) -> Sequence[Mapping[str, Any]]:
    if metadata is None:
        return [{}] * (stop - start)
    if isinstance(metadata, pa.Table):
        try:
            records: list[dict[str, Any]] = metadata.slice(start, stop - start).to_pylist()
        except (OverflowError, ValueError) as error:  # a date that Python has not
            raise UsageError(
                f"metadata of rows {start} to {stop - 1} cannot be read: {error}",
                hint="turn such a column into text: column.cast(pyarrow.string())",
            ) from error
        return records
    return metadata[start:stop]


def _passage(passage_id: str, text: str, record: Any, row: int) -> Passage:
    """A row as a passage. Metadata may name its document_id, source, title and ordinal; the rest is kept as it is."""
    if not isinstance(record, Mapping) or not all(isinstance(key, str) for key in record):
        raise UsageError(f"metadata of row {row} must map strings to values, got {record!r:.80}")
    own = {key: _plain(value) for key, value in record.items() if key in FILTER_COLUMNS and value is not None}
    rest = {key: _plain(value) for key, value in record.items() if key not in FILTER_COLUMNS}
    try:
        json.dumps([own, rest], ensure_ascii=False, sort_keys=True).encode()  # as it will be written
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"metadata of row {row} holds what JSON cannot: {error}", hint="turn it into text or numbers"
        ) from error
    if own.get("passage_id", passage_id) != passage_id:
        raise UsageError(f"metadata of row {row} has another passage_id than ids: {own['passage_id']!r}")
    ordinal = own.get("ordinal", 0)
    if not isinstance(ordinal, int) or isinstance(ordinal, bool) or not -(2**31) <= ordinal < 2**31:
        raise UsageError(f"ordinal of row {row} must be a whole number of 32 bits, got {ordinal!r:.80}")
    return Passage(
        passage_id=passage_id,
        document_id=str(own.get("document_id", passage_id)),
        source=str(own.get("source", "added")),
        title=str(own.get("title", "")),
        ordinal=ordinal,
        start=0,
        end=len(text),
        text=text,
        metadata=rest,
    )


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as Python's, dates as ISO text, pandas' missing date as None; whatever else stays."""
    if isinstance(value, np.datetime64) and isinstance(value.tolist(), int):
        value = value.astype("datetime64[us]")  # of nanoseconds NumPy would make a number
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat() if value == value else None  # noqa: PLR0124 (NaT is not)
    return value
