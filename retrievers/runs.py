"""Rankings of many queries as files: what a search in batches writes, and what an evaluation reads.

parquet     one row a hit: query_id, rank (from 1), passage_id, document_id, source, score; title and text on request
jsonl       one object a query: id, query, hits; a hit has the same fields
compactds   JSON Lines as CompactDS has them (Lyu et al., 2025): the fields of the query, raw_query, and ctxs with id,
            source, "retrieval text", "retrieval score" (a string)
trec        one line a hit, as trec_eval takes it: query, Q0, passage or document, rank, score, name of the run

Scores are float32, written with as many digits as give the same float32 again.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datastore import NotFoundError, UsageError

Layout = Literal["parquet", "jsonl", "compactds", "trec"]

SUFFIXES: Mapping[str, Layout] = {".parquet": "parquet", ".jsonl": "jsonl", ".trec": "trec"}
ID_COLUMNS = ("passage_id", "document_id", "source")
TEXT_COLUMNS = ("title", "text")
_GROUP_BYTES = 16 << 20  # of a row group of Parquet, before compression


class Query(NamedTuple):
    """A line of a file of queries; `record` is the whole of it."""

    id: str
    text: str
    record: Mapping[str, Any]


class Found(NamedTuple):
    """The hits of one query, best first; `columns` has `ID_COLUMNS`, and `TEXT_COLUMNS` where they were asked for."""

    query: Query
    scores: NDArray[np.float32]
    columns: Mapping[str, Sequence[str]]


class RunHit(NamedTuple):
    """A hit as a file has it. TREC and CompactDS files name no document; `id` may be one of a passage or a document."""

    id: str
    document_id: str | None
    score: float


class Ranking(NamedTuple):
    """What a file answers to a query, best first."""

    query_id: str
    hits: list[RunHit]


def encode(found: Iterable[Found], layout: Layout, *, by_document: bool = False, name: str = "") -> bytes:
    """A part of a file; `joined` makes one of them.

    Parameters
    ----------
    by_document
        TREC and CompactDS: `id` is the document's, not the passage's.
    name
        Of the run, for TREC; white space is left out.

    Raises
    ------
    UsageError
        If a TREC file cannot hold an id.
    """
    id_column = "document_id" if by_document else "passage_id"
    match layout:
        case "parquet":
            return _parquet(list(found))
        case "trec":
            lines: Iterable[str] = _trec_lines(found, id_column, "".join(name.split()))
        case "jsonl":
            lines = (json.dumps(_json_of(one), ensure_ascii=False) for one in found)
        case "compactds":
            lines = (json.dumps(_compactds_of(one, id_column), ensure_ascii=False) for one in found)
    # A lone surrogate, which JSON can write and UTF-8 cannot, is no text: it becomes a question mark.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def join(parts: Iterable[Path], layout: Layout, target: BinaryIO) -> None:
    """Write parts, in their order, as one file; a few megabytes are in RAM at a time."""
    if layout == "parquet":
        _join_parquet(parts, target)
        return
    for part in parts:
        target.write(part.read_bytes())


def read_run(path: Path) -> Iterator[Ranking]:
    """The rankings of a file, a query at a time, in the order of the file.

    Parquet and JSON Lines are ranked as they stand; TREC by score, as trec_eval does, but ties as they stand.

    Raises
    ------
    NotFoundError
        If it is not there.
    UsageError
        If its name does not end in .parquet, .jsonl or .trec (the last two also .gz), or it holds something else:
        the error names the line.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix
    readers: Mapping[str, Callable[[Path], Iterator[tuple[str, RunHit | None]]]] = {
        ".parquet": _read_parquet,
        ".jsonl": _read_jsonl,
        ".trec": _read_trec,
    }
    if suffix not in readers:
        raise UsageError(f"{path} is no run file by its name", hint="known: " + ", ".join(SUFFIXES))
    seen: set[str] = set()
    for query_id, group in groupby(readers[suffix](path), key=lambda pair: pair[0]):
        if query_id in seen:
            raise UsageError(
                f"{path}: the hits of query {query_id!r} do not stand together",
                hint=f"sort -s -k1,1 {path}" if suffix == ".trec" else "one query after the other",
            )
        seen.add(query_id)
        hits = [hit for _, hit in group if hit is not None]
        # Python's sort is stable, also in reverse: ties stay as they stand.
        yield Ranking(query_id, sorted(hits, key=lambda hit: -hit.score) if suffix == ".trec" else hits)


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(`file:line`, object) of each line that is not blank; of a .gz, what it holds.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If a line is not a JSON object.
    """
    for place, line in _read_lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{place} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{place}: expected a JSON object, got {type(record).__name__}")
        yield place, record


def shortest(scores: NDArray[np.float32]) -> list[str]:
    """Each score in the fewest digits that give the same float32 again."""
    digits: list[str] = scores.astype(np.float32, copy=False).astype(str).tolist()
    return digits


def _parquet(found: Sequence[Found]) -> bytes:
    names = list(found[0].columns) if found else list(ID_COLUMNS)
    counts = [len(one.scores) for one in found]
    ids = np.repeat(np.arange(len(found)), counts)
    columns = {
        "query_id": pa.array([one.query.id for one in found], pa.string()).take(pa.array(ids)),
        "rank": pa.array([rank for count in counts for rank in range(1, count + 1)], pa.int32()),
        **{
            name: pa.array([value for one in found for value in one.columns[name]], pa.string())
            for name in names
        },
        "score": pa.array(np.concatenate([np.empty(0, np.float32), *(one.scores for one in found)])),
    }
    order = ["query_id", "rank", *ID_COLUMNS, "score", *(name for name in names if name not in ID_COLUMNS)]
    sink = io.BytesIO()
    pq.write_table(pa.table({name: columns[name] for name in order}), sink, compression="zstd")
    return sink.getvalue()


def _join_parquet(parts: Iterable[Path], target: BinaryIO) -> None:
    """Parts are small where few hits are asked for: row groups are made of several."""
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.Table] = []
    for part in parts:
        table = pq.read_table(part)
        writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd")
        waiting.append(table)
        if sum(table.nbytes for table in waiting) > _GROUP_BYTES:
            writer.write_table(pa.concat_tables(waiting))
            waiting = []
    assert writer is not None
    if waiting:
        writer.write_table(pa.concat_tables(waiting))
    writer.close()


def _json_of(found: Found) -> dict[str, Any]:
    scores = map(float, shortest(found.scores))
    names = [*ID_COLUMNS, "score", *(name for name in found.columns if name not in ID_COLUMNS)]
    columns = {**found.columns, "score": list(scores)}
    hits = [
        dict(zip(names, values, strict=True))
        for values in zip(*(columns[name] for name in names), strict=True)
    ]
    return {"id": found.query.id, "query": found.query.text, "hits": hits}


def _compactds_of(found: Found, id_column: str) -> dict[str, Any]:
    columns = found.columns
    ctxs = [
        {"id": name, "source": source, "retrieval text": text, "retrieval score": score}
        for name, source, text, score in zip(
            columns[id_column], columns["source"], columns["text"], shortest(found.scores), strict=True
        )
    ]
    return {**found.query.record, "raw_query": found.query.text, "ctxs": ctxs}


def _trec_lines(found: Iterable[Found], id_column: str, name: str) -> Iterator[str]:
    for one in found:
        check_trec_id(one.query.id, "query")
        for rank, (hit, score) in enumerate(
            zip(one.columns[id_column], shortest(one.scores), strict=True), start=1
        ):
            check_trec_id(hit, id_column.removesuffix("_id"))
            yield f"{one.query.id} Q0 {hit} {rank} {score} {name or 'run'}"


def check_trec_id(name: str, what: str) -> None:
    """Raise a UsageError if a line of a TREC file cannot hold an id."""
    if len(name.split()) != 1 or name.strip() != name:
        raise UsageError(
            f"a TREC file cannot hold the {what} id {name!r}: its fields end at white space",
            hint="--out hits.parquet or hits.jsonl can; `compendia eval retrieval --run` reads each",
        )


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            for number, line in enumerate(file, start=1):
                if text := line.strip():
                    yield f"{path}:{number}", text
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{path}:{number + 1} cannot be read: {error}") from error


def _read_trec(path: Path) -> Iterator[tuple[str, RunHit | None]]:
    for place, line in _read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise UsageError(
                f"{place}: expected query, Q0, document, rank, score and run, got {len(fields)} fields"
            )
        yield fields[0], RunHit(fields[2], None, _score(fields[4], place))


def _read_jsonl(path: Path) -> Iterator[tuple[str, RunHit | None]]:
    """None after the hits of a query: one without any was asked all the same."""
    for place, record in read_json_lines(path):
        query_id = id_of(record, place)
        ours = "hits" in record
        hits = record.get("hits" if ours else "ctxs")
        if not isinstance(hits, list) or not all(isinstance(hit, dict) for hit in hits):
            raise UsageError(f'{place}: expected a list of objects in "hits" or "ctxs"')
        for hit in hits:
            name, document = hit.get("passage_id" if ours else "id"), hit.get("document_id")
            if not isinstance(name, str) or not isinstance(document, str | None):
                raise UsageError(f"{place}: a hit has no id that is text: {json.dumps(hit)[:60]}")
            yield query_id, RunHit(name, document, _score(hit.get("score" if ours else "retrieval score"), place))
        yield query_id, None


def id_of(record: Mapping[str, Any], place: str) -> str:
    """The id of a query's record, in `_id` or `id`; a whole number counts as its digits.

    Raises
    ------
    UsageError
        If there is none.
    """
    value = record.get("_id", record.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f'{place}: expected an id in "_id" or "id", got {json.dumps(value)[:40]}')
    return value


def _score(value: object, place: str) -> float:
    try:
        score = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        score = math.nan
    if math.isnan(score):
        raise UsageError(f"{place}: expected a number as score, got {json.dumps(value)[:40]}")
    return score


def _read_parquet(path: Path) -> Iterator[tuple[str, RunHit | None]]:
    try:
        file = pq.ParquetFile(path)
        columns = ("query_id", "passage_id", "document_id", "score")
        if lacking := set(columns) - set(file.schema_arrow.names):
            raise UsageError(f"{path} has no column {', '.join(sorted(lacking))}")
        for batch in file.iter_batches(columns=list(columns)):
            values = (batch.column(name).to_pylist() for name in columns)
            for query_id, passage, document, score in zip(*values, strict=True):
                yield query_id, RunHit(passage, document, score)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
