from __future__ import annotations

import bz2
import gzip
import json
import tempfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.document import Document, Reject
from pipelines.sources import inventory, parts, read, units
from pipelines.sources.files import FilesSource
from pipelines.sources.unit import Part


def source(path: Path | str, **config: object) -> FilesSource:
    return FilesSource.model_validate({"name": "test", "path": str(path), **config})


def everything(config: FilesSource) -> list[Document | Reject]:
    return [item for unit in units(config) for item in read(config, unit)]


def lines(count: int) -> bytes:
    return b"".join(json.dumps({"id": str(number), "text": "t"}).encode() + b"\n" for number in range(count))


line = st.one_of(
    st.just(b""),
    st.just(b" \t\r"),
    st.just(b"{broken"),
    st.just(b'\xef\xbb\xbf{"text": "marked"}'),
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")),
    st.text(min_size=1, max_size=60).map(lambda text: json.dumps({"text": text}).encode()),
)


@given(
    content=st.lists(line, max_size=30),
    last_newline=st.booleans(),
    bound=st.integers(1, 200),
    most=st.integers(1, 80),
)
@settings(max_examples=150, deadline=None)
def test_the_parts_of_json_lines_give_what_the_whole_gives(content, last_newline, bound, most):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_bytes(b"\n".join(content) + b"\n" * last_newline)
        whole = everything(source(path, max_document_bytes=most))
        cut = source(path, max_document_bytes=most, split_bytes=bound)
        assert everything(cut) == whole
        found = units(cut)
        size = path.stat().st_size
    if size > bound and len(found) > 1:
        ranges = [unit.part for unit in found]
        assert [part.start for part in ranges[1:]] == [part.end for part in ranges[:-1]]
        assert (ranges[0].start, ranges[-1].end) == (0, size)
        longest = max(map(len, content)) + 1
        assert all(part.end - part.start < bound + longest for part in ranges)


@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=60),
    group=st.integers(1, 20),
    bound=st.integers(1, 3000),
)
@settings(max_examples=40, deadline=None)
def test_the_parts_of_parquet_give_what_the_whole_gives(texts, group, bound):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.parquet")
        pq.write_table(pa.table({"text": texts}), path, row_group_size=group)
        assert everything(source(path, split_bytes=bound)) == everything(source(path))


page = st.one_of(
    st.integers(1, 99).map(lambda i: b"<page><id>%d</id><revision><text>words</text></revision></page>" % i),
    st.sampled_from(
        [b"<page><id>7</id>", b"<page>&broken;</page>", b"\n  ", b"<page><redirect/><id>8</id></page>"]
    ),
)


@given(
    pages=st.lists(page, max_size=30),
    head=st.sampled_from([b"<mediawiki>\n", b"<!DOCTYPE x><mediawiki>", b"<other>"]),
    tail=st.sampled_from([b"</mediawiki>\n", b""]),
    bound=st.integers(1, 400),
)
@settings(max_examples=100, deadline=None)
def test_the_parts_of_a_dump_give_what_the_whole_gives(pages, head, tail, bound):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w-pages-articles.xml")
        path.write_bytes(head + b"".join(pages) + tail)
        whole = everything(source(path, max_document_bytes=70))
        cut = source(path, max_document_bytes=70, split_bytes=bound)
        assert everything(cut) == whole
        closed = sum(b"</page>" in one for one in pages)
        assert len(units(cut)) == 1 or (head == b"<mediawiki>\n" and len(units(cut)) <= closed + 2)


def test_pages_are_cut_where_they_begin(tmp_path):
    one = b"<page><id>1</id><revision><text>words</text></revision></page>"  # 62 bytes
    path = tmp_path / "w-pages-articles.xml"
    path.write_bytes(b"<mediawiki>" + one * 5 + b"</mediawiki>")
    assert [unit.part for unit in units(source(path, split_bytes=100))] == [
        Part(0, 135, 1),
        Part(135, 259, 3),
        Part(259, 333, 5),
    ]
    (tmp_path / "w-pages-articles.xml.bz2").write_bytes(bz2.compress(path.read_bytes()))
    assert len(units(source(tmp_path / "w-pages-articles.xml.bz2", split_bytes=10))) == 1


