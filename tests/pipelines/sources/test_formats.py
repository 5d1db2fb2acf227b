from __future__ import annotations

import bz2
import gzip

import pytest

from pipelines.document import Document
from pipelines.sources import inventory, reader_version
from pipelines.sources.files import FilesSource
from pipelines.sources.formats import VERSIONS, format_of, suffix_of

WIKI = b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">\n</mediawiki>'
POSTS = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\n<posts>\n</posts>'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", "jsonl"),
        ("a.NDJSON.zst", "jsonl"),
        ("c4-train.00000-of-01024.json.gz", "jsonl"),
        ("a.json", None),
        ("a.parquet", "parquet"),
        ("a.parquet.gz", None),
        ("a.txt.gz", "text"),
        ("a.md", "markdown"),
        ("a.htm.bz2", "html"),
        ("CC-MAIN-2024.warc.gz", "warc"),
        ("CC-MAIN-2024.warc.wet.gz", "warc"),
        ("CC-MAIN-2024.warc.wat.gz", None),
        ("a.tex", "latex"),
        ("a.pdf", "pdf"),
        ("a.pdf.gz", None),
        ("rpj_arxiv--raw_passages_0-3-of-8.jsonl", "compactds"),
        ("raw_passages_0-3-of-8.jsonl.gz", "compactds"),
        ("passages.jsonl", "jsonl"),
        ("s3://bucket/a.jsonl.gz", "jsonl"),
        ("https://host/a.parquet?download=true", "parquet"),
        ("a.csv", None),
        ("README", None),
        (".gz", None),
    ],
)
def test_a_name_tells_the_format(name, expected):
    assert format_of(name) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("dump.xml", WIKI, "mediawiki"),
        ("enwiki-20240101.xml.bz2", bz2.compress(WIKI), "mediawiki"),
        ("export.xml.gz", gzip.compress(POSTS, mtime=0), "stackexchange"),
        ("Posts.xml", b"", "stackexchange"),
        ("coffee.Posts.xml.gz", b"", "stackexchange"),
        ("enwiki-latest-pages-articles1.xml-p1p41242.xml.bz2", b"", "mediawiki"),
        ("Users.xml", b"<?xml version='1.0'?><users></users>", None),
        ("sitemap.xml", b"<urlset></urlset>", None),
        ("broken.xml.gz", b"no archive", None),
    ],
)
def test_xml_is_told_by_its_root_where_its_name_does_not(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    assert format_of(str(path)) == expected


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.csv", ".csv"), ("a.CSV.gz", ".csv.gz"), ("README", ""), (".env", ""), ("dump.zst", ".zst")],
)
def test_the_suffix_that_a_skipped_file_is_counted_under(name, suffix):
    assert suffix_of(name) == suffix


def test_files_without_a_reader_are_counted_by_suffix(tmp_path):
    for name, size in (
        ("a.txt", 1),
        ("b.docx", 10),
        ("x/c.DOCX", 20),
        ("d.csv.gz", 5),
        ("LICENSE", 7),
        (".e.docx", 9),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    found = inventory(FilesSource(name="test", path=str(tmp_path)))
    assert [unit.name for unit in found.units] == ["a.txt"]
    assert found.skipped == {".docx": (2, 30), ".csv.gz": (1, 5), "": (1, 7)}


def test_a_reader_that_changes_has_only_its_own_files_read_again(tmp_path, monkeypatch):
    for name in ("a.txt", "b.jsonl"):
        (tmp_path / name).write_text("{}")
    config = FilesSource(name="test", path=str(tmp_path))
    text, jsonl = inventory(config).units
    before = [reader_version(config, unit) for unit in (text, jsonl)]
    monkeypatch.setitem(VERSIONS, "text", VERSIONS["text"] + 1)
    after = [reader_version(config, unit) for unit in (text, jsonl)]
    assert after[0] != before[0]
    assert after[1] == before[1]


PAGE = (
    b"<html><body><article>"
    + b"<p>A sentence of the main text of this page.</p>" * 20
    + b"</article></body></html>"
)
DUMP = b"""<mediawiki xml:lang="en"><siteinfo><sitename>W</sitename><base>https://w.org/wiki/A</base></siteinfo>
<page><title>A</title><ns>0</ns><id>1</id><revision><text>Prose.</text></revision></page>
<page><title>Talk:A</title><ns>1</ns><id>2</id><revision><text>Chat.</text></revision></page>
</mediawiki>"""
QUESTION = b"""<posts>
<row Id="1" PostTypeId="1" Score="3" Title="Why?" Body="&lt;p&gt;Reason?&lt;/p&gt;" />
<row Id="2" PostTypeId="2" ParentId="1" Score="5" Body="&lt;p&gt;Because.&lt;/p&gt;" />
</posts>"""


@pytest.mark.parametrize(
    ("name", "content", "config", "texts"),
    [
        (
            "a.html.gz",
            gzip.compress(PAGE, mtime=0),
            {"extractor": "resiliparse"},
            ["A sentence of the main text"],
        ),
        ("a.xml", DUMP, {}, ["Prose.", "other_namespace"]),
        ("a.xml.bz2", bz2.compress(DUMP), {"mediawiki": {"namespaces": [0, 1]}}, ["Prose.", "Chat."]),
        ("Posts.xml", QUESTION, {}, ["Reason?"]),
        (
            "Posts.xml.gz",
            gzip.compress(QUESTION, mtime=0),
            {"stackexchange": {"max_answers": 0}},
            ["Reason?"],
        ),
        ("a.tex", b"\\section{One} Only a part.", {"latex": {"fragments": True}}, ["## One"]),
        ("a.pdf", b"%PDF-1.4 and nothing", {}, ["broken_pdf"]),
    ],
)
def test_each_format_is_read_by_its_reader_with_its_options(
    tmp_path, read_files, name, content, config, texts
):
    (tmp_path / name).write_bytes(content)
    items = read_files(tmp_path, **config)
    for item, text in zip(items, texts, strict=True):
        assert (item.text if isinstance(item, Document) else item.reason).startswith(text)


def test_options_reach_the_reader(tmp_path, read_files):
    (tmp_path / "Posts.xml").write_bytes(QUESTION)
    assert "Because." in read_files(tmp_path)[0].text
    assert "Because." not in read_files(tmp_path, stackexchange={"max_answers": 0})[0].text


def test_real_dumps_are_told_by_themselves(test_data, read_files):
    for folder in ("stackexchange", "wikipedia"):
        config = FilesSource(name="test", path=str(test_data / folder))
        formats = {unit.name: format_of(unit.place) for unit in inventory(config).units}
        assert {"stackexchange": "stackexchange", "wikipedia": "mediawiki"}[folder] in formats.values()
