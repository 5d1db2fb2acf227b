from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Document(NamedTuple):
    """One text as read. `id` is unique within its source; `location` says where it stands, for people."""

    id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    location: str


class Reject(NamedTuple):
    """A record that was set aside: never lost silently, never in the way of the good ones."""

    reason: str  # short and countable: `invalid_json`, `no_text`, `too_short` …
    location: str  # `folder/file.jsonl:17`
    document_id: str  # empty where none could be read
    detail: str  # what exactly was wrong
    sample: str  # the start of the text, to read
