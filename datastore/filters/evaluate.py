"""A filter over the rows of one metadata.parquet, run by a DuckDB that can reach nothing else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datastore.errors import CompendiaError, IntegrityError, SearchTimeoutError, UsageError

from .cache import SegmentMask
from .expressions import Kind, Term, write_condition
from .parse import Predicate

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY_LIMIT = "1GB"
# Interrupting between two statements stops neither, so it is repeated until the work has ended.
_INTERRUPT_EVERY_S = 0.02


class MetadataFile(NamedTuple):
    """The metadata.parquet of a segment."""

    segment: str
    path: Path
    rows: int


class Columns:
    """The columns of a metadata.parquet that a filter names; only those are ever read.

    Attributes
    ----------
    kinds
        By the filter's names; a name that the file has no column for is absent.
    rows
        Of the file.
    """

    def __init__(self, segment: MetadataFile, predicate: Predicate) -> None:
        self._segment, self._predicate = segment, predicate
        self.rows = segment.rows
        with _parquet(segment.path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            self._dictionaries = _dictionaries(file)
        if len(set(schema.names)) != len(schema.names):
            raise IntegrityError(f"{segment.path} has two columns of one name")
        if rows != segment.rows:
            raise IntegrityError(f"{segment.path} has {rows:,} rows, expected {segment.rows:,}")
        spelled = {name: _spelling(name, schema.names) for name in sorted(predicate.columns)}
        self._spelled = {name: column for name, column in spelled.items() if column is not None}
        self.kinds = {name: _kind(schema.field(column).type) for name, column in self._spelled.items()}

    def evaluate(self, connection: DuckDBPyConnection) -> SegmentMask:
        """Which rows match, in file order; unknown (NULL) counts as no match."""
        import duckdb

        with _parquet(self._segment.path, self._dictionaries) as file:
            # Threads of its own would not pay for so few columns.
            table = file.read(columns=sorted(set(self._spelled.values())), use_threads=False)
        terms = {name: Term("NULL", "null") for name in self._predicate.columns}
        # DuckDB takes names that differ in case for one, and gives some a meaning: it never sees the file's names.
        arrays: dict[str, pa.ChunkedArray] = {"c": pa.nulls(self._segment.rows, pa.bool_())}
        for number, (name, column) in enumerate(self._spelled.items()):
            if self.kinds[name] != "null":
                arrays[f"c{number}"] = _plain(table.column(column))
                terms[name] = _term(f"c{number}", table.schema.field(column).type)
        connection.register("segment", pa.table(arrays))
        condition = write_condition(self._predicate.expression, terms)
        try:
            # The condition consists of words of `write_condition`, numbers, and texts that it put in quotes.
            sql = f"SELECT coalesce({condition}, FALSE) AS match FROM segment"  # noqa: S608
            mask = connection.execute(sql).fetchnumpy()["match"]
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise CompendiaError(
                f"the filter {self._predicate.sql} failed on {self._segment.path}: {error}"
            ) from error
        finally:
            with suppress(duckdb.Error):  # after a fatal error nothing works
                connection.unregister("segment")
        return SegmentMask(np.packbits(np.asarray(mask, dtype=np.bool_), bitorder="little"), self.kinds)


@contextmanager
def _parquet(path: Path, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError(f"{path} cannot be read: {error}") from error


def _dictionaries(file: pq.ParquetFile) -> list[str]:
    """Columns of few different texts: left as the numbers that Parquet holds, they take half the time to filter.

    Told by their size, since a text that is written out takes at least the 4 bytes of its length.
    """
    sizes: Counter[str] = Counter()
    for group in range(file.metadata.num_row_groups):
        for number in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(number)
            sizes[column.path_in_schema] += column.total_uncompressed_size
    return [
        field.name
        for field in file.schema_arrow
        if pa.types.is_string(field.type) and sizes[field.name] < 4 * file.metadata.num_rows
    ]


def _spelling(name: str, known: Sequence[str]) -> str | None:
    """The column that a name means, if there is one."""
    if name in known:
        return name
    alike = sorted({column for column in known if column.casefold() == name.casefold()})
    if len(alike) > 1:
        raise UsageError(
            f"the column {name!r} could be any of {', '.join(map(repr, alike))}",
            hint=f"write it as it is, for example {alike[0]}",
        )
    return alike[0] if alike else None


def _kind(kind: pa.DataType) -> Kind:
    """What the values of a column are compared as; lists and other such count as their text."""
    if pa.types.is_null(kind):
        return "null"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "moment"
    return "text"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one of the few types that filters are written for; NaN, a missing number, becomes NULL."""
    kind = _kind(column.type)
    if kind == "moment":
        return column.cast(pa.timestamp("us"), safe=False)  # of a time with a zone, this keeps UTC
    if kind == "number" and not pa.types.is_integer(column.type):
        numbers = column.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    return column


def _term(name: str, kind: pa.DataType) -> Term:
    """How a condition refers to a column."""
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(values) or pa.types.is_large_string(values)
    return Term(name if is_text or _kind(kind) != "text" else f"CAST({name} AS VARCHAR)", _kind(kind))


def too_slow(timeout_s: float) -> SearchTimeoutError:
    return SearchTimeoutError(
        f"the filter took longer than the {timeout_s:.3g} s it has",
        hint="state a simpler condition; search(…, timeout_s=300) allows it more time",
    )


@contextmanager
def locked_connection(deadline: float, timeout_s: float) -> Iterator[DuckDBPyConnection]:
    """A DuckDB in memory that reaches no file, network, extension or Python variable, and stops at `deadline`.

    `deadline` is a time of `time.monotonic`, `timeout_s` what the caller allowed.

    Raises
    ------
    SearchTimeoutError
        If the deadline passes while something runs.
    """
    import duckdb

    done = threading.Event()
    with duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": _MEMORY_LIMIT,
            "enable_external_access": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
            # Together: x / 0 is NULL.
            "error_on_division_by_zero": False,
            "ieee_floating_point_ops": False,
        }
    ) as connection:
        connection.execute("SET lock_configuration = true")

        def interrupt() -> None:
            if not done.wait(max(0.0, deadline - time.monotonic())):
                while not done.wait(_INTERRUPT_EVERY_S):
                    connection.interrupt()

        watch = threading.Thread(target=interrupt, name="filter-timeout", daemon=True)
        watch.start()
        try:
            yield connection
        except duckdb.InterruptException:
            raise too_slow(timeout_s) from None
        finally:
            done.set()
            watch.join()
