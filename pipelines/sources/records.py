"""One record, from whatever format, to one document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ..document import Document, Reject

SAMPLE_CHARS = 200
_DEEPEST = 100
_USUAL_IDS = ("id", "_id")
_USUAL_TITLES = ("title",)
_USUAL_TEXTS = ("text", "contents", "content")


class Fields(BaseModel):
    """Which fields of a record are its id, title and text; all others become metadata."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = Field(default=None, description="None: the first of `id`, `_id` that a record has")
    title: str | None = Field(default=None, description="None: `title`")
    text: str | None = Field(
        default=None, description="None: the first of `text`, `contents`, `content` that a record has"
    )


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if record.get(name) is not None), None)


def _label(value: Any) -> str:
    """An id or a title: text, or a number as text; empty for anything else."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _joined(value: Any) -> str | None:
    """A text, or a list of texts as lines; None for anything else."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return value if isinstance(value, str) else None


def _is_deep(value: Any) -> bool:
    """Whether objects and lists stand more than `_DEEPEST` inside each other.

    How deep JSON can be read otherwise depends on how deep the reading program's stack happens to be.
    """
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, Mapping | list) for inner in level)


def read_record(
    record: Mapping[str, Any], fields: Fields, *, default_id: str, location: str
) -> Document | Reject:
    """The document that a record holds, or `no_text`, `no_field`, `wrong_type`.

    A record whose text is empty and whose title is not is a document of its title. A record that lacks the text
    field altogether is a failure, title or not: else a misnamed field would make a corpus of titles, unnoticed.
    Bytes are read as UTF-8 where they are id, title or text, and left out elsewhere.
    """
    text_names = (fields.text,) if fields.text else _USUAL_TEXTS
    id_name = _first(record, (fields.id,) if fields.id else _USUAL_IDS)
    title_name = _first(record, (fields.title,) if fields.title else _USUAL_TITLES)
    text_name = _first(record, text_names)
    document_id = _label(record[id_name]) if id_name else ""
    title = _label(record[title_name]) if title_name else ""
    value = record[text_name] if text_name else ""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            return Reject(
                "invalid_utf8", location, document_id, f"the field {text_name}: {error}", title[:SAMPLE_CHARS]
            )
    text = _joined(value)

    reason = "no_text"
    if not any(name in record for name in text_names):
        reason = "no_field"
        detail = f"no field {' or '.join(text_names)}; the record has {', '.join(map(str, record)) or 'none'}"
    elif text is None:
        reason = "wrong_type"
        detail = f"the field {text_name} is a {type(value).__name__}, not a text or a list of texts"
    elif not text.strip() and not title.strip():
        detail = "text and title are empty"
    else:
        detail = ""
    if detail or text is None:
        return Reject(reason, location, document_id, detail, title[:SAMPLE_CHARS])

    taken = {text_name} | ({id_name} if document_id else set()) | ({title_name} if title else set())
    metadata = {
        name: value
        for name, value in record.items()
        if value is not None and not isinstance(value, bytes) and name not in taken
    }
    if _is_deep(metadata):
        return Reject(
            "too_deep", location, document_id, f"fields nested more than {_DEEPEST} deep", text[:SAMPLE_CHARS]
        )
    return Document(document_id or default_id, title, text if text.strip() else title, metadata, location)


def json_value(value: Any) -> Any:
    """A column's value as JSON can hold it: ISO dates, decimals as text.

    None where there is no such form: bytes, and numbers that are not finite.
    """
    match value:
        case float():
            return value if math.isfinite(value) else None
        case None | str() | bool() | int():
            return value
        case Mapping():
            return {str(key): json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [json_value(inner) for inner in value]
        case date() | time():
            return value.isoformat()
        case Decimal() | UUID() | timedelta():
            return str(value)
        case _:
            return None
