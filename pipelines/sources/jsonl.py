"""JSON lines: one object a line, read as a stream in bounded memory."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ..document import Document, Reject
from .bookmark import END, Bookmark, skip
from .compression import DAMAGE, is_out_of_reach, open_binary, open_decompressed
from .records import SAMPLE_CHARS, Fields, read_record
from .unit import Part, Unit

_SKIP_BYTES = 1 << 16
_COUNT_BYTES = 1 << 20


class _Line(NamedTuple):
    start: bytes  # all of it, unless it is too long
    length: int  # bytes, the newline left out
    taken: int  # bytes, with it


def _lines(stream: BinaryIO, max_bytes: int, part_bytes: int) -> Iterator[_Line]:
    """Each line that begins within the next `part_bytes`; of one beyond `max_bytes` only the start is held."""
    while part_bytes > 0 and (line := stream.readline(max_bytes + 1)):
        length, taken = len(line.removesuffix(b"\n")), len(line)
        if length > max_bytes:
            line = line[:SAMPLE_CHARS]
            while rest := stream.readline(_SKIP_BYTES):
                length += len(rest.removesuffix(b"\n"))
                taken += len(rest)
                if rest.endswith(b"\n"):
                    break
        part_bytes -= taken
        yield _Line(line, length, taken)


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


# Programs write NaN and Infinity for values that are missing, as columns of other formats hold them.
_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair, which no text in UTF-8 can hold
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def _decode(line: bytes) -> Any:
    """The value of a line, with null for numbers that are not finite and U+FFFD for halves of surrogate pairs.

    Raises UnicodeError for what is not UTF-8, other ValueErrors for what is not JSON.
    """
    text = line.decode("utf-8-sig")  # a byte order mark may stand in front
    value = _DECODER.decode(text)
    if _HALF_ESCAPED.search(text):
        value = json.loads(_HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
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


def parts_of(place: str, target_bytes: int) -> list[Part]:
    """Whole lines of an uncompressed file, `target_bytes` and what is left of a line at a time.

    It reads the file through, since only that tells the numbers of the lines.
    """
    parts = []
    start, first_line = 0, 1
    with open_binary(place) as stream:
        size = stream.seek(0, io.SEEK_END)
        while start < size:
            stream.seek(min(start + target_bytes, size) - 1)
            while (piece := stream.readline(_SKIP_BYTES)) and not piece.endswith(b"\n"):
                pass
            end = stream.tell()
            parts.append(Part(start, end, first_line))
            stream.seek(start)
            while start < end and (block := stream.read(min(_COUNT_BYTES, end - start))):
                first_line += block.count(b"\n")
                start += len(block)
            start = end
    return parts


def read_jsonl(
    unit: Unit, fields: Fields, max_bytes: int, bookmark: Bookmark | None = None
) -> Iterator[Document | Reject]:
    """The documents of a file or a part; a damaged archive gives those before the damage, then one `broken_archive`."""
    part = unit.part or Part(0, END, 1)
    bookmark = bookmark or Bookmark()
    number, start = part.first_record - 1, part.start
    try:
        with open_decompressed(unit.place) as stream:
            skip(stream, part.start)
            lines = _lines(stream, max_bytes, part.end - part.start)
            for number, line in enumerate(lines, start=part.first_record):
                if line.start.strip():
                    yield _read_line(line, number, unit, fields, max_bytes)
                start += line.taken
                bookmark.move(Part(start, part.end, number + 1))
    except DAMAGE as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", f"after line {number}: {error}", "")
