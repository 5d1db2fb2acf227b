"""Reading the files that benchmarks come in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datastore.errors import UsageError
from datastore.lines import read_lines, read_object


def find_file(path: Path) -> Path | None:
    """`path`, or the same name with `.gz`, whichever is there; None where neither is."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, object) of each line of a JSON Lines file.

    Raises
    ------
    UsageError
        If a line is not a JSON object.
    """
    for place, line in read_lines(path):
        yield place, read_object(line, place)


def text_field(record: dict[str, Any], name: str, place: str) -> str:
    """A field that must hold text.

    Raises
    ------
    UsageError
        If it is absent, not a string, or blank.
    """
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f'{place}: expected text in "{name}", got {json.dumps(value)[:40]}')
    return value
