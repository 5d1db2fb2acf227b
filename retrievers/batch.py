"""A file of queries answered into a file of hits: part by part, so that it goes on where it was killed.

Parts are written beside the target, in `<target>.parts`, each under its name only when it is complete. At the end they
become one file, and `<target>.run.json` says what was asked of which store.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import CompendiaError, Datastore, Hits, IntegrityError, UsageError
from datastore.changes.write import content_key
from datastore.checks import integer
from datastore.files import crash_point, fsync, write_durably
from datastore.segment import PASSAGES, ROWS_PER_BATCH

from .documents import retrieve_documents
from .protocol import Chain, Retriever
from .runs import (
    ID_COLUMNS,
    TEXT_COLUMNS,
    Found,
    Layout,
    Query,
    check_trec_id,
    encode,
    id_of,
    join,
    read_json_lines,
)

SCHEMA = "compendia.run/1"

# What is in RAM at a time. An exact scan holds some hundred kB of scores a query, a fusion ten arrays of its hits.
_QUERIES_PER_PART = 64
_HITS_PER_PART = 32_768
_TEXTS_PER_PART = 8_192

_TEXT_FIELDS = ("text", "query", "question")


class Batch(NamedTuple):
    """What is wanted of a search in batches.

    Attributes
    ----------
    by_document
        One hit, its best passage, of each document; k counts documents then.
    with_text
        Titles and texts of the hits too.
    """

    k: int
    layout: Layout
    where: str | None = None
    by_document: bool = False
    with_text: bool = False


class Finished(NamedTuple):
    """`known` of the `queries` had been answered by an earlier run of the same command."""

    queries: int
    known: int
    hits: int | None  # found in this run; None where nothing was left to do
    seconds: float


def read_queries(path: Path) -> list[Query]:
    """The queries of a JSON Lines file, which may be compressed as .gz: `_id` or `id`; `text`, `query` or `question`.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If a line is malformed or an id stands twice: the error names the line; or if there is no query.
    """
    queries: list[Query] = []
    places: dict[str, str] = {}
    for place, record in read_json_lines(path):
        name = id_of(record, place)
        text = next((record[field] for field in _TEXT_FIELDS if field in record), None)
        if not isinstance(text, str) or not text.strip():
            raise UsageError(
                f'{place}: expected a question in "text", "query" or "question", got {json.dumps(text)[:40]}'
            )
        try:
            f"{name} {text}".encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{place} holds half a character: {error.reason}") from error
        if name in places:
            raise UsageError(f"{place}: query {name!r} is there already, in {places[name]}")
        places[name] = place
        queries.append(Query(name, text, record))
    if not queries:
        raise UsageError(f"{path} holds no query", hint='{"id": "q1", "text": "how do I open a file?"}')
    return queries


def search_batch(
    store: Datastore,
    chain: Chain,
    queries: Sequence[Query],
    batch: Batch,
    target: Path,
    *,
    restart: bool = False,
    on_part: Callable[[int], None] = lambda _: None,
) -> Finished:
    """Answer all queries into the file `target`. Killed at any moment, the same call goes on and ends with the same file.

    That holds as far as the chain gives equal answers to equal queries: one with a budget of time need not.

    Parameters
    ----------
    restart
        Throw away what an earlier run left or made under this name.
    on_part
        Called with the number of queries that a part has answered.

    Raises
    ------
    UsageError
        If something else was asked under this name, or a TREC file cannot hold an id.
    CompendiaError
        If another process is writing this file.
    """
    integer("k", batch.k, at_least=1)
    if batch.layout == "trec":
        for query in queries:  # before hours go into the search
            check_trec_id(query.id, "query")
    asked = _identity(store, chain, queries, batch)
    work, record = target.with_name(f"{target.name}.parts"), target.with_name(f"{target.name}.run.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    if restart:
        record.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    with _locked(work):
        if target.exists():
            _check_same(asked, record, target)
            shutil.rmtree(work)
            return Finished(len(queries), len(queries), None, 0.0)
        if restart:
            for part in work.glob("[!L]*"):  # all but LOCK
                part.unlink()
        described = json.dumps(asked, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"
        if (work / "run.json").exists():
            _check_same(asked, work / "run.json", target)
        else:
            write_durably(work / "run.json", described)
        finished = _answer_parts(store, chain, queries, batch, work, on_part)
        whole = work / "whole"
        with whole.open("wb") as file:
            join(_parts(work, len(queries), batch), batch.layout, file)
            file.flush()
            os.fsync(file.fileno())
        write_durably(record, described)
        crash_point("before_run_rename")
        whole.replace(target)
        fsync(target.parent)
        crash_point("after_run_rename")
        shutil.rmtree(work)
    return finished


def _identity(store: Datastore, chain: Chain, queries: Sequence[Query], batch: Batch) -> dict[str, Any]:
    """All that the bytes of the target depend on."""
    segments = [
        [entry.id, entry.deletes and entry.deletes.checksum] for entry in store.manifest.segments
    ]
    return {
        "schema": SCHEMA,
        "contents": content_key(segments)[:16],
        "version": store.version,
        "retriever": str(chain),
        "queries": content_key([query.record for query in queries]),
        **batch._asdict(),
    }


def _check_same(asked: Mapping[str, Any], record: Path, target: Path) -> None:
    """Raise if `record` is not what is asked now."""
    try:
        earlier = json.loads(record.read_text(encoding="utf-8"))
        changes = [
            f"{name} was {earlier.get(name)!r} and is {value!r}"
            for name, value in asked.items()
            if earlier.get(name) != value
        ]
    except (OSError, ValueError, AttributeError):
        changes = ["nothing says what was asked for it"]
    if changes:
        raise UsageError(
            f"{target} is there already, whole or in parts, and is not this run: {'; '.join(changes)}",
            hint="give --out another name, or --restart to make it anew",
        )


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """The folder of the parts, for one process; the kernel lets go of it when that dies."""
    work.mkdir(exist_ok=True)
    with (work / "LOCK").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CompendiaError(
                f"another process is writing {work.stem}", hint="wait until it ends"
            ) from None
        yield


def _step(batch: Batch) -> int:
    """Queries of a part. Fixed by what is asked: a batch of another size may round scores otherwise."""
    most = _TEXTS_PER_PART if batch.with_text else _HITS_PER_PART
    return max(1, min(_QUERIES_PER_PART, most // batch.k))


def _parts(work: Path, queries: int, batch: Batch) -> list[Path]:
    return [work / f"{start:09d}" for start in range(0, queries, _step(batch))]


def _answer_parts(
    store: Datastore,
    chain: Chain,
    queries: Sequence[Query],
    batch: Batch,
    work: Path,
    on_part: Callable[[int], None],
) -> Finished:
    known = hits = 0
    retriever: Retriever | None = None
    started = time.perf_counter()
    for number, part in enumerate(_parts(work, len(queries), batch)):
        asked = queries[number * _step(batch) : (number + 1) * _step(batch)]
        if part.exists():
            known += len(asked)
            continue
        retriever = retriever or chain.on(store)
        found = _answer(store, retriever, asked, batch)
        hits += sum(len(one.scores) for one in found)
        write_durably(
            part, encode(found, batch.layout, by_document=batch.by_document, name=str(chain))
        )
        crash_point("after_run_part")
        on_part(len(asked))
    return Finished(len(queries), known, hits, time.perf_counter() - started)


def _answer(
    store: Datastore, retriever: Retriever, asked: Sequence[Query], batch: Batch
) -> list[Found]:
    texts = [query.text for query in asked]
    hits: Hits
    if batch.by_document:
        hits = retrieve_documents(
            retriever,
            texts,
            batch.k,
            lambda rows: read_columns(store, rows, ["document_id"]).column(0).to_pylist(),
            store.snapshot.rows,
            batch.where,
        ).hits
    else:
        hits = retriever.retrieve(texts, batch.k, batch.where)
    if hits.version != store.version:
        raise UsageError(
            f"{store.path} has moved on from version {store.version} to {hits.version}",
            hint="run the command again",
        )
    names = [*ID_COLUMNS, *(TEXT_COLUMNS if batch.with_text else ())]
    there = hits.rows >= 0
    table = read_columns(store, hits.rows[there], names)
    found, first = [], 0
    for query, scores, kept in zip(asked, hits.scores, there, strict=True):
        count = int(kept.sum())
        lines = table.slice(first, count)
        found.append(Found(query, scores[kept], {name: lines.column(name).to_pylist() for name in names}))
        first += count
    return found


def read_columns(store: Datastore, rows: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
    """Columns of `datastore.segment.PASSAGES` for m rows, in the order given; the others are not decompressed.

    Raises
    ------
    IntegrityError
        If a segment is damaged.
    """
    catalog = store.snapshot.catalog
    distinct, places = np.unique(rows, return_inverse=True)
    numbers, positions = catalog.locate(distinct)
    schema = pa.schema([PASSAGES.field(name) for name in names])
    options = pa.ipc.IpcReadOptions(
        use_threads=False, included_fields=[PASSAGES.get_field_index(name) for name in names]
    )
    batches: list[pa.RecordBatch] = []
    for number in np.unique(numbers).tolist():
        segment = catalog.segments[number]
        of_segment = positions[numbers == number]
        try:
            with pa.memory_map(str(segment.folder / "passages.arrow")) as source:
                file = pa.ipc.open_file(source, options=options)
                starts = np.flatnonzero(np.diff(of_segment // ROWS_PER_BATCH, prepend=-1))
                for chosen in np.split(of_segment, starts[1:]):
                    batch = file.get_batch(int(chosen[0]) // ROWS_PER_BATCH)
                    batch.validate(full=True)  # Arrow follows offsets that are out of bounds
                    batches.append(batch.take(pa.array(chosen % ROWS_PER_BATCH)).select(names))
        except (pa.ArrowException, OSError, ValueError, IndexError) as error:
            raise IntegrityError(
                f"segment {segment.entry.id} cannot be read: {error}", hint=f"compendia verify {store.path}"
            ) from error
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    return table.take(pa.array(places))
