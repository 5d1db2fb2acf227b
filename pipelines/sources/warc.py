"""WARC and WET: the pages of web archives, plain or of gzip or zstd members, and texts that others took from them."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from datastore.errors import optional_import

from ..document import Document, Reject
from .bookmark import Bookmark
from .compression import open_binary
from .html import Extractor, decode, extract
from .members import Archive, BrokenError
from .records import SAMPLE_CHARS
from .unit import Part, Unit
from .warc_records import (
    MAX_HEADER_BYTES,
    PASSED_TYPES,
    READ_TYPES,
    VERSION,
    Damage,
    Record,
    find_record,
    read_records,
)

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_GZIP_MAGIC = b"\x1f\x8b\x08"
_IS_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HTML = ("text/html", "application/xhtml+xml")
_TEXT = "text/plain"


def parts_of(place: str, target_bytes: int) -> list[Part]:
    """A file cut at members into ranges of about so many bytes, without reading what stands between the cuts.

    A range may be longer: up to the next member, or all of a file that is one member. The places of records are
    bytes of the file, the same whatever its parts; `first_record` is not used.
    """
    with open_binary(place) as file:
        archive = Archive(file, place, begins_with=VERSION)
        starts = [0]
        while (start := find_record(archive, starts[-1] + target_bytes, archive.size)) is not None:
            starts.append(start)
        return [Part(start, end, 1) for start, end in zip(starts, [*starts[1:], archive.size], strict=True)]


def _unchunked(body: bytes) -> bytes:
    """A body without its transfer encoding; one that does not begin with a chunk was stored without."""
    pieces: list[bytes] = []
    position = 0
    while chunk := _CHUNK.match(body, position):
        length = int(chunk[1], 16)
        if not length:
            return b"".join(pieces)
        position = chunk.end() + length
        pieces.append(body[chunk.end() : position])
        position += 2 if body[position : position + 2] == b"\r\n" else 1
    if not pieces:
        return body
    raise BrokenError("chunked: the body ends before its last chunk")


def _decompressed(body: bytes, coding: str, max_bytes: int) -> bytes:
    """A body without a content coding, at most a byte more than the limit; one that was stored without, as it is."""
    if coding in ("", "identity") or _IS_HTML.match(body):
        return body
    streams = optional_import("fastwarc.stream_io", extra="ingest")
    try:
        match coding:
            case "gzip" | "x-gzip":
                if not body.startswith(_GZIP_MAGIC):
                    return body
                inflate = zlib.decompressobj(wbits=31)
            case "deflate":  # a zlib stream, or what some servers take it to be
                is_zlib = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
                inflate = zlib.decompressobj(wbits=15 if is_zlib else -15)
            case "br" | "zstd":
                reader = streams.BrotliReader if coding == "br" else streams.ZstdReader
                content: bytes = reader(io.BytesIO(body)).read(max_bytes + 1)
                return content
            case _:
                raise BrokenError(f"Content-Encoding {coding[:40]} is not known")
        content = inflate.decompress(body, max_bytes + 1)
    except (zlib.error, OSError) as error:
        raise BrokenError(f"{coding}: {error}") from error
    if not inflate.eof and len(content) <= max_bytes:
        raise BrokenError(f"{coding}: the body is cut off")
    return content


class _Response(NamedTuple):
    headers: Any  # fastwarc's HeaderMap
    body: bytes  # as it was sent

    @property
    def media_type(self) -> str:
        return _media_type(self.headers.get("Content-Type"))

    @property
    def charset(self) -> str:
        found = _CHARSET.search(self.headers.get("Content-Type") or "")
        return found[1] if found else ""


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _headers(lines: bytes) -> Any:
    headers = optional_import("fastwarc.warc", extra="ingest").HeaderMap()
    headers.parse(io.BytesIO(re.sub(rb"\r?\n", b"\r\n", lines.rstrip(b"\r\n")) + b"\r\n\r\n"))
    return headers


def _read_response(content: bytes) -> _Response:
    end = _HEADER_END.search(content, 0, MAX_HEADER_BYTES)
    if end is None:
        raise BrokenError("an HTTP header without an end")
    response = _Response(_headers(content[: end.start()]), content[end.end() :])
    if response.headers.status_code is None:
        raise BrokenError("no HTTP status")
    return response


def _decoded(response: _Response, max_bytes: int) -> bytes:
    """The body as it was before it was sent, at most a byte more than the limit."""
    body = response.body
    if "chunked" in (response.headers.get("Transfer-Encoding") or "").lower():
        body = _unchunked(body)
    for coding in reversed((response.headers.get("Content-Encoding") or "").lower().split(",")):
        body = _decompressed(body, coding.strip(), max_bytes)
    return body


def _read_document(record: Record, location: str, max_bytes: int, extractor: Extractor) -> Document | Reject:
    headers = _headers(record.header)
    # Captures of one page have one address and are documents of their own: duplicates are decided by their text.
    document_id = (headers.get("WARC-Record-ID") or "").strip("<>") or location
    url = (headers.get("WARC-Target-URI") or "").strip("<>")

    def reject(reason: str, detail: str, sample: bytes = b"") -> Reject:
        text = sample[: 4 * SAMPLE_CHARS].decode("utf-8", "replace")
        return Reject(reason, location, document_id, f"{url}: {detail}", text[:SAMPLE_CHARS])

    if record.length > len(record.content):
        return reject("too_large", f"{record.length:,} bytes, the limit is {max_bytes:,}")
    media_type = _media_type(headers.get("Content-Type"))
    body, charset = record.content, ""
    language = headers.get("WARC-Identified-Content-Language") or ""
    if record.type == "response":
        if media_type != "application/http":
            return reject("not_text", media_type or "no Content-Type")
        try:
            response = _read_response(record.content)
            if not 200 <= response.headers.status_code < 300:
                return reject("http_status", str(response.headers.status_code))
            media_type = _media_type(headers.get("WARC-Identified-Payload-Type")) or response.media_type
            if media_type not in ("", _TEXT, *_HTML):
                return reject("not_text", media_type)
            body, charset = _decoded(response, max_bytes), response.charset
        except (BrokenError, OSError) as error:
            return reject("broken_response", str(error), record.content)
        media_type = media_type or ("text/html" if _IS_HTML.match(body) else "")
        language = response.headers.get("Content-Language") or ""
    if len(body) > max_bytes:
        return reject("too_large", f"more than {max_bytes:,} bytes")
    title = ""
    if media_type in _HTML:
        page = extract(body, document_id=document_id, location=location, charset=charset, extractor=extractor)
        if isinstance(page, Reject):
            return page._replace(detail=f"{url}: {page.detail}")
        title, text, language = page.title, page.text, page.language or language
    elif media_type == _TEXT:
        decoded = decode(body, charset, is_html=False)
        if decoded is None:
            return reject(
                "invalid_utf8", "neither UTF-8 nor the charset that the response names, if it names one", body
            )
        if not decoded.strip():
            return reject("no_text", "the text is empty")
        text = decoded
    else:
        return reject("not_text", media_type or "no Content-Type")
    metadata = {
        "url": url,
        "date": headers.get("WARC-Date"),
        "content_type": media_type,
        "language": language,
        "truncated": headers.get("WARC-Truncated"),  # why the crawler kept less than all of it
    }
    return Document(
        document_id, title, text, {name: value for name, value in metadata.items() if value}, location
    )


def read_warc(
    unit: Unit,
    max_bytes: int,
    extractor: Extractor = "trafilatura",
    bookmark: Bookmark | None = None,
) -> Iterator[Document | Reject]:
    """The successful responses that are HTML or plain text, and the texts of conversion records, as documents.

    Other responses are set aside as `http_status` and `not_text`, what is damaged as `broken_archive` and
    `broken_response`. Records that are no documents (requests, metadata, revisits) are passed over; one of a type that the
    standard does not know, as a damaged name is, is set aside as `unknown_record`.

    Raises
    ------
    MissingPackageError
        If fastwarc, the extractor or, for zstd, zstandard is not installed.
    """
    optional_import("fastwarc.warc", extra="ingest")
    bookmark = bookmark or Bookmark()
    with open_binary(unit.place) as file:
        archive = Archive(file, unit.place, begins_with=VERSION)
        start, end = (unit.part.start, unit.part.end) if unit.part else (0, archive.size)
        for item in read_records(archive, start, end, max_bytes):
            member, within = item.place
            location = f"{unit.name}@{member}+{within}" if within else f"{unit.name}@{member}"
            if isinstance(item, Record) and not within:
                bookmark.move(Part(member, end, 1))
            if isinstance(item, Damage):
                yield Reject("broken_archive", location, "", item.detail, "")
            elif item.type in READ_TYPES:
                yield _read_document(item, location, max_bytes, extractor)
            elif item.type not in PASSED_TYPES:
                yield Reject("unknown_record", location, "", f"of type {item.type!r}", "")