def in_streams(data: bytes, lengths: list[int]) -> tuple[bytes, list[int]]:
    """bzip2 streams of so many bytes each and one of the rest, and where each begins in the file."""
    streams, starts = [], []
    for length in [*lengths, len(data)]:
        starts.append(sum(map(len, streams)))
        streams.append(bz2.compress(data[:length]))
        data = data[length:]
    return b"".join(streams), starts


@given(
    pages=st.lists(page.filter(lambda one: one.count(b"<page>") == one.count(b"</page>")), max_size=20),
    lengths=st.lists(st.integers(0, 300), max_size=8),
    tail=st.sampled_from([b"</mediawiki>\n", b""]),
    bound=st.integers(1, 400),
    damage=st.none() | st.integers(0, 8),
)
@settings(max_examples=150, deadline=None)
def test_the_parts_of_a_dump_of_many_bzip2_streams_give_what_the_whole_gives(
    pages, lengths, tail, bound, damage
):
    """Also where pages go over from stream to stream, as of `pbzip2`, and where one is damaged."""
    data = b"<mediawiki>\n" + b"".join(pages) + tail
    compressed, starts = in_streams(data, lengths)
    if damage is not None:
        at = [*starts, len(compressed)][min(damage, len(starts) - 1)] + 30
        compressed = compressed[:at] + b"\xff" * 3 + compressed[at + 3 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w-pages-articles.xml.bz2")
        path.write_bytes(compressed)
        whole = everything(source(path, max_document_bytes=70))
        cut = source(path, max_document_bytes=70, split_bytes=bound)
        assert everything(cut) == whole
        assert len(units(cut)) <= len(starts)
        if damage is None:
            Path(folder, "w-pages-articles.xml").write_bytes(data)
            plain = everything(source(Path(folder, "w-pages-articles.xml"), max_document_bytes=70))
            assert [(type(one), one[0]) for one in plain] == [(type(one), one[0]) for one in whole]


def test_a_page_that_never_closes_takes_none_of_the_next_stream_along_twice(tmp_path):
    one = [b"<page><id>%d</id><revision><text>words</text></revision></page>" % number for number in range(4)]
    one[1] = one[1].removesuffix(b"</page>")
    compressed, starts = in_streams(
        b"<mediawiki>" + b"".join(one) + b"</mediawiki>", [11 + len(one[0] + one[1])]
    )
    path = tmp_path / "w-pages-articles.xml.bz2"
    path.write_bytes(compressed)

    whole, cut = everything(source(path)), everything(source(path, split_bytes=10))

    assert [one.id for one in whole if isinstance(one, Document)] == ["0", "2", "3"]
    assert [one.id for one in cut if isinstance(one, Document)] == ["0", "1", "2", "3"]
    assert cut[2].location == f"{path.name}@{starts[1]}:1"


def test_a_dump_is_cut_where_streams_begin_and_its_pages_are_counted_in_them(tmp_path):
    one = [
        b"<page><id>%d</id><revision><text>words</text></revision></page>" % number for number in range(250)
    ]
    data = b"<mediawiki>" + b"".join(one) + b"</mediawiki>"
    first = len(b"<mediawiki>")
    compressed, starts = in_streams(data, [first, len(b"".join(one[:100])), len(b"".join(one[100:200]))])
    path = tmp_path / "w-pages-articles.xml.bz2"
    path.write_bytes(compressed)

    found = units(source(path, split_bytes=10))

    ends = [*starts[1:], len(compressed)]
    assert [unit.part for unit in found] == [Part(*place, 1) for place in zip(starts, ends, strict=True)]
    assert sum(unit.bytes for unit in found) == len(compressed)
    items = everything(source(path, split_bytes=10))
    assert [item.id for item in items] == [str(number) for number in range(250)]
    assert [items[at].location for at in (0, 99, 100, 249)] == [
        f"{path.name}@{starts[1]}:1",
        f"{path.name}@{starts[1]}:100",
        f"{path.name}@{starts[2]}:1",
        f"{path.name}@{starts[3]}:50",
    ]


def test_ranges_end_at_lines_and_know_their_first_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "1"}\n' * 10)  # 14 bytes each
    config = source(path, split_bytes=40)
    assert [unit.part for unit in units(config)] == [
        Part(0, 42, 1),
        Part(42, 84, 4),
        Part(84, 126, 7),
        Part(126, 140, 10),
    ]
    assert [unit.bytes for unit in units(config)] == [42, 42, 42, 14]
    assert {unit.name for unit in units(config)} == {"a.jsonl"}
    assert [item.id for item in read(config, units(config)[2])] == ["a.jsonl:7", "a.jsonl:8", "a.jsonl:9"]


