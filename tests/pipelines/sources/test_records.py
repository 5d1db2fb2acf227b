from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pipelines.document import Document, Reject
from pipelines.sources.records import Fields, json_value, read_record


def read(record: dict[str, Any], **fields: str) -> Document | Reject:
    return read_record(record, Fields(**fields), default_id="f.jsonl:3", location="f.jsonl:3")


def test_usual_fields_are_found_and_the_rest_is_metadata():
    record = {
        "_id": "a",
        "title": "T",
        "contents": "body",
        "year": 1999,
        "tags": ["x", {"y": None}],
        "gone": None,
    }
    expected = Document("a", "T", "body", {"year": 1999, "tags": ["x", {"y": None}]}, "f.jsonl:3")
    assert read(record) == expected


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"text": "a", "contents": "b", "content": "c"}, "a"),
        ({"contents": "b", "content": "c"}, "b"),
        ({"text": None, "content": "c"}, "c"),
        ({"text": ["a", "b"]}, "a\nb"),
    ],
)
def test_text_is_the_first_usual_field_that_is_not_null(record, text):
    document = read(record)
    assert isinstance(document, Document)
    assert document.text == text


def test_named_fields_win_over_the_usual_ones():
    record = {"id": "usual", "doc": "d1", "text": "usual text", "body": "named text", "head": "named title"}
    expected = Document("d1", "named title", "named text", {"id": "usual", "text": "usual text"}, "f.jsonl:3")
    assert read(record, id="doc", text="body", title="head") == expected


@pytest.mark.parametrize(("given", "expected"), [(7, "7"), (0, "0"), ("", "f.jsonl:3"), (None, "f.jsonl:3")])
def test_an_id_is_text_and_the_place_stands_in_for_a_missing_one(given, expected):
    document = read({"id": given, "text": "t"})
    assert isinstance(document, Document)
    assert document.id == expected


def test_an_id_of_a_type_that_names_nothing_stays_in_metadata():
    assert read({"id": ["a"], "text": "t"}) == Document("f.jsonl:3", "", "t", {"id": ["a"]}, "f.jsonl:3")


@pytest.mark.parametrize("text", ["", "  \n", None, []])
def test_an_empty_text_is_replaced_by_the_title(text):
    assert read({"id": "a", "title": "T", "text": text}) == Document("a", "T", "T", {}, "f.jsonl:3")


def test_empty_text_and_title_are_no_text():
    assert read({"id": "a", "title": " ", "text": ""}) == Reject(
        "no_text", "f.jsonl:3", "a", "text and title are empty", " "
    )


def test_a_missing_text_field_names_the_fields_that_are_there():
    reject = read({"id": "a", "title": "T", "body": "b"})
    detail = "no field text or contents or content; the record has id, title, body"
    assert reject == Reject("no_field", "f.jsonl:3", "a", detail, "T")
    assert read({"text": "t"}, text="body") == Reject(
        "no_field", "f.jsonl:3", "", "no field body; the record has text", ""
    )


@pytest.mark.parametrize(
    ("value", "name"), [(3, "int"), ({"a": 1}, "dict"), (["a", 1], "list"), (True, "bool")]
)
def test_a_text_of_another_type_is_said_so(value, name):
    reject = read({"id": "a", "title": "T", "text": value})
    assert reject.detail == f"the field text is a {name}, not a text or a list of texts"
    assert reject.reason == "wrong_type"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC), "2024-02-29T01:02:03+00:00"),
        (dt.time(1, 2, 3), "01:02:03"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"bytes", None),
        (math.nan, None),
        (-math.inf, None),
        ([("key", b"x"), {"a": (1, 2.5, True)}], [["key", None], {"a": [1, 2.5, True]}]),
    ],
)
def test_json_value(value, expected):
    assert json_value(value) == expected


@pytest.mark.parametrize(("depth", "accepted"), [(99, True), (100, False), (5_000, False)])
def test_metadata_may_be_nested_a_hundred_deep(depth, accepted):
    nested: object = 1
    for _ in range(depth):
        nested = [nested]

    got = read_record({"id": "a", "text": "b", "deep": nested}, Fields(), default_id="x", location="f:1")

    assert isinstance(got, Document) is accepted
    assert accepted or (isinstance(got, Reject) and got.reason == "too_deep")
