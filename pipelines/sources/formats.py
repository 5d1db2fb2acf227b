"""Which reader a file takes: by its name, and of XML by its root element."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from .compactds import is_release_name
from .compression import COMPRESSED_SUFFIXES, DAMAGE, open_decompressed, without_compression
from .places import file_name

Format: TypeAlias = Literal[
    "jsonl",
    "parquet",
    "text",
    "markdown",
    "html",
    "warc",
    "mediawiki",
    "stackexchange",
    "latex",
    "pdf",
    "compactds",
]

# Raised whenever that format's reader gives other documents for the same file: no other file is read anew then.
VERSIONS: dict[Format, int] = {
    "jsonl": 3,
    "parquet": 3,
    "text": 2,
    "markdown": 2,
    "html": 3,
    "warc": 3,
    "mediawiki": 3,
    "stackexchange": 1,
    "latex": 3,
    "pdf": 2,
    "compactds": 2,
}

# Those of text may be compressed besides.
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".warc": "warc",
    ".wet": "warc",
    ".tex": "latex",
}
_UNCOMPRESSED: dict[str, Format] = {".parquet": "parquet", ".pdf": "pdf"}
# Of web corpora (C4, Dolma), where a file of one JSON value is not compressed.
_JSON_LINES = tuple(".json" + suffix for suffix in COMPRESSED_SUFFIXES)
_XML_NAMES: dict[str, Format] = {
    r"-pages-articles.*\.xml": "mediawiki",
    r"(?:^|[._-])posts\.xml": "stackexchange",
}
_XML_ROOT = re.compile(rb"<(mediawiki|posts)[\s>]")
_HEAD_BYTES = 4096

KNOWN = ", ".join([*_SUFFIXES, *_JSON_LINES, *_UNCOMPRESSED, ".xml (MediaWiki and Stack Exchange dumps)"])


def format_of(place: str) -> Format | None:
    """The format of a file, None where it has no reader. Of XML whose name does not tell, the first bytes are read."""
    name = file_name(place).lower()
    if name.endswith(_JSON_LINES):
        return "jsonl"
    plain = without_compression(name)
    if is_release_name(plain):
        return "compactds"
    if plain.endswith(".xml"):
        return _xml_format(place, plain)
    known = _SUFFIXES if plain != name else _SUFFIXES | _UNCOMPRESSED
    return next((known[suffix] for suffix in known if plain.endswith(suffix)), None)


def _xml_format(place: str, name: str) -> Format | None:
    by_name = (key for pattern, key in _XML_NAMES.items() if re.search(pattern, name))
    try:
        return next(by_name, None) or _root_format(place)
    except DAMAGE:
        return None


def _root_format(place: str) -> Format | None:
    with open_decompressed(place) as stream:
        root = _XML_ROOT.search(stream.read(_HEAD_BYTES))
    if root is None:
        return None
    return "mediawiki" if root[1] == b"mediawiki" else "stackexchange"


def suffix_of(name: str) -> str:
    """The suffix that says what a file is, with its compression: `.csv.gz`; empty if it has none."""
    plain = without_compression(name)
    stem, dot, suffix = plain.rpartition(".")
    return f".{suffix}{name[len(plain) :]}".lower() if dot and stem else name[len(plain) :].lower()