def test_row_groups_are_joined_up_to_the_bound(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x"] * 100}), path, row_group_size=10)
    with pq.ParquetFile(path) as file:
        group_bytes = file.metadata.row_group(0).column(0).total_compressed_size  # of each alike
    config = source(path, split_bytes=3 * group_bytes + 1)
    assert [unit.part for unit in units(config)] == [
        Part(0, 3, 1),
        Part(3, 6, 31),
        Part(6, 9, 61),
        Part(9, 10, 91),
    ]


def test_a_broken_row_group_takes_no_other_along_in_parts_and_in_the_whole(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {number}" for number in range(1500)]})
    pq.write_table(table, path, row_group_size=500, compression="zstd", use_dictionary=False)
    data = path.read_bytes()
    with pq.ParquetFile(path) as file:
        second = file.metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(data[:second] + b"\xff" * 50 + data[second + 50 :])
    items = everything(source(path))
    (reject,) = (item for item in items if isinstance(item, Reject))
    assert (reject.reason, reject.location, reject.detail[:13]) == (
        "broken_archive",
        "a.parquet",
        "row group 2: ",
    )
    texts = [item.text for item in items if isinstance(item, Document)]
    assert texts[:500] + texts[-500:] == [f"text {number}" for number in [*range(500), *range(1000, 1500)]]
    assert items[-1].location == "a.parquet:1500"
    assert everything(source(path, split_bytes=100)) == items


def test_small_compressed_remote_and_damaged_files_stay_whole(tmp_path):
    (tmp_path / "small.jsonl").write_bytes(b'{"text": "t"}\n')
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(1000)))
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    (tmp_path / "b.txt").write_bytes(b"line\n" * 100)
    found = units(source(tmp_path, split_bytes=50))
    assert [(unit.name, unit.part) for unit in found] == [
        ("a.jsonl.gz", None),
        ("a.parquet", None),
        ("b.txt", None),
        ("small.jsonl", None),
    ]
    memory = fsspec.filesystem("memory")
    memory.pipe("/split/a.jsonl", lines(100))
    assert [unit.part for unit in units(source("memory://split", split_bytes=50))] == [None]
    memory.store.clear()


def test_an_inventory_opens_no_file_and_its_units_can_be_cut_one_by_one(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(lines(100))
    (tmp_path / "a.jsonl").write_bytes(lines(100))
    config = source(tmp_path, split_bytes=500)
    whole = inventory(config).units
    assert [(unit.name, unit.part) for unit in whole] == [("a.jsonl", None), ("b.jsonl", None)]
    assert [part for unit in whole for part in parts(config, unit)] == units(config)
    assert len(units(config)) > 8
    assert len({unit.identity for unit in units(config)}) <= 2


def test_the_limit_holds_for_each_part(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(100))
    config = source(tmp_path, split_bytes=500, limit=3)
    assert {len(list(read(config, unit))) for unit in units(config)} == {3}


@pytest.mark.parametrize(
    "name", ["web_pages/articles181.warc.wet.gz", "web_warc/whirlwind-python.whirlwind.warc"]
)
def test_the_parts_of_a_web_archive_give_what_the_whole_gives(test_data, name):
    path = test_data / name
    whole = everything(source(path))
    cut = source(path, split_bytes=path.stat().st_size // 4)
    assert len(units(cut)) > 1
    assert [item for item in everything(cut) if isinstance(item, Document)]
    assert everything(cut) == whole


@pytest.mark.parametrize("name", ["vital_en.jsonl.gz"])
def test_real_articles_are_the_same_in_parts(test_data, tmp_path, name):
    path = tmp_path / "vital.jsonl"
    path.write_bytes(gzip.decompress((test_data / "wikipedia" / name).read_bytes()))
    cut = source(path, split_bytes=1 << 20)
    assert len(units(cut)) > 3
    assert everything(cut) == everything(source(path))
