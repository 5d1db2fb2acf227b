"""HTML: the main text of a page, without its menus, scripts and markup, by trafilatura or resiliparse.

Barbaresi, "Trafilatura: A Web Scraping Library and Command-Line Tool for Text Discovery and Extraction"
(ACL 2021, demonstrations); Bevendorff et al., "Elastic ChatNoir: Search Engine for the ClueWeb and the Common Crawl"
(ECIR 2018). docs/design/web-pages.md compares them.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

from datastore.errors import optional_import

from ..document import Document, Reject
from .html_trees import EMPTY_LINE, lxml_tree, said_in_lxml, said_in_resiliparse
from .records import SAMPLE_CHARS
from .text import damaged_utf8, read_whole
from .unit import Unit

Extractor = Literal["trafilatura", "trafilatura_precision", "trafilatura_recall", "resiliparse"]
# The documented modes of trafilatura, without what is done again otherwise: its metadata cost a third of its time.
_TRAFILATURA: dict[str, dict[str, bool]] = {
    "trafilatura": {"fast": True},
    "trafilatura_precision": {"precision": True},
    "trafilatura_recall": {"recall": True},
}
_MAX_TAGS = 400_000  # parsed, each takes up to 3 KB
_DEEPEST = (
    512  # as in browsers; resiliparse takes a time quadratic in the depth, trafilatura drops what is deeper
)
_TOO_DEEP = " > ".join(["*"] * (_DEEPEST + 1))

_DECLARED = re.compile(rb"<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 4096
_NOT_TEXT = (
    "neither UTF-8 nor the encoding that the page declares, and its bytes are not plainly text of another"
)
_REPLACED_SHARE = 0.001  # of the characters: so many bytes may be wrong in the encoding that a page declares
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]")  # no page's text, whatever its encoding
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Python's codecs that hold what browsers read for an encoding (https://encoding.spec.whatwg.org), where its own is narrower.
_WIDER = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-11": "cp874",
}
# Names of the web, or of resiliparse's own guesses, that resiliparse does not know.
_MORE_NAMES = {
    "cp949": "cp949",
    "uhc": "cp949",
    "mac-cyrillic": "mac-cyrillic",
    "iso-2022-jp": "iso2022_jp",
    "csiso2022jp": "iso2022_jp",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ukrainian": "mac-cyrillic",
}


class Page(NamedTuple):
    title: str
    text: str
    url: str  # the canonical address that the page names, else empty
    language: str  # as the page declares it (`en-GB`), else empty


def _web_encoding(name: str) -> str | None:
    """The codec of an encoding's name, if it is one of the web: Python knows others that no page may choose."""
    if not name:
        return None
    if name.lower() in _MORE_NAMES:
        return _MORE_NAMES[name.lower()]
    known = optional_import("resiliparse.parse.encoding", extra="ingest").map_encoding_to_html5
    found: str | None = known(name, fallback_utf8=False)
    return _WIDER.get(found or "", found)


def decode(data: bytes, charset: str = "", *, is_html: bool = True) -> str | None:
    """A page's text by its byte order mark, else UTF-8, else the charset given, else the one it declares.

    UTF-8 goes before the others, which are wrong more often than another encoding's bytes are valid UTF-8. It goes
    behind for a page of ASCII bytes alone, which may be ISO-2022. Where nothing fits exactly, one character in a
    thousand may be wrong, as where a crawler cut a page off. What names no charset is read as its bytes look, see
    `_guessed`. None if nothing fits.
    """
    encodings = [encoding for mark, encoding in _MARKS.items() if data.startswith(mark)]
    if not encodings:
        declared = _DECLARED.search(data, 0, _DECLARED_WITHIN_BYTES) if is_html else None
        names = [charset, declared[1].decode("ascii", "replace") if declared else ""]
        told = [encoding for encoding in map(_web_encoding, names) if encoding is not None]
        wide = [encoding for encoding in told if encoding.startswith("utf-16")]
        told = [encoding for encoding in told if encoding not in wide]
        encodings = [*told, "utf-8"] if data.isascii() else ["utf-8", *told]
        if b"\0" in data:  # else its markup is not in UTF-16, whatever it declares
            encodings = [*wide, *encodings]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    for encoding in (*encodings[1:], encodings[0]):
        text = data.decode(encoding, "replace")
        if text.count("\ufffd") <= _REPLACED_SHARE * len(text):
            return text
    return _guessed(data) if encodings == ["utf-8"] else None


