"""Files: a folder, or one file, of JSON lines, Parquet, plain text, Markdown or HTML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from datastore.errors import NotFoundError

from ..document import Document, Reject
from .compression import COMPRESSED_SUFFIXES
from .config import SourceBase
from .html import read_html
from .jsonl import read_jsonl
from .parquet import read_parquet
from .records import Fields
from .text import read_text
from .unit import Unit

VERSION = 1

Format = Literal["jsonl", "parquet", "text", "markdown", "html"]
_JSONL = (".jsonl", ".ndjson")
_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "jsonl": (*_JSONL, *(suffix + compressed for suffix in _JSONL for compressed in COMPRESSED_SUFFIXES)),
    "parquet": (".parquet",),
    "text": (".txt", ".text"),
    "markdown": (".md", ".markdown"),
    "html": (".html", ".htm", ".xhtml"),
}


class FilesSource(SourceBase):
    """A folder, searched through, or one file."""

    kind: Literal["files"] = "files"
    path: str = Field(description="A folder or a file")
    format: Literal["auto"] | Format = Field(default="auto", description="`auto`: by the suffix of each file")
    fields: Fields = Field(default=Fields(), description="The fields of records: JSON lines and Parquet")
    max_document_bytes: int = Field(
        default=20_000_000, ge=1, description="A longer document is set aside, not read"
    )


def _format_of(path: Path) -> Format | None:
    name = path.name.lower()
    return next((key for key, suffixes in _SUFFIXES.items() if name.endswith(suffixes)), None)


def _raise(error: OSError) -> None:
    raise NotFoundError(
        f"cannot list {error.filename}: {error.strerror}", hint="make it readable, or name another path"
    )


def _files(folder: Path) -> Iterator[Path]:
    """Every file under a folder, but hidden ones, those of stores, and what symbolic links bring in from outside."""
    for root, folders, names in os.walk(folder, onerror=_raise):
        if {"LOCK", "segments", "versions"} <= {*folders, *names} or {"LOCK", "segments", "work"} <= {
            *folders,
            *names,
        }:
            folders.clear()  # a store, possibly the one that is being built from this folder
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            is_inside = not path.is_symlink() or path.resolve().is_relative_to(folder)
            if not name.startswith(".") and is_inside and path.is_file():
                yield path


def _unit(path: Path, name: str) -> Unit:
    status = path.stat()
    # A name need not be UTF-8, a document's id must be.
    return Unit(
        os.fsencode(name).decode("utf-8", "backslashreplace"),
        str(path),
        f"{status.st_size}:{status.st_mtime_ns}",
        status.st_size,
    )


def units(config: FilesSource) -> list[Unit]:
    """Each file that has a reader, by its path relative to the folder; see `sources.units`."""
    path = Path(config.path).expanduser().resolve()
    if not path.exists():
        raise NotFoundError(f"source {config.name}: {path} does not exist", hint="check the source's path")
    if path.is_file() and config.format != "auto":
        return [_unit(path, path.name)]
    files = list(_files(path)) if path.is_dir() else [path]
    formats = [*_SUFFIXES] if config.format == "auto" else [config.format]
    chosen = [file for file in files if _format_of(file) in formats]
    if not chosen:
        known = ", ".join(suffix for key in formats for suffix in _SUFFIXES[key])
        found = ", ".join(sorted({file.suffix or "none" for file in files})[:10])
        raise NotFoundError(
            f"source {config.name}: no file that can be read in {path}; suffixes known: {known}; "
            f"found: {found or 'no file at all'}",
            hint="check the source's path; for one file of any suffix, name its format",
        )
    folder = path if path.is_dir() else path.parent
    return [_unit(file, file.relative_to(folder).as_posix()) for file in chosen]


def read(config: FilesSource, unit: Unit) -> Iterator[Document | Reject]:
    """The documents of one file; see `sources.read`."""
    file_format = _format_of(Path(unit.place)) if config.format == "auto" else config.format
    max_bytes = config.max_document_bytes
    try:
        match file_format:
            case "jsonl":
                yield from read_jsonl(unit, config.fields, max_bytes)
            case "parquet":
                yield from read_parquet(unit, config.fields, max_bytes)
            case "html":
                yield read_html(unit, max_bytes)
            case _:
                yield read_text(unit, max_bytes, markdown=file_format == "markdown")
    except OSError as error:
        yield Reject("unreadable", unit.name, "", str(error), "")
