from __future__ import annotations

import gzip
import json
import random
import re
import statistics
import sys
from collections import Counter
from typing import NamedTuple, get_args

import pytest

from datastore.errors import MissingPackageError
from pipelines.document import Document, Reject
from pipelines.sources import html
from pipelines.sources.html import Extractor, Page, decode, extract
from pipelines.sources.unit import Unit
from pipelines.sources.warc import read_warc

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


def extracted(page: str | bytes, extractor: Extractor = "trafilatura", charset: str = "") -> Page | Reject:
    data = page.encode() if isinstance(page, str) else page
    return extract(data, document_id="id", location="place", charset=charset, extractor=extractor)


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


@pytest.mark.parametrize("extractor", get_args(Extractor))
def test_each_extractor_gives_the_main_text_and_the_head(extractor):
    page = extracted(PAGE.replace("<html>", "<html lang='en-GB'>"), extractor)
    assert (page.title, page.url, page.language) == ("Tea", "https://example.org/tea", "en-GB")
    assert all(sentence in page.text for sentence in SENTENCES)
    assert not any(word in page.text for word in ("<", "color", "tracker", "nor me", "About us"))


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title>Tea - Drinks of the World</title>", "<h1>Tea</h1><h1>Drinks</h1>", "Tea"),
        ("<title>Tea - Drinks</title>", "<h1>Drinks</h1>", "Tea - Drinks"),
        ("<meta property=og:title content='Hot  tea'><title>Drinks</title>", "<h1>Drinks!</h1>", "Hot tea"),
        ("<meta property=og:title content='Tea | Drinks'>", "<h1> Tea </h1>", "Tea"),
        ("", "<h1>Tea</h1><h1>Coffee</h1>", "Tea"),
        ("<title> \n </title>", "<h1></h1>", ""),
    ],
)
def test_the_title_is_the_heading_that_the_named_title_begins_with(head, body, title):
    page = extracted(f"<html><head>{head}</head><body>{body}<p>{SENTENCES[0]}</p></body></html>")
    assert page.title == title


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        PAGE.replace("bitter", "bit\x00t\x07er\ufffe\uffff"),
        PAGE.replace("<!DOCTYPE html>", "<!-- first --> <!DOCTYPE html>"),
        PAGE.replace("<!DOCTYPE html>", "<?xml version='1.0' encoding='iso-8859-1'?>").replace("hot", "höt"),
    ],
)
def test_a_parsed_page_has_the_text_that_trafilatura_finds_in_the_string(page):
    import trafilatura

    assert extracted(page).text == trafilatura.extract(page, include_comments=False, fast=True)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>6</sup> and 10<sup>\u22126</sup>", "10^6 and 10^\u22126"),
        ("H<sub>2</sub>SO<sub>4</sub>, SO<sub>4</sub><sup>2-</sup>", "H_2SO_4, SO_4^2-"),
        ("<i>x</i><sub>i</sub><sup>2</sup> + (a + b)<sup>n+1</sup>", "x_i^2 + (a + b)^n+1"),
        ("5 km<sup>2</sup>, log<sub>10</sub>, A<sup>T</sup>", "5 km^2, log_10, A^T"),
        ("the 19<sup>th</sup>, 1<sup>st</sup>, 2<sup>e</sup>", "the 19th, 1st, 2e"),
        ("as shown<sup>[1]</sup> here<sup>2</sup> and there.<sup>3</sup>", "as shown[1] here2 and there.3"),
        ("so<sup><a href='#n'>4</a></sup>, Brand<sup>TM</sup>", "so4, BrandTM"),
    ],
)
@pytest.mark.parametrize("extractor", ["trafilatura", "trafilatura_precision", "trafilatura_recall"])
def test_powers_and_indices_stay_what_they_are(html, text, extractor):
    page = extracted(
        PAGE.replace("<h1>Tea</h1>", f"<h1>Tea</h1><p>{SENTENCES[0]} It is {html}.</p>"), extractor
    )
    assert f"{SENTENCES[0]} It is {text}." in page.text


def test_empty_lines_of_preformatted_text_stay():
    code = "def f():\n    a = 1\n\n    b = 2\n \n\n    <b>return</b>\n\n    c\n"
    page = extracted(PAGE.replace("<h1>Tea</h1>", f"<h1>Tea</h1><p>{SENTENCES[0]}</p><pre>{code}</pre>"))
    assert "def f():\n    a = 1\n\n    b = 2\n\n\n    return\n\n    c\n" in page.text


