"""The metadata of a LangChain document in a store, and back without a difference.

A store has columns of its own beside the metadata: passage_id, document_id, source, title, ordinal. What a document
says under the names of the middle three goes there, so that filters, reports and other retrievers see it. What it says
under any of the five that cannot be told from the columns again is kept under `KEPT` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datastore import Hit, UsageError
from datastore.segment import FILTER_COLUMNS

KEPT = "langchain_metadata"


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
    columns = {
        name: str(own[name]) for name in ("document_id", "source", "title") if own.get(name) is not None
    }
    record = {name: value for name, value in metadata.items() if name not in own} | columns
    if own != _told(passage_id, **columns):
        record[KEPT] = own
    return record


def from_hit(hit: Hit) -> dict[str, Any]:
    """A passage's metadata; of one that came otherwise, with what its columns say beyond the metadata."""
    metadata = dict(hit.metadata)
    kept = metadata.pop(KEPT, None)
    if kept is not None:
        return metadata | kept
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
