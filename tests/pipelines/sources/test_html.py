from __future__ import annotations

import gzip
import json
import sys

import pytest

from datastore.errors import MissingPackageError
from pipelines.document import Document, Reject
from pipelines.sources.html import _decode

SENTENCES = [
    "Tea is an aromatic beverage prepared by pouring hot water over cured leaves of the tea plant.",
    "After plain water it is the most widely consumed drink in the world, and there are many kinds of it.",
    "Some have a cooling, slightly bitter flavour, while others are sweet, nutty, floral or grassy.",
]
PAGE = f"""<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Tea, a drink</title>
<link rel="canonical" href="https://example.org/tea">
<style>p {{ color: red }}</style><script>var tracker = "do not read me";</script></head>
<body><nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<article><h1>Tea</h1><p>{SENTENCES[0]}</p><p>{SENTENCES[1]} <b>Black &amp; green</b>.</p>
<script>document.write("nor me")</script><p>{SENTENCES[2]}</p></article>
<footer>Copyright</footer></body></html>"""


def test_the_main_text_is_kept_and_markup_and_scripts_are_not(tmp_path, read_files):
    (tmp_path / "tea.html").write_text(PAGE)
    (document,) = read_files(tmp_path)
    assert isinstance(document, Document)
    assert (document.id, document.title, document.location) == ("tea.html", "Tea", "tea.html")
    assert document.metadata == {"url": "https://example.org/tea"}
    assert all(sentence in document.text for sentence in SENTENCES)
    assert "Black & green" in document.text
    assert not any(word in document.text for word in ("<", "color", "tracker", "nor me", "About us"))


def test_without_a_heading_and_an_address_the_head_gives_the_title_and_nothing_the_url(tmp_path, read_files):
    page = PAGE.replace("<h1>Tea</h1>", "").replace('rel="canonical"', 'rel="stylesheet"')
    (tmp_path / "tea.htm").write_text(page)
    (document,) = read_files(tmp_path)
    assert document.title == "Tea, a drink"
    assert document.metadata == {}


def test_a_bare_fragment_is_read(tmp_path, read_files):
    (tmp_path / "a.html").write_text(f"<p>{SENTENCES[0]}</p>")
    (document,) = read_files(tmp_path)
    assert (document.title, document.text) == ("", SENTENCES[0])


@pytest.mark.parametrize("content", ["", "<html><head><title>T</title></head><body></body></html>"])
def test_a_page_without_text_is_set_aside(tmp_path, read_files, content):
    (tmp_path / "a.html").write_text(content)
    (reject,) = read_files(tmp_path)
    assert (reject.reason, reject.document_id, reject.detail) == (
        "no_text",
        "a.html",
        "no main text was found",
    )


def test_a_page_that_breaks_the_extractor_is_set_aside(tmp_path, read_files, monkeypatch):
    import trafilatura

    def fail(*_args: object, **_options: object) -> None:
        raise KeyError("no such tag")

    monkeypatch.setattr(trafilatura, "bare_extraction", fail)
    (tmp_path / "a.html").write_text(PAGE)
    assert read_files(tmp_path) == [
        Reject("extraction_failed", "a.html", "a.html", "KeyError: 'no such tag'", PAGE[:200])
    ]


def test_a_page_beyond_the_limit_is_set_aside(tmp_path, read_files):
    (tmp_path / "a.html").write_text(PAGE)
    assert read_files(tmp_path, max_document_bytes=100) == [
        Reject("too_large", "a.html", "a.html", "more than 100 bytes", "")
    ]


def test_without_the_extractor_the_error_names_the_extra(tmp_path, read_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    (tmp_path / "a.html").write_text(PAGE)
    with pytest.raises(MissingPackageError, match=r"compendia\[ingest\]"):
        read_files(tmp_path)


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ('<meta charset="ISO-8859-1">', "cp1252"),
        ("<meta http-equiv=Content-Type content='text/html; charset=windows-1252'>", "cp1252"),
        ('<?xml version="1.0" encoding="iso-8859-15"?>', "iso-8859-15"),
        ('<meta charset="ISO-8859-1">', "utf-8"),
    ],
)
def test_a_page_is_decoded_by_mark_then_utf8_then_declaration(declaration, encoding):
    page = f"<html>{declaration}caf\u00e9 \u20ac"
    assert _decode(page.encode(encoding)) == page


def test_a_japanese_page_of_ascii_bytes_is_decoded_by_its_declaration():
    page = '<meta charset="iso-2022-jp">\u65e5\u672c'
    assert _decode(page.encode("iso2022_jp")) == page


@pytest.mark.parametrize("declared", ["", "no-such-encoding", "unicode_escape", "utf-7", "utf-8"])
def test_a_page_in_no_known_encoding_is_set_aside(tmp_path, read_files, declared):
    (tmp_path / "a.html").write_bytes(f'<html><meta charset="{declared}">caf'.encode() + b"\xe9")
    (reject,) = read_files(tmp_path)
    assert (reject.reason, reject.detail) == (
        "invalid_utf8",
        "neither UTF-8 nor the encoding that the page declares",
    )


def test_real_manual_pages_give_their_text(test_data, tmp_path, read_files):
    with gzip.open(test_data / "web_html_docs" / "apache_postgres_html.jsonl.gz", "rt") as file:
        for number, line in enumerate(file):
            if number % 20 == 0:
                (tmp_path / f"{number:03}.html").write_text(json.loads(line)["html"])
    documents = read_files(tmp_path)
    assert len(documents) == 11
    assert all(isinstance(document, Document) and document.title for document in documents)
    assert documents[0].title == "Access Control"
    assert "Access control refers to any means of controlling access to any resource." in documents[0].text
    assert sum(len(document.text) for document in documents) > 50_000
