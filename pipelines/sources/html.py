"""HTML: the main text of a page, without its menus, scripts and markup, by trafilatura.

Barbaresi, "Trafilatura: A Web Scraping Library and Command-Line Tool for Text Discovery and Extraction"
(ACL 2021, demonstrations).
"""

from __future__ import annotations

import codecs
import logging
import re

from datastore.errors import optional_import

from ..document import Document, Reject
from .records import SAMPLE_CHARS
from .text import read_whole
from .unit import Unit

_DECLARED = re.compile(rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 4096
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# What browsers read for a declared name (https://encoding.spec.whatwg.org/#names-and-labels), by Python's codec names.
_READ_AS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_jp": "euc_jp",
    "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949",
}
_READ_AS_DECLARED = ("iso8859", "cp125", "koi8")


def _declared_encoding(data: bytes) -> str | None:
    """The encoding that a page names, if it is one of the web: Python knows others that no page may choose."""
    match = _DECLARED.search(data, 0, _DECLARED_WITHIN_BYTES)
    try:
        name = codecs.lookup(match[1].decode("ascii")).name if match else ""
    except LookupError:
        return None
    return _READ_AS.get(name, name if name.startswith(_READ_AS_DECLARED) else None)


def _decode(data: bytes) -> str | None:
    """A page's text by its byte order mark, else UTF-8, else the encoding it declares; None if none fits.

    UTF-8 goes before the declaration, which is wrong more often than another encoding's bytes are valid UTF-8. It
    goes behind for a page of ASCII bytes alone, which may be ISO-2022.
    """
    encodings = [encoding for mark, encoding in _MARKS.items() if data.startswith(mark)]
    if not encodings:
        declared = _declared_encoding(data)
        encodings = (
            ["utf-8"] if declared is None else [declared, "utf-8"] if data.isascii() else ["utf-8", declared]
        )
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def read_html(unit: Unit, max_bytes: int) -> Document | Reject:
    """The document of a page, titled by its metadata, its heading or `<title>`.

    `url` is in its metadata where the page names its canonical address.

    Raises
    ------
    MissingPackageError
        If trafilatura is not installed.
    """
    trafilatura = optional_import("trafilatura", extra="ingest")
    for logger in ("trafilatura", "htmldate"):  # what they complain of is a reject here
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    data = read_whole(unit, max_bytes)
    if isinstance(data, Reject):
        return data
    page = _decode(data)
    if page is None:
        sample = data[:SAMPLE_CHARS].decode("utf-8", "replace")
        return Reject(
            "invalid_utf8",
            unit.name,
            unit.name,
            "neither UTF-8 nor the encoding that the page declares",
            sample,
        )
    if not re.search("<html", page, re.IGNORECASE):
        page = f"<html><body>{page}</body></html>"  # trafilatura refuses a bare fragment
    try:
        found = trafilatura.bare_extraction(
            page, favor_recall=True, include_comments=False, with_metadata=True
        )
    except Exception as error:  # noqa: BLE001 (whatever a page makes the extractor raise, the next page is read)
        return Reject(
            "extraction_failed", unit.name, unit.name, f"{type(error).__name__}: {error}", page[:SAMPLE_CHARS]
        )
    if found is None or not (found.text or "").strip():
        return Reject("no_text", unit.name, unit.name, "no main text was found", page[:SAMPLE_CHARS])
    return Document(
        unit.name, found.title or "", found.text, {"url": found.url} if found.url else {}, unit.name
    )
