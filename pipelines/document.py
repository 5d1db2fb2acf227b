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

    reason: str  # short and countable: `invalid_json`, `no_field`, `no_text`, `too_short` …
    location: str  # `folder/file.jsonl:17`
    document_id: str  # empty where none could be read
    detail: str  # what exactly was wrong
    sample: str  # the start of the text, to read


FAILURES_ALLOWED = 20
"""So many records of a source that cannot be read never stop a build, whatever their share."""

# Records that are whole and hold nothing that is looked for.
_NOT_FAILURES = frozenset(
    {
        *("no_text", "redirect", "other_namespace", "other_post_type", "not_wikitext"),
        *("latex_fragment", "unanswered", "orphan_answer", "not_text", "http_status"),
        *("too_large", "too_deep"),
    }
)

BROKEN_INPUT = frozenset({"broken_archive", "unreadable", "import_error"})
"""Reasons that stand for all that an input holds from there on: how much that is, nobody knows."""


def is_failure(reason: str) -> bool:
    """Whether a reason of a reader means that input is broken, or not what the recipe says it is."""
    return reason not in _NOT_FAILURES
