from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines.document import Document, Reject
from pipelines.sources import Unit, read, units
from pipelines.sources.bookmark import Bookmark, skip
from pipelines.sources.compression import open_decompressed
from pipelines.sources.files import FilesSource

LINES = b"".join(
    b"{broken\n" if number % 7 == 3 else b"\n" if number % 7 == 5 else b'{"id": %d, "text": "t"}\n' % number
    for number in range(40)
)
PAGES = b"".join(
    b"<page><title>T%d</title><ns>0</ns><id>%d</id>%s<revision><id>1</id><text>Words of %d.</text></revision></page>\n"
    % (number, number, b"<redirect/>" if number % 5 == 2 else b"<page>" if number % 5 == 4 else b"", number)
    for number in range(20)
)
DUMP = b"<mediawiki><siteinfo><base>https://w.org/wiki/Main</base></siteinfo>" + PAGES + b"</mediawiki>"
ROWS = b"".join(
    b'<row Id="%d" PostTypeId="%d" ParentId="%d" Score="1" Title="T" Body="words" />\n'
    % (number, 1 + number % 3, number - 1)
    for number in range(30)
)
POSTS = b"<posts>" + ROWS + b"</posts>"


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "", "b"] * 8}), sink, row_group_size=5)
    return sink.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.jsonl": lambda: LINES,
    "a.jsonl.gz": lambda: gzip.compress(LINES),
    "broken.jsonl.gz": lambda: gzip.compress(LINES)[:-12],
    "a.jsonl.zst": lambda: zstandard.compress(LINES),
    "a.jsonl.bz2": lambda: bz2.compress(LINES),
    "pages-articles.xml": lambda: DUMP,
    "pages-articles.xml.bz2": lambda: bz2.compress(DUMP),
    "streams-pages-articles.xml.bz2": lambda: b"".join(
        bz2.compress(DUMP[start : start + 700]) for start in range(0, len(DUMP), 700)
    ),
    "Posts.xml": lambda: POSTS,
    "a.parquet": _parquet,
    "a.txt": lambda: b"words",
}


def everything(config: FilesSource, unit: Unit, bookmark: Bookmark) -> list[Document | Reject]:
    return list(read(config, unit, bookmark=bookmark))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("limit", [None, 9])
def test_reading_goes_on_from_every_record_and_to_equal_bookmarks(tmp_path, name, limit):
    (tmp_path / name).write_bytes(FILES[name]())
    config = FilesSource(name="test", path=str(tmp_path), limit=limit)
    (unit,) = units(config)
    bookmark = Bookmark()
    items, places = [], []
    for item in read(config, unit, bookmark=bookmark):
        items.append(item)
        places.append(dataclasses.replace(bookmark))
    assert len(items) > 10 or limit or name == "a.txt"

    for number, place in enumerate(places, start=1):
        again = dataclasses.replace(place)
        rest = []
        for item, later in zip(read(config, unit, bookmark=again), places[number:], strict=True):
            rest.append(item)
            assert again == later
        assert rest == items[number:]


@pytest.mark.parametrize(
    "name", ["web_pages/articles181.warc.wet.gz", "web_warc/whirlwind-python.whirlwind.warc"]
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_reading_of_a_web_archive_goes_on_at_a_record(test_data, tmp_path, name, is_cut):
    data = (test_data / name).read_bytes()
    path = tmp_path / name.rpartition("/")[2]
    path.write_bytes(data[: len(data) // 3] + b"\xff" * 99 + data[len(data) // 3 + 99 :] if is_cut else data)
    config = FilesSource(name="test", path=str(path))
    (unit,) = units(config)
    bookmark = Bookmark()
    items, places = [], []
    for item in read(config, unit, bookmark=bookmark):
        items.append(item)
        places.append(dataclasses.replace(bookmark))
    assert places[-1].again <= 2
    for number in range(1, len(items), max(1, len(items) // 7)):
        assert list(read(config, unit, bookmark=places[number - 1])) == items[number:]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "pages-articles.xml.bz2", "Posts.xml", "a.parquet"])
def test_what_stands_before_a_bookmark_is_not_parsed_again(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name]())
    config = FilesSource(name="test", path=str(tmp_path))
    (unit,) = units(config)
    bookmark = Bookmark()
    counts = [bookmark.again for _ in read(config, unit, bookmark=bookmark)]
    assert bookmark.part is not None
    assert max(counts[-5:]) <= (5 if name == "a.parquet" else 3)  # a row group, a page, a question


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_stream_goes_forward_whether_it_can_be_sought_in_or_not(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name]())
    with open_decompressed(tmp_path / name) as stream:
        assert stream.read(2) == LINES[:2]
        skip(stream, 100)
        assert stream.read() == LINES[102:]


def test_the_places_of_json_lines_are_bytes_and_lines(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'\n{"text": "1"}\n{"text": "2"}\n'))
    config = FilesSource(name="test", path=str(path))
    bookmark = Bookmark()
    second = [dataclasses.replace(bookmark) for _ in read(config, units(config)[0], bookmark=bookmark)][1]
    assert second.part is not None
    assert (second.part.start, second.part.first_record) == (15, 3)
    assert (second.again, second.documents) == (1, 2)
