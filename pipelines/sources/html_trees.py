"""A page as a tree, and what it says of itself there: its title, its address and its language.

Each extractor has a parser of its own, whose tree serves for both. trafilatura parses strings too, but first looks for
control characters with a regular expression over all of the page, and has Python choose a class for every element.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from datastore.errors import optional_import

_CONTROLS = bytes((*range(9), *range(14, 28)))
_LINE_BREAKS = bytes.maketrans(b"\x0b\x0c\x1c\x1d\x1e\x1f", b"\n" * 6)  # as `datastore.text.normalise` has it
# What libxml2 stumbles over: some document types, and a root that ends at once.
_DOCTYPE = re.compile(rb"\s*<\s?!\s?doctype[^<>]*>", re.IGNORECASE)
_EMPTY_ROOT = re.compile(rb"(<html\b[^<>]*?)\s*/>", re.IGNORECASE)
_ROOT_WITHIN_BYTES = 4096
# Powers, charges and indices, by what they are and what they stand behind: no ordinals, no marks of notes behind words.
_SCRIPTS = {
    "sup": (
        "^",
        re.compile(r"[+\-\u2212]?\d{1,4}[+\-\u2212]?|[+\-\u2212]|\d?[nkmxyijpqT](?:[+\-\u2212]\d)?"),
    ),
    "sub": ("_", re.compile(r"[+\-\u2212]?\w{1,4}(?:[+\-\u2212,]\w)?")),
}
_BASE = re.compile(r"(?:(?<![^\W\d_])[^\W\d_]{1,3}|[\d)\]}])\Z")
_EMPTY_LINES = re.compile(r"(?<=\n)[ \t]*(?=\n)")
EMPTY_LINE = "\u2800"  # what stands for one in preformatted text: extractors drop those that are empty


class Said(NamedTuple):
    """What a page says of itself; empty where it says nothing."""

    title: str
    url: str  # the canonical address
    language: str  # `en-GB`


def lxml_tree(page: str) -> Any:
    """The page as an element of lxml.html, cleaned as trafilatura cleans a string; None for a page without any.

    Extractors show text alone: so 10<sup>6</sup> is written 10^6 here, H<sub>2</sub>O is H_2O, and an empty line of
    preformatted text is an `EMPTY_LINE`.
    """
    if not page.isascii():
        page = page.replace("\ufffe", "").replace("\uffff", "")
    data = page.encode().translate(_LINE_BREAKS, _CONTROLS)
    if found := _DOCTYPE.match(data):
        data = data[found.end() :]
    if found := _EMPTY_ROOT.search(data, 0, _ROOT_WITHIN_BYTES):
        data = data[: found.end(1)] + data[found.end() - 1 :]
    etree = optional_import("lxml.etree", extra="ingest")
    try:
        tree = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError:  # nothing but blanks and comments
        return None
    if tree is not None:
        _write_out(tree)
    return tree


def _write_out(tree: Any) -> None:
    """What only the markup says, as text."""
    for element in tree.iter("sup", "sub"):
        mark, script = _SCRIPTS[element.tag]
        text = (element.text or "").strip()
        if len(element) == 0 and script.fullmatch(text) and _BASE.search(_text_before(element)[-4:]):
            element.text = mark + text
    seen = set()
    for preformatted in tree.iter("pre"):
        if preformatted in seen:  # within another
            continue
        for element in preformatted.iter():
            if element.tag == "pre":
                seen.add(element)
            element.text = element.text and _EMPTY_LINES.sub(EMPTY_LINE, element.text)
            if element is not preformatted:
                element.tail = element.tail and _EMPTY_LINES.sub(EMPTY_LINE, element.tail)


def _text_before(element: Any) -> str:
    """The text right before an element, in so far as no tree has to be gone through for it."""
    previous = element.getprevious()
    if previous is None:
        parent = element.getparent()
        return (parent.text if parent is not None else "") or ""
    return previous.tail or (previous.text if len(previous) == 0 else "") or ""


@cache
def _parser() -> Any:
    """Keeps what trafilatura's own parser keeps; all elements are of one class, which lxml then knows without asking."""
    etree, html = (optional_import(name, extra="ingest") for name in ("lxml.etree", "lxml.html"))
    parser = html.HTMLParser(
        collect_ids=False, default_doctype=False, encoding="utf-8", remove_comments=True, remove_pis=True
    )
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=html.HtmlElement))
    return parser


def said_in_lxml(tree: Any) -> Said:
    shared, named, heading, url, language = (str(find(tree)) for find in _xpaths())
    return _said([shared, named], heading, url, language)


@cache
def _xpaths() -> tuple[Any, ...]:
    compiled = optional_import("lxml.etree", extra="ingest").XPath
    return (
        compiled("string(//meta[@property='og:title']/@content)"),
        compiled("string(//title)"),
        compiled("string(//h1)"),
        compiled("string(//link[@rel='canonical']/@href)"),
        compiled("string(/html/@lang)"),
    )


def said_in_resiliparse(tree: Any) -> Said:
    def attribute(selector: str, name: str) -> str:
        element = tree.document.query_selector(selector)
        return (element.getattr(name) or "") if element else ""

    heading = tree.document.query_selector("h1")
    return _said(
        [attribute('meta[property="og:title"]', "content"), tree.title or ""],
        heading.text if heading else "",
        attribute('link[rel="canonical"]', "href"),
        attribute("html", "lang"),
    )


def _said(named: list[str], heading: str, url: str, language: str) -> Said:
    *named, heading, url, language = (" ".join(text.split()) for text in (*named, heading, url, language))
    return Said(_title(named, heading), url if url.startswith(("http://", "https://")) else "", language)


def _title(named: list[str], heading: str) -> str:
    """What a page calls itself where it is shared, else in its head, else its first heading.

    If such a title begins with the heading, the heading it is: what follows there is mostly the site's name.
    """
    if heading and any(title.startswith(heading) for title in named):
        return heading
    return next((title for title in (*named, heading) if title), "")
