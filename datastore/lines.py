"""Text files by line, plain or gzip, with errors that name the line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import NotFoundError, UsageError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(`file:line`, text without its newline) of each line that is not empty; of a .gz, what it holds.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If it is not UTF-8, or not the gzip stream that its name promises.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
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


def read_object(line: str, place: str) -> dict[str, Any]:
    """The JSON object of a line.

    Raises
    ------
    UsageError
        If it is anything else.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f"{place}: expected a JSON object, got {type(record).__name__}")
    return record
