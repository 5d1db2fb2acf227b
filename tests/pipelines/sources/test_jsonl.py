from __future__ import annotations

import bz2
import gzip
import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.document import Document, Reject
from pipelines.sources import read, units
from pipelines.sources.files import FilesSource

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def write(folder: Path, *lines: bytes, suffix: str = "") -> Path:
    path = folder / f"a.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](b"\n".join(lines)))
    return path


def test_lines_become_documents(tmp_path, read_files):
    path = write(
        tmp_path,
        b'{"id": "x", "title": "T", "text": "one", "n": 1}',
        b"",
        b'  {"text": ["two", "three"]}\r',
        b" \t",
    )
    assert read_files(path) == [
        Document("x", "T", "one", {"n": 1}, "a.jsonl:1"),
        Document("a.jsonl:3", "", "two\nthree", {}, "a.jsonl:3"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path, read_files):
    assert read_files(write(tmp_path, b'\xef\xbb\xbf{"text": "one"}')) == [
        Document("a.jsonl:1", "", "one", {}, "a.jsonl:1")
    ]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (
            b"{broken",
            "invalid_json",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (b'["text"]', "invalid_json", "a list, not an object"),
        (b'{"text": "caf\xe9"}', "invalid_utf8", "'utf-8' codec can't decode byte 0xe9 in position 13: "),
        (b"[" * 100_000, "invalid_json", "maximum recursion depth exceeded"),
        (b'{"id": "a", "text": ""}', "no_text", "text and title are empty"),
    ],
)
def test_a_bad_line_is_set_aside_and_the_next_is_read(tmp_path, read_files, line, reason, detail):
    reject, document = read_files(write(tmp_path, line, b'{"id": "good", "text": "\\ud83d\\ude00"}'))
    assert document == Document("good", "", "\N{GRINNING FACE}", {}, "a.jsonl:2")
    assert (reject.reason, reject.location) == (reason, "a.jsonl:1")
    assert reject.detail.startswith(detail)
    if reason != "no_text":
        assert reject.sample == line[:200].decode(errors="replace")


def test_what_json_writers_leave_of_missing_numbers_and_cut_pairs_costs_no_document(tmp_path, read_files):
    lines = [
        b'{"text": "one", "score": NaN, "m": [-Infinity, 1e999, 1.5]}',
        b'{"text": "cut \\ud83d", "m": {"\\uDFFF": "\\ud83d\\ude00 \\\\ud800"}}',
        b'{"title": "three", "text": Infinity}',
    ]
    assert read_files(write(tmp_path, *lines)) == [
        Document("a.jsonl:1", "", "one", {"m": [None, None, 1.5]}, "a.jsonl:1"),
        Document("a.jsonl:2", "", "cut \ufffd", {"m": {"\ufffd": "\N{GRINNING FACE} \\ud800"}}, "a.jsonl:2"),
        Document("a.jsonl:3", "three", "three", {}, "a.jsonl:3"),
    ]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_of_fifty_megabytes_is_never_held(tmp_path, read_files, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    compression = {"": None, ".gz": "gzip", ".zst": "zstd"}[suffix]
    with pa.output_stream(str(path), compression=compression) as file:
        file.write(b'{"text": "')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"id": "good", "text": "t"}\n')
    tracemalloc.start()
    try:
        reject, document = read_files(path, max_document_bytes=1_000_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    name = path.name
    assert reject == Reject(
        "too_large", f"{name}:1", "", "50,000,012 bytes, the limit is 1,000,000", '{"text": "' + "x" * 190
    )
    assert document == Document("good", "", "t", {}, f"{name}:2")
    assert peak_bytes < 10_000_000


def test_the_size_limit_is_exact_with_and_without_a_last_newline(tmp_path, read_files):
    line = b'{"text": "abc"}'
    path = write(tmp_path, line, line)
    assert [type(item) for item in read_files(path, max_document_bytes=len(line))] == [Document, Document]
    rejects = read_files(path, max_document_bytes=len(line) - 1)
    assert [(item.reason, item.location) for item in rejects] == [
        ("too_large", "a.jsonl:1"),
        ("too_large", "a.jsonl:2"),
    ]


def test_a_zstd_frame_with_a_window_of_two_gigabytes_is_read(tmp_path, read_files):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(frame.compress(b'{"id": "a", "text": "t"}\n') + frame.flush())
    assert [item.id for item in read_files(path)] == ["a"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_truncated_archive_keeps_the_records_before_the_break(tmp_path, read_files, suffix):
    # Two members: what is lost is at most the broken one's last block.
    good = b"".join(b'{"id": %d, "text": "t"}\n' % number for number in range(2000))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](good) + COMPRESS[suffix](good)[:-30])
    *documents, reject = read_files(path)
    assert [document.id for document in documents[:2000]] == [str(number) for number in range(2000)]
    assert all(isinstance(document, Document) for document in documents)
    assert (reject.reason, reject.location) == ("broken_archive", path.name)
    assert reject.detail.startswith(f"after line {len(documents)}: ")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_what_is_no_archive_at_all_is_one_reject(tmp_path, read_files, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(b'{"text": "not compressed"}\n')
    (reject,) = read_files(path)
    assert (reject.reason, reject.location) == ("broken_archive", path.name)


def test_a_flipped_bit_in_gzip_is_found_by_its_checksum(tmp_path, read_files):
    path = write(tmp_path, *(b'{"id": %d, "text": "t"}' % number for number in range(100)), b"", suffix=".gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    *documents, reject = read_files(path)
    assert [document.id for document in documents] == [str(number) for number in range(100)]
    assert reject.reason == "broken_archive"


json_values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {"id": st.text(min_size=1), "title": st.text(min_size=1), "text": st.text(min_size=1).filter(str.strip)},
    optional={"extra": json_values, "\N{GREEK SMALL LETTER ALPHA}": json_values},
)


@given(
    content=st.lists(records, max_size=5),
    suffix=st.sampled_from([*COMPRESS]),
    ascii_only=st.booleans(),
    end=st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
)
@settings(max_examples=60, deadline=None)
def test_records_written_are_records_read(
    content: list[dict[str, Any]], suffix: str, ascii_only: bool, end: bytes
):
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps(record, ensure_ascii=ascii_only).encode() + end for record in content]
        path = Path(folder, f"a.ndjson{suffix}")
        path.write_bytes(
            COMPRESS[suffix](b"".join(lines)) if lines or not suffix else COMPRESS[suffix](b"\n")
        )
        source = FilesSource(name="test", path=str(path))
        (unit,) = units(source)
        documents = list(read(source, unit))
    for document, record in zip(documents, content, strict=True):
        assert isinstance(document, Document)
        fields = {"id": document.id, "title": document.title, "text": document.text}
        assert {**fields, **document.metadata} == record


def test_the_wikipedia_leads_are_all_read(test_data, read_files):
    documents = read_files(test_data / "wikipedia" / "vital_en.jsonl.gz")
    assert len(documents) == 10_033
    assert all(isinstance(document, Document) and document.text for document in documents)
    assert documents[0].id == "enwiki/20th-century classical music"
    assert documents[0].title == "20th-century classical music"
    assert len({document.id for document in documents}) == 10_033
