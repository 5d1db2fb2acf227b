from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.document import Document, Reject
from pipelines.sources.parquet import ROWS_PER_BATCH


def test_rows_become_documents_with_metadata_that_json_can_hold(tmp_path, read_files):
    table = pa.table(
        {
            "id": [1, 2],
            "title": ["T", None],
            "text": [["one", "two"], ["three"]],
            "day": [dt.date(2024, 1, 2), None],
            "at": pa.array(
                [dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None], pa.timestamp("us", tz="UTC")
            ),
            "price": [Decimal("1.50"), None],
            "raw": [b"bytes", b"more"],
            "score": [float("nan"), 0.5],
            "nested": [{"a": [1, 2], "b": None}, None],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    nested = {"a": [1, 2], "b": None}
    metadata = {"day": "2024-01-02", "at": "2024-01-02T03:04:05+00:00", "price": "1.50", "nested": nested}
    assert read_files(tmp_path) == [
        Document("1", "T", "one\ntwo", metadata, "a.parquet:1"),
        Document("2", "", "three", {"score": 0.5}, "a.parquet:2"),
    ]


def test_rows_are_numbered_through_batches_and_row_groups(tmp_path, read_files):
    rows = 2 * ROWS_PER_BATCH + 3
    table = pa.table({"text": [f"t{number}" for number in range(1, rows + 1)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    documents = read_files(tmp_path)
    assert [document.id for document in documents] == [f"a.parquet:{number}" for number in range(1, rows + 1)]
    assert documents[-1].text == f"t{rows}"


def test_a_value_that_cannot_be_read_takes_only_its_row_along(tmp_path, read_files):
    bad_text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")]
    )
    far_away = pa.array([0, 0, 1 << 62], pa.timestamp("us"))
    pq.write_table(
        pa.table({"id": ["1", "2", "3"], "text": bad_text, "at": far_away}), tmp_path / "a.parquet"
    )
    document, no_utf8, no_date = read_files(tmp_path)
    assert document == Document("1", "", "a", {"at": "1970-01-01T00:00:00"}, "a.parquet:1")
    assert (no_utf8.reason, no_utf8.location) == ("invalid_utf8", "a.parquet:2")
    assert (no_date.reason, no_date.location) == ("invalid_value", "a.parquet:3")


def test_columns_of_bytes_are_text_where_text_is_looked_for(tmp_path, read_files):
    columns = {
        "id": [b"1", b"\xff", b"3"],
        "title": [b"T", b"\xff", None],
        "text": ["na\u00efve".encode(), b"two", b"caf\xe9"],
        "raw": [b"a", b"b", b"c"],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    detail = "the field text: 'utf-8' codec can't decode byte 0xe9 in position 3: unexpected end of data"
    assert read_files(tmp_path) == [
        Document("1", "T", "na\u00efve", {}, "a.parquet:1"),
        Document("a.parquet:2", "", "two", {}, "a.parquet:2"),
        Reject("invalid_utf8", "a.parquet:3", "3", detail, ""),
    ]


def test_a_text_column_of_another_name_is_named_in_the_rejects(tmp_path, read_files):
    pq.write_table(pa.table({"id": [1], "body": ["t"]}), tmp_path / "a.parquet")
    detail = "no field text or contents or content; the record has id, body"
    assert read_files(tmp_path) == [Reject("no_field", "a.parquet:1", "1", detail, "")]
    assert read_files(tmp_path, fields={"text": "body"}) == [Document("1", "", "t", {}, "a.parquet:1")]


def test_a_text_beyond_the_limit_is_set_aside(tmp_path, read_files):
    pq.write_table(
        pa.table({"id": ["a", "b"], "text": ["\N{EURO SIGN}" * 4, "x" * 11]}), tmp_path / "a.parquet"
    )
    too_large, document = read_files(tmp_path, max_document_bytes=11)
    assert too_large == Reject(
        "too_large", "a.parquet:1", "a", "12 bytes of text, the limit is 11", "\N{EURO SIGN}" * 4
    )
    assert document.id == "b"


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_broken_file_is_one_reject_behind_what_could_be_read(tmp_path, read_files, damage):
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {number}" for number in range(1000)]})
    pq.write_table(table, path, row_group_size=500, compression="zstd", use_dictionary=False)
    data = path.read_bytes()
    second = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    path.write_bytes(
        data[:-10] if damage == "truncated" else data[:second] + b"\xff" * 500 + data[second + 500 :]
    )
    *documents, reject = read_files(path)
    assert [document.text for document in documents] == [f"text {number}" for number in range(len(documents))]
    assert len(documents) <= 500
    assert (reject.reason, reject.location) == ("broken_archive", "a.parquet")
    assert reject.detail
