"""JSON lines: one object a line, read as a stream in bounded memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..document import Document, Reject
from .compression import DAMAGE, is_out_of_reach, open_decompressed
from .records import SAMPLE_CHARS, Fields, read_record
from .unit import Unit

_SKIP_BYTES = 1 << 16


class _Line(NamedTuple):
    start: bytes  # all of it, unless it is too long
    length: int  # bytes, the newline left out


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[_Line]:
    """Each line; of one beyond `max_bytes` only the start is held."""
    while line := stream.readline(max_bytes + 1):
        length = len(line.removesuffix(b"\n"))
        if length > max_bytes:
            line = line[:SAMPLE_CHARS]
            while rest := stream.readline(_SKIP_BYTES):
                length += len(rest.removesuffix(b"\n"))
                if rest.endswith(b"\n"):
                    break
        yield _Line(line, length)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is beyond a float's range")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _decode(line: bytes) -> Any:
    """The value of a line.

    Raises UnicodeError for what UTF-8 cannot hold, other ValueErrors for what is not JSON.
    """
    text = line.decode("utf-8-sig")  # a byte order mark may stand in front
    value = _DECODER.decode(text)
    if "\\u" in text:  # an escape can stand for half a surrogate pair
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _read_line(line: _Line, number: int, unit: Unit, fields: Fields, max_bytes: int) -> Document | Reject:
    location = f"{unit.name}:{number}"

    def reject(reason: str, detail: str) -> Reject:
        sample = line.start[: 4 * SAMPLE_CHARS].decode("utf-8", "replace").strip()[:SAMPLE_CHARS]
        return Reject(reason, location, "", detail, sample)

    if line.length > max_bytes:
        return reject("too_large", f"{line.length:,} bytes, the limit is {max_bytes:,}")
    try:
        record = _decode(line.start)
    except UnicodeError as error:
        return reject("invalid_utf8", str(error))
    except (ValueError, RecursionError) as error:
        return reject("invalid_json", str(error))
    if not isinstance(record, dict):
        return reject("invalid_json", f"a {type(record).__name__}, not an object")
    return read_record(record, fields, default_id=location, location=location)


def read_jsonl(unit: Unit, fields: Fields, max_bytes: int) -> Iterator[Document | Reject]:
    """The documents of a file; a damaged archive gives those before the damage, then one `broken_archive`."""
    number = 0
    try:
        with open_decompressed(Path(unit.place)) as stream:
            for number, line in enumerate(_lines(stream, max_bytes), start=1):
                if line.start.strip():
                    yield _read_line(line, number, unit, fields, max_bytes)
    except DAMAGE as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", f"after line {number}: {error}", "")
