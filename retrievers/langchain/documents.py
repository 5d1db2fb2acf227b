"""LangChain's documents as rows of a store, and back without a difference.

A store has columns of its own beside the metadata. What a document's metadata says under their names goes there where
it can, so that filters, reports and other retrievers see it; where the columns would not give it back as it was, it is
kept under `KEPT` too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document

from datastore import Hit, UsageError
from datastore.segment import FILTER_COLUMNS

KEPT = "langchain_metadata"


class Rows(NamedTuple):
    """Documents to write, each id once; `names` are the ids of all that were given."""

    ids: list[str]
    texts: list[str]
    records: list[dict[str, Any]]
    names: list[str]


def to_rows(
    texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None, ids: Sequence[str | None] | None
) -> Rows:
    """Documents as rows: an id of None becomes a new one, the last of several with one id counts.

    Raises
    ------
    UsageError
        If there are more or fewer metadatas or ids than texts, or as `to_record` does.
    """
    given = [*texts]
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values and len(values) != len(given):
            raise UsageError(f"{len(given)} texts but {len(values)} {name}")
    names = [str(uuid.uuid4()) if name is None else name for name in ids or [None] * len(given)]
    last = {name: row for row, name in enumerate(names)}
    records = [to_record(name, metadatas[row]) if metadatas else {} for name, row in last.items()]
    return Rows([*last], [given[row] for row in last.values()], records, names)


def to_document(hit: Hit) -> Document:
    return Document(id=hit.passage_id, page_content=hit.text, metadata=from_hit(hit))


def to_record(passage_id: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A document's metadata as `Datastore.add` takes it; `from_hit` is its inverse.

    Raises
    ------
    UsageError
        If a value would come back as another: it is not made of texts, numbers, booleans, None, lists and dicts.
    """
    for name, value in metadata.items():
        if not _is_json(value):
            raise UsageError(
                f"metadata {name!r} of document {passage_id!r} holds what a store would change: {value!r:.80}",
                hint="turn it into texts, numbers, booleans, lists and dicts: date.isoformat(), list(tuple)",
            )
    own = {name: metadata[name] for name in (*FILTER_COLUMNS, KEPT) if name in metadata}
    texts = {name: str(own[name]) for name in ("document_id", "source", "title") if own.get(name) is not None}
    record: dict[str, Any] = {name: value for name, value in metadata.items() if name not in own} | texts
    if type(own.get("ordinal")) is int and abs(own["ordinal"]) < 2**31:
        record["ordinal"] = own["ordinal"]
    if own != _told(passage_id, **texts):
        record[KEPT] = own
    return record


def from_hit(hit: Hit) -> dict[str, Any]:
    """A passage's metadata; of one that came otherwise, with what its columns say beyond the metadata."""
    metadata = dict(hit.metadata)
    kept = metadata.pop(KEPT, None)
    if kept is not None:
        return {**metadata, **kept}
    columns = _told(hit.passage_id, document_id=hit.document_id, source=hit.source, title=hit.title)
    return columns | metadata


def _told(
    passage_id: str, *, document_id: str | None = None, source: str = "added", title: str = ""
) -> dict[str, str]:
    """What columns say, those left out that hold what `Datastore.add` fills in."""
    told = {}
    if document_id not in {None, passage_id}:
        told["document_id"] = document_id
    if source != "added":
        told["source"] = source
    if title:
        told["title"] = title
    return told


def _is_json(value: Any) -> bool:
    """Whether JSON gives a value back as it was."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(item) for name, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)
