"""Files of queries, in JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datastore import UsageError
from datastore.lines import read_lines, read_object

_TEXT_FIELDS = ("text", "query", "question")


class Query(NamedTuple):
    """A line of a file of queries; `record` is the whole of it."""

    id: str
    text: str
    record: Mapping[str, Any]


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


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, object) of each line that is not blank; see `datastore.lines`.

    Raises
    ------
    UsageError
        If a line is not a JSON object.
    """
    for place, line in read_lines(path):
        if line.strip():
            yield place, read_object(line, place)
