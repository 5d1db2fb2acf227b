"""Files: a folder, a pattern or one file, local or behind a URL, each read by the reader of its format."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from datastore.errors import NotFoundError

from ..document import Document, Reject
from .bookmark import Bookmark
from .compactds import read_compactds
from .config import SourceBase
from .formats import KNOWN, VERSIONS, Format, format_of, suffix_of
from .html import Extractor, read_html
from .jsonl import read_jsonl
from .latex import LatexOptions, read_latex, with_inputs
from .listing import list_files
from .mediawiki import MediaWikiOptions, read_mediawiki
from .parquet import read_parquet
from .pdf import PdfOptions, read_pdf
from .places import local_path
from .records import Fields
from .splitting import split
from .stackexchange import StackExchangeOptions, read_stackexchange
from .text import read_text
from .unit import Unit

VERSION = 2
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FilesSource(SourceBase):
    """A folder, searched through, or some files of it, or one."""

    kind: Literal["files"] = "files"
    path: str = Field(
        description="A folder, a file or a pattern with * and **; local, or a URL that fsspec knows (s3://, gs://, https://)"
    )
    format: Literal["auto"] | Format = Field(
        default="auto",
        description="`auto`: by the name of each file, of XML by its root element; another: of a folder the files of that "
        "format, of a pattern or a file whatever it finds",
    )
    ids: Literal["source", "file"] = Field(
        default="source",
        description="`file`: ids of records repeat from file to file, as numbers from 0 do; the file's name goes before them",
    )
    fields: Fields = Field(default=Fields(), description="The fields of records: JSON lines and Parquet")
    extractor: Extractor = Field(
        default="trafilatura", description="What takes the main text from web pages: HTML and WARC"
    )
    mediawiki: MediaWikiOptions = MediaWikiOptions()
    stackexchange: StackExchangeOptions = StackExchangeOptions()
    latex: LatexOptions = LatexOptions()
    pdf: PdfOptions = PdfOptions()
    max_document_bytes: int = Field(
        default=20_000_000, ge=1, description="A longer document is set aside, not read"
    )
    split_bytes: int = Field(
        default=64 << 20,
        ge=1,
        description="A larger file is read in parts of about this size, where it can be cut",
    )


class Skipped(NamedTuple):
    files: int = 0
    bytes: int = 0


class Inventory(NamedTuple):
    units: list[Unit]  # whole files
    skipped: dict[str, Skipped]  # files without a reader, by suffix; empty: none


def inventory(config: FilesSource) -> Inventory:
    """Each file that has a reader, by its path relative to the folder, and how many have none; see `sources.inventory`."""
    try:
        listing = list_files(config.path)
    except NotFoundError as error:
        raise NotFoundError(f"source {config.name}: {error.message}", hint=error.hint) from error
    units: list[Unit] = []
    latex: list[Unit] = []
    skipped: dict[str, Skipped] = {}
    for file in listing.files:
        file_format = config.format if listing.is_named and config.format != "auto" else format_of(file.place)
        if file_format == "latex" and _is_read(file_format, config.format):
            latex.append(Unit(*file))
        elif _is_read(file_format, config.format):
            units.append(Unit(*file))
        else:
            suffix = suffix_of(file.name.rpartition("/")[2])
            count = skipped.get(suffix, Skipped())
            skipped[suffix] = Skipped(count.files + 1, count.bytes + file.bytes)
    units += with_inputs(latex, listing)
    if not units:
        known = KNOWN if config.format == "auto" else f"those of {config.format}"
        found = ", ".join(sorted(suffix or "none" for suffix in skipped)[:10])
        raise NotFoundError(
            f"source {config.name}: no file that can be read in {config.path}; suffixes known: {known}; "
            f"found: {found or 'no file at all'}",
            hint="check the source's path; for one file of any suffix, name its format",
        )
    return Inventory(units, skipped)


def _is_read(found: Format | None, wanted: Literal["auto"] | Format) -> bool:
    if wanted == "auto" or found is None:
        return found is not None
    return found == wanted or {found, wanted} == {"jsonl", "compactds"}  # one is a kind of the other


def parts(config: FilesSource, unit: Unit) -> list[Unit]:
    """A file in parts of about `split_bytes`; see `sources.parts`."""
    return split(unit, _format(config, unit), config.split_bytes)


def version(config: FilesSource, unit: Unit) -> int:
    """Of the reader that a file takes; see `sources.reader_version`."""
    return VERSIONS[_format(config, unit)]


def _format(config: FilesSource, unit: Unit) -> Format:
    return config.format if config.format != "auto" else format_of(unit.place) or "text"


def read(
    config: FilesSource, unit: Unit, scratch: Path | None = None, bookmark: Bookmark | None = None
) -> Generator[Document | Reject]:
    """The documents of one file or part; see `sources.read`.

    Raises
    ------
    NotFoundError
        If the connection to a remote file is lost: a file that could be whole tomorrow is not set aside.
    OSError
        If the disk is full.
    """
    items = _read(_format(config, unit), config, unit, scratch, bookmark or Bookmark())
    try:
        yield from items if config.ids == "source" else (_of_file(item, unit.name) for item in items)
    except OSError as error:
        if error.errno in _FULL:  # the disk of the scratch folder: nothing is wrong with the input
            raise
        if local_path(unit.place) is None and not isinstance(error, FileNotFoundError | PermissionError):
            raise NotFoundError(
                f"source {config.name}: {unit.place} cannot be read to its end: {error}",
                hint="run it again when the place can be reached: what has been read is kept",
            ) from error
        yield Reject("unreadable", unit.name, "", str(error), "")


def _of_file(item: Document | Reject, name: str) -> Document | Reject:
    """With an id that no record of another file has; one that is made of the file's name is that already."""
    if isinstance(item, Reject):
        return item
    is_own = item.id == name or item.id.startswith(f"{name}:")
    return item if is_own else item._replace(id=f"{name}/{item.id}")


def _read(
    file_format: Format, config: FilesSource, unit: Unit, scratch: Path | None, bookmark: Bookmark
) -> Iterator[Document | Reject]:
    max_bytes = config.max_document_bytes
    match file_format:
        case "jsonl":
            yield from read_jsonl(unit, config.fields, max_bytes, bookmark)
        case "compactds":
            yield from read_compactds(unit, max_bytes, bookmark=bookmark)
        case "parquet":
            yield from read_parquet(unit, config.fields, max_bytes, bookmark)
        case "html":
            yield read_html(unit, max_bytes, config.extractor)
        case "warc":
            from .warc import read_warc

            yield from read_warc(unit, max_bytes, config.extractor, bookmark)
        case "mediawiki":
            yield from read_mediawiki(unit, max_bytes, config.mediawiki, bookmark)
        case "stackexchange":
            yield from read_stackexchange(unit, max_bytes, config.stackexchange, scratch, bookmark)
        case "latex":
            yield from read_latex(unit, max_bytes, config.latex)
        case "pdf":
            yield from read_pdf(unit, max_bytes, config.pdf)
        case "text" | "markdown":
            yield read_text(unit, max_bytes, markdown=file_format == "markdown")