@pytest.mark.parametrize("root", ["<html/>", '<html lang="en" />'])
def test_a_root_that_ends_at_once_holds_the_page(root):
    doctype = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1-strict.dtd">'
    )
    page = extracted(PAGE.replace("<!DOCTYPE html>\n<html>", doctype + root))
    assert page.title == "Tea"
    assert all(sentence in page.text for sentence in SENTENCES)


def test_an_address_that_is_none_is_left_out():
    assert extracted(PAGE.replace("https://example.org/tea", "/tea")).url == ""


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


@pytest.mark.parametrize("extractor", get_args(Extractor))
@pytest.mark.parametrize("tag", ["<div>", "<table><tr><td>", "<ul><li>"])
def test_a_page_nested_deeper_than_browsers_go_is_set_aside_or_cut_at_once(extractor, tag):
    found = extracted(f"<html><body><p>{SENTENCES[0]}</p>" + f"{tag}word " * 50_000, extractor)
    if extractor == "resiliparse":
        assert isinstance(found, Reject)
        assert found[:4] == ("too_deep", "place", "id", "elements nested more than 512 deep")
    else:
        assert isinstance(found, Page)
        assert found.text


@pytest.mark.parametrize("extractor", get_args(Extractor))
def test_a_page_nested_almost_as_deep_does_no_harm(extractor):
    page = extracted(f"<html><body><p>{SENTENCES[0]}</p>" + "<div>word " * 500, extractor)
    assert isinstance(page, Page)


def test_a_page_of_too_many_tags_is_set_aside():
    assert extracted("<br>" * 400_001) == Reject(
        "too_large", "place", "id", "400,001 tags, the limit is 400,000", ""
    )


@pytest.mark.parametrize("extractor", get_args(Extractor))
@pytest.mark.parametrize(
    "page", ["\0" * 1000, "<" * 1000, "<p " + "a=b " * 10_000 + ">", "]]>" * 100, "&#0;&#xD800;"]
)
def test_garbage_is_no_text_or_little(extractor, page):
    found = extracted(page, extractor)
    assert isinstance(found, Page) or found.reason == "no_text"
    if isinstance(found, Page):
        found.text.encode("utf-8")


def test_a_page_does_not_depend_on_those_before():
    assert extracted(PAGE) == extracted(PAGE) == extracted(PAGE)


def test_without_the_extractor_the_error_names_the_extra(tmp_path, read_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    html._reader.cache_clear()
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
        ('<meta charset="macintosh">', "mac-roman"),
        ('<meta charset="x-cp1252">', "cp1252"),
        ('<meta charset="utf-16">', "utf-8"),
    ],
)
def test_a_page_is_decoded_by_mark_then_utf8_then_declaration(declaration, encoding):
    page = f"<html>{declaration}caf\u00e9 \u20ac"
    assert decode(page.encode(encoding)) == page


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *[("ibm866", "cp866"), ("cp866", "cp866"), ("x-mac-cyrillic", "mac-cyrillic"), ("KOI8-U", "koi8-u")],
        *[("utf-16le", "utf-16-le"), ("utf-16be", "utf-16-be"), ("windows-1251", "cp1251")],
    ],
)
def test_a_page_is_decoded_in_the_encoding_that_came_with_it(name, encoding):
    page = f"<html><p>{RUSSIAN}"
    assert decode(page.encode(encoding), name) == page


def test_a_page_of_ascii_is_not_read_as_utf_16_whatever_is_said():
    page = '<html><meta charset="utf-16"><p>Plain text.'
    assert decode(page.encode(), "utf-16le") == page


def test_a_japanese_page_of_ascii_bytes_is_decoded_by_its_declaration():
    page = '<meta charset="iso-2022-jp">\u65e5\u672c'
    assert decode(page.encode("iso2022_jp")) == page


