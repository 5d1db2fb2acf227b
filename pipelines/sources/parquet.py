"""Parquet: one record a row, read batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..document import Document, Reject
from .bookmark import Bookmark
from .compression import is_out_of_reach, open_binary
from .records import SAMPLE_CHARS, Fields, json_value, read_record
from .unit import Part, Unit

ROWS_PER_BATCH = 256


def _rows(batch: Any) -> Iterator[dict[str, Any] | Exception]:
    """Each row of an Arrow batch, or why it has no Python form."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            yield error
            return
        # One bad value must not take its batch along.
        for row in range(batch.num_rows):
            yield from _rows(batch.slice(row, 1))
    else:
        yield from rows


def _decoded(batch: Any) -> Iterator[dict[str, Any] | Exception]:
    """`_rows` with the values of columns of JSON in place of their texts."""
    columns = {field.name: field.type for field in batch.schema if _holds_json(field.type)}
    for row in _rows(batch):
        if columns and isinstance(row, dict):
            row |= {name: _from_json(row[name], of_type) for name, of_type in columns.items()}
        yield row


def _holds_json(of_type: pa.DataType) -> bool:
    return isinstance(of_type, pa.JsonType) or any(
        _holds_json(of_type.field(number).type) for number in range(of_type.num_fields)
    )


def _from_json(value: Any, of_type: pa.DataType) -> Any:
    """A value with all JSON in it decoded; what is none stays text."""
    if isinstance(of_type, pa.JsonType):
        try:
            return json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            return value
    if isinstance(value, dict):
        return {name: _from_json(inner, of_type.field(name).type) for name, inner in value.items()}
    if isinstance(value, list) and of_type.num_fields == 1:
        return [_from_json(inner, of_type.field(0).type) for inner in value]
    return value


def read_batches(
    batches: Iterable[Any], unit: Unit, fields: Fields, first_row: int = 1
) -> Iterator[Document | Reject]:
    """The documents of Arrow record batches or tables; a value without a Python form rejects its row.

    Values of Arrow's JSON type are what they stand for: of a dataset with one odd record `datasets` makes all values so.
    """
    rows = (row for batch in batches for row in _decoded(batch))
    for number, row in enumerate(rows, start=first_row):
        location = f"{unit.name}:{number}"
        if isinstance(row, Exception):
            reason = "invalid_utf8" if isinstance(row, UnicodeError) else "invalid_value"
            yield Reject(reason, location, "", str(row), "")
        else:
            # Writers that do not say that their bytes are text leave them so.
            record = {
                name: value if isinstance(value, bytes) else json_value(value) for name, value in row.items()
            }
            yield read_record(record, fields, default_id=location, location=location)


def parts_of(place: str, target_bytes: int) -> list[Part]:
    """Row groups, as many as take at most `target_bytes` of the file, one at least; none of a file that is damaged."""
    try:
        with open_binary(place) as stream, pq.ParquetFile(stream) as file:
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        if is_out_of_reach(error):
            raise
        return []
    parts: list[Part] = []
    first_row = next_row = 1
    size = 0
    for number, group in enumerate(groups):
        group_bytes = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        if size and size + group_bytes > target_bytes:
            parts.append(Part(parts[-1].end if parts else 0, number, first_row))
            first_row, size = next_row, 0
        size += group_bytes
        next_row += group.num_rows
    return [*parts, Part(parts[-1].end if parts else 0, len(groups), first_row)]


def read_parquet(
    unit: Unit, fields: Fields, max_bytes: int, bookmark: Bookmark | None = None
) -> Iterator[Document | Reject]:
    """The documents of a file or a part; of a damaged row group those before the damage, then one `broken_archive`."""
    try:
        with open_binary(unit.place) as stream, pq.ParquetFile(stream) as file:
            part = unit.part or Part(0, file.num_row_groups, 1)
            row = part.first_record
            for group in range(part.start, part.end):
                (bookmark or Bookmark()).move(Part(group, part.end, row))
                yield from _read_group(file, group, row, unit, fields, max_bytes)
                row += file.metadata.row_group(group).num_rows
    except (pa.ArrowException, OSError) as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", str(error), "")


def _read_group(
    file: Any, group: int, first_row: int, unit: Unit, fields: Fields, max_bytes: int
) -> Iterator[Document | Reject]:
    batches = file.iter_batches(batch_size=ROWS_PER_BATCH, row_groups=[group])
    try:
        for item in read_batches(batches, unit, fields, first_row):
            size = len(item.text.encode()) if isinstance(item, Document) else 0
            if isinstance(item, Document) and size > max_bytes:
                detail = f"{size:,} bytes of text, the limit is {max_bytes:,}"
                yield Reject("too_large", item.location, item.id, detail, item.text[:SAMPLE_CHARS])
            else:
                yield item
    except (pa.ArrowException, OSError) as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", f"row group {group + 1}: {error}", "")
