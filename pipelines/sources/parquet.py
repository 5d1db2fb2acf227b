"""Parquet: one record a row, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..document import Document, Reject
from .compression import is_out_of_reach
from .records import SAMPLE_CHARS, Fields, json_value, read_record
from .unit import Unit

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


def read_batches(batches: Iterable[Any], unit: Unit, fields: Fields) -> Iterator[Document | Reject]:
    """The documents of Arrow record batches or tables; a value without a Python form rejects its row."""
    rows = (row for batch in batches for row in _rows(batch))
    for number, row in enumerate(rows, start=1):
        location = f"{unit.name}:{number}"
        if isinstance(row, Exception):
            reason = "invalid_utf8" if isinstance(row, UnicodeError) else "invalid_value"
            yield Reject(reason, location, "", str(row), "")
        else:
            record = {name: json_value(value) for name, value in row.items()}
            yield read_record(record, fields, default_id=location, location=location)


def read_parquet(unit: Unit, fields: Fields, max_bytes: int) -> Iterator[Document | Reject]:
    """The documents of a file; a damaged one gives those before the damage, then one `broken_archive`."""
    try:
        with pq.ParquetFile(unit.place) as file:
            for item in read_batches(file.iter_batches(batch_size=ROWS_PER_BATCH), unit, fields):
                size = len(item.text.encode()) if isinstance(item, Document) else 0
                if isinstance(item, Document) and size > max_bytes:
                    detail = f"{size:,} bytes of text, the limit is {max_bytes:,}"
                    yield Reject("too_large", item.location, item.id, detail, item.text[:SAMPLE_CHARS])
                else:
                    yield item
    except (pa.ArrowException, OSError) as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", str(error), "")
