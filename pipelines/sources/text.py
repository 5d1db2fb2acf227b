"""Plain text and Markdown: one file, one document."""

from __future__ import annotations

import codecs
import json
import re
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..document import Document, Reject
from .compression import DAMAGE, is_out_of_reach, open_decompressed, without_compression
from .records import SAMPLE_CHARS
from .unit import Unit

_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_DAMAGED_SHARE = 0.001  # of the characters
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING = re.compile(r" {0,3}#[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")


def read_whole(unit: Unit, max_bytes: int) -> bytes | Reject:
    """All bytes of a file, decompressed, or `too_large` or `broken_archive`."""
    try:
        with open_decompressed(unit.place) as file:
            data = file.read(max_bytes + 1)
    except DAMAGE as error:
        if is_out_of_reach(error):
            raise
        return Reject("broken_archive", unit.name, unit.name, str(error), "")
    if len(data) > max_bytes:
        return Reject("too_large", unit.name, unit.name, f"more than {max_bytes:,} bytes", "")
    return data


def damaged_utf8(data: bytes) -> str | None:
    """The text of bytes that are UTF-8 but for some damage, which is U+FFFD then; None if they rather are another encoding's."""
    text = data.decode("utf-8", "replace")
    is_damaged = 2 * text.count("\ufffd") < sum(not character.isascii() for character in text)
    return text if is_damaged else None


def _decode(data: bytes) -> str:
    """UTF-16 with a byte order mark, else UTF-8 or what all but is; UnicodeDecodeError for anything else."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        if damaged_utf8(data) is None and text.count("\ufffd") > _DAMAGED_SHARE * len(text):
            raise
        return text


class _Markdown(NamedTuple):
    title: str
    body: str
    metadata: dict[str, Any]


def _take_front_matter(text: str) -> _Markdown:
    """Title, body and metadata of a Markdown file; without a valid YAML block at its top, all of it is body."""
    block = _FRONT_MATTER.match(text)
    if block is None:
        return _Markdown("", text, {})
    try:
        values = yaml.safe_load(block[1]) or {}
        if not isinstance(values, dict):
            return _Markdown("", text, {})
        metadata = {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in values.items()
            if isinstance(name, str) and isinstance(value, str | bool | int | float | date)
        }
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode(
            "utf-8"
        )  # refuses what a store cannot hold
    except (yaml.YAMLError, ValueError, RecursionError):
        return _Markdown("", text, {})
    return _Markdown(str(metadata.pop("title", "")), text[block.end() :], metadata)


def _first_heading(markdown: str) -> str:
    """The first `# heading` outside fenced code."""
    fence = ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.match(line)):
            return heading[1].strip()
    return ""


def read_text(unit: Unit, max_bytes: int, *, markdown: bool) -> Document | Reject:
    """The document of a file: UTF-8, or UTF-16 with a byte order mark.

    Damaged bytes are U+FFFD, where they are few beside the text or beside its other characters beyond ASCII.
    """
    data = read_whole(unit, max_bytes)
    if isinstance(data, Reject):
        return data
    try:
        text = _decode(data)
    except UnicodeDecodeError as error:
        sample = data[:SAMPLE_CHARS].decode("utf-8", "replace")
        return Reject("invalid_utf8", unit.name, unit.name, str(error), sample)
    title, body, metadata = _take_front_matter(text) if markdown else ("", text, {})
    if not body.strip():
        return Reject("no_text", unit.name, unit.name, "the file is empty", text[:SAMPLE_CHARS])
    if not title.strip():
        title = (_first_heading(body) if markdown else "") or Path(without_compression(unit.name)).stem
    return Document(unit.name, title, body, metadata, unit.name)