CZECH = "P\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148 \u00fap\u011bl \u010f\u00e1belsk\u00e9 \u00f3dy."
RUSSIAN = "Чай - напиток, который пьют горячим. Люди знают напиток много лет."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("caf\u00e9", "cp1252"),
        ("\u201cIt\u2019s na\u00efve\u201d \u2013 \u20ac5", "cp1252"),
        (CZECH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        ("日本語のページです。お茶は飲み物です。", "cp932"),
        ("차는 음료이다. 한국어 페이지.", "cp949"),
        ("茶是一种饮料。起源于中国。", "gb18030"),
    ],
)
@pytest.mark.parametrize("declared", ["", "no-such-encoding", "unicode_escape"])
def test_a_page_that_names_no_known_encoding_is_read_in_the_one_it_looks_like(text, encoding, declared):
    page = f'<html><meta charset="{declared}"><p>{text}'
    assert decode(page.encode(encoding)) == page


@pytest.mark.parametrize(
    "data",
    [
        b"<html><meta charset=utf-8>caf\xe9",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        random.Random(0).randbytes(5000),
        "<html>caf\u00e9, na\u00efve, d\u00e9j\u00e0 vu ".encode() + b"\xff",
    ],
    ids=["not as declared", "image", "noise", "damaged utf-8"],
)
def test_what_is_no_text_or_not_as_declared_is_set_aside(tmp_path, read_files, data):
    (tmp_path / "a.html").write_bytes(data)
    (reject,) = read_files(tmp_path)
    assert (reject.reason, reject.detail) == (
        "invalid_utf8",
        "neither UTF-8 nor the encoding that the page declares, and its bytes are not plainly text of another",
    )


def test_the_charset_that_came_with_a_page_goes_before_the_one_it_declares():
    page = '<meta charset="windows-1251">caf\u00e9'
    assert decode(page.encode("cp1252"), "windows-1252") == page
    assert decode(page.encode("cp1252"), "no-such-encoding") == page.replace("\u00e9", "\u0439")


@pytest.mark.parametrize(("good", "is_read"), [(999, True), (500, False)])
def test_one_wrong_character_in_a_thousand_is_read(good, is_read):
    text = decode(b"<meta charset=utf-8>" + b"x" * (good - 20) + b"\xff")
    assert text == ("<meta charset=utf-8>" + "x" * (good - 20) + "\ufffd" if is_read else None)


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


class Scores(NamedTuple):
    precision: float
    recall: float
    f1: float


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3)) if words)


def scores(truths: list[str], texts: list[str]) -> Scores:
    """The metric of article-extraction-benchmark: word 4-grams as multisets, precision and recall averaged over pages."""
    precisions, recalls = [], []
    for truth, text in zip(truths, texts, strict=True):
        true, found = shingles(truth), shingles(text)
        common = (true & found).total()
        if found:
            precisions.append(common / found.total())
        if true:
            recalls.append(common / true.total())
    precision, recall = statistics.mean(precisions), statistics.mean(recalls)
    return Scores(precision, recall, 2 * precision * recall / (precision + recall))


def test_the_metric_by_hand():
    # abcd bcde | bcde cdef: one of two each way; ab is shorter than four words, one shingle; an empty text has no precision.
    assert scores(["a b c d e", "a b", "a b c d"], ["b, c d e f", "a b", ""]) == pytest.approx(
        (0.75, 0.5, 0.6)
    )


@pytest.mark.parametrize(("extractor", "f1"), [("trafilatura", 0.96), ("resiliparse", 0.93)])
def test_the_text_of_181_articles_is_the_true_one(test_data, extractor, f1):
    folder = test_data / "web_pages"
    with gzip.open(folder / "articles181.truth.jsonl.gz", "rt", encoding="utf-8") as file:
        truths = {row["url"]: row["text"] for row in map(json.loads, file)}
    unit = Unit("articles", str(folder / "articles181.warc.gz"), "")
    documents = list(read_warc(unit, 20_000_000, extractor))
    assert all(isinstance(document, Document) for document in documents)
    texts = {document.metadata["url"]: document.text for document in documents}
    assert scores([*truths.values()], [texts[url] for url in truths]).f1 >= f1


def test_of_99_pages_in_many_languages_the_article_is_kept_and_the_rest_is_not(test_data):
    kept, wanted, crept_in, unwanted = 0, 0, 0, 0
    with gzip.open(test_data / "web_pages" / "trafilatura_eval.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            page = extracted(row["html"])
            assert isinstance(page, Page)
            kept += sum(part in page.text for part in row["with"])
            wanted += len(row["with"])
            crept_in += sum(part in page.text for part in row["without"])
            unwanted += len(row["without"])
    assert (wanted, unwanted) == (289, 295)
    assert kept >= 272
    assert crept_in <= 30
