"""Hits of some queries as a part of a run file, and parts as one file; `runs` describes the formats."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datastore import UsageError

from .queries import Query
from .runs import ID_COLUMNS, Layout

_GROUP_BYTES = 16 << 20  # of a row group of Parquet, before compression


class Found(NamedTuple):
    """The hits of one query, best first; `columns` has `ID_COLUMNS`, and `TEXT_COLUMNS` where they were asked for."""

    query: Query
    scores: NDArray[np.float32]
    columns: Mapping[str, Sequence[str]]


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
    target.writelines(part.read_bytes() for part in parts)


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