def _guessed(data: bytes) -> str | None:
    """The text of a page in the encoding that its bytes look like, else windows-1252, as browsers read it.

    None if that is no text, or the page is UTF-8 but for some damage.
    """
    if damaged_utf8(data) is not None:
        return None
    detect = optional_import("resiliparse.parse.encoding", extra="ingest").detect_encoding
    detected = _web_encoding(detect(data, html5_compatible=False) or "")
    text = data.decode(detected if detected not in (None, "utf-8") else "cp1252", "replace")
    return text if len(_CONTROL.findall(text)) <= _REPLACED_SHARE * len(text) else None


class _TooDeepError(ValueError):
    pass


@cache
def _reader(extractor: Extractor) -> Callable[[str], Page]:
    """The function from a page to its main text and what it says of itself."""
    if extractor == "resiliparse":
        parser = optional_import("resiliparse.parse.html", extra="ingest")
        html2text = optional_import("resiliparse.extract.html2text", extra="ingest")

        def by_resiliparse(page: str) -> Page:
            tree = parser.HTMLTree.parse(page)
            if tree.document.query_selector(_TOO_DEEP) is not None:
                raise _TooDeepError
            said = said_in_resiliparse(tree)
            text: str = html2text.extract_plain_text(
                tree, main_content=True, alt_texts=False, comments=False, post_meta=False
            )
            return Page(said.title, text, said.url, said.language)

        return by_resiliparse
    trafilatura = optional_import("trafilatura", extra="ingest")
    for logger in ("trafilatura", "htmldate"):  # what they complain of is a reject here
        logging.getLogger(logger).setLevel(logging.CRITICAL)

    settings = optional_import("trafilatura.settings", extra="ingest")
    options = settings.Extractor(output_format="python", comments=False, **_TRAFILATURA[extractor])

    def by_trafilatura(page: str) -> Page:
        tree = lxml_tree(page)
        if tree is None:
            return Page("", "", "", "")
        document = trafilatura.bare_extraction(tree, options=options)
        said = said_in_lxml(tree)
        text = ((document and document.text) or "").replace(EMPTY_LINE, "")
        return Page(said.title, text, said.url, said.language)

    return by_trafilatura


def extract(
    data: bytes, *, document_id: str, location: str, charset: str = "", extractor: Extractor = "trafilatura"
) -> Page | Reject:
    """The main text of a page, read in the charset that came with it or that it declares; see `decode`.

    Raises
    ------
    MissingPackageError
        If the extractor is not installed.
    """
    read = _reader(extractor)

    def reject(reason: str, detail: str, sample: str) -> Reject:
        return Reject(reason, location, document_id, detail, sample[:SAMPLE_CHARS])

    if len(data) > _MAX_TAGS and (tags := data.count(b"<")) > _MAX_TAGS:
        return reject("too_large", f"{tags:,} tags, the limit is {_MAX_TAGS:,}", "")
    page = decode(data, charset)
    if page is None:
        sample = data[: 4 * SAMPLE_CHARS].decode("utf-8", "replace")
        return reject("invalid_utf8", _NOT_TEXT, sample)
    try:
        found = read(page)
    except _TooDeepError:
        return reject("too_deep", f"elements nested more than {_DEEPEST} deep", page)
    except Exception as error:  # noqa: BLE001 (whatever a page makes the extractor raise, the next page is read)
        return reject("extraction_failed", f"{type(error).__name__}: {error}", page)
    return found if found.text.strip() else reject("no_text", "no main text was found", page)


def read_html(unit: Unit, max_bytes: int, extractor: Extractor = "trafilatura") -> Document | Reject:
    """The document of a file that holds one page; `url` and `language` are in its metadata where the page says them.

    Raises
    ------
    MissingPackageError
        If the extractor is not installed.
    """
    data = read_whole(unit, max_bytes)
    if isinstance(data, Reject):
        return data
    page = extract(data, document_id=unit.name, location=unit.name, extractor=extractor)
    if isinstance(page, Reject):
        return page
    said = {"url": page.url, "language": page.language}
    return Document(
        unit.name, page.title, page.text, {key: value for key, value in said.items() if value}, unit.name
    )
