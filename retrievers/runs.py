"""Rankings of many queries as files: what a search in batches writes, and what an evaluation reads.

parquet     one row a hit: query_id, rank (from 1), passage_id, document_id, source, score; title and text on request
jsonl       one object a query: id, query, hits; a hit has the same fields
compactds   JSON Lines as CompactDS has them (Lyu et al., 2025): the fields of the query, raw_query, and ctxs with id,
            source, "retrieval text", "retrieval score" (a string)
trec        one line a hit, as trec_eval takes it: query, Q0, passage or document, rank, score, name of the run

Scores are float32, written with as many digits as give the same float32 again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from datastore import NotFoundError, UsageError
from datastore.lines import read_lines

from .queries import id_of, read_json_lines

Layout = Literal["parquet", "jsonl", "compactds", "trec"]

SUFFIXES: Mapping[str, Layout] = {".parquet": "parquet", ".jsonl": "jsonl", ".trec": "trec"}
ID_COLUMNS = ("passage_id", "document_id", "source")
TEXT_COLUMNS = ("title", "text")


class RunHit(NamedTuple):
    """A hit as a file has it. TREC and CompactDS files name no document; `id` may be one of a passage or a document."""

    id: str
    document_id: str | None
    score: float


class Ranking(NamedTuple):
    """What a file answers to a query, best first."""

    query_id: str
    hits: list[RunHit]


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


def _read_trec(path: Path) -> Iterator[tuple[str, RunHit | None]]:
    for place, line in read_lines(path):
        fields = line.split()
        if not fields:
            continue
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
            yield (
                query_id,
                RunHit(name, document, _score(hit.get("score" if ours else "retrieval score"), place)),
            )
        yield query_id, None


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
