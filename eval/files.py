"""Reading the files that benchmarks come in: text by line, plain or gzip, with errors that name the line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datastore.errors import UsageError


def find_file(path: Path) -> Path | None:
    """`path`, or the same name with `.gz`, whichever is there; None where neither is."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(`file:line`, text without its newline) of each line that is not blank.

    Raises
    ------
    UsageError
        If the file is not UTF-8, or not the gzip stream that its name promises.
    """
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            for number, line in enumerate(file, start=1):
                if text := line.rstrip("\r\n"):
                    yield f"{path}:{number}", text
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(
            f"{path}:{number + 1} cannot be read: {error}", hint="fetch the file again"
        ) from error


def read_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, object) of each line of a JSON Lines file.

    Raises
    ------
    UsageError
        If a line is not a JSON object.
    """
    for place, line in read_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{place} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UsageError(f"{place}: expected a JSON object, got {type(record).__name__}")
        yield place, record


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
