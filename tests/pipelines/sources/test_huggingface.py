from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datastore.errors import NotFoundError
from pipelines.document import Document, Reject
from pipelines.known_parts import KnownParts
from pipelines.sources import Unit, huggingface, inventory, parts, read, units
from pipelines.sources.bookmark import Bookmark
from pipelines.sources.huggingface import HuggingFaceSource
from pipelines.sources.parquet import ROWS_PER_BATCH
from pipelines.sources.unit import Part

RECORDS = [
    {"id": number, "title": f"T{number}", "text": f"text {number}", "n": {"a": [number]}}
    for number in range(600)
]


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def json_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def source(**config: object) -> HuggingFaceSource:
    return HuggingFaceSource.model_validate({"name": "test", **config})


@pytest.mark.parametrize("streaming", [True, False])
def test_records_of_a_local_file_become_documents_quietly(json_file, streaming, capfd):
    config = source(dataset="json", data_files=str(json_file), streaming=streaming)
    (unit,) = units(config)
    assert (unit.name, unit.place) == ("train", "json")
    documents = list(read(config, unit))
    assert documents[0] == Document("0", "T0", "text 0", {"n": {"a": [0]}}, "train:1")
    assert [document.id for document in documents] == [str(number) for number in range(600)]
    assert [document.location for document in documents] == [f"train:{number}" for number in range(1, 601)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("streaming", [True, False])
def test_records_of_several_types_are_what_they_were(tmp_path, streaming):
    """datasets turns a column of several types into JSON, texts in quotes too."""
    path = tmp_path / "a.jsonl"
    records = [
        {"id": 1, "text": "A plain text, 1 µm.", "n": {"a": 1}},
        {"id": "two", "text": ["Line one", "line two"], "n": [{"a": 1}, 2]},
        {"id": 3, "text": {"body": "x"}, "n": None},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    config = source(dataset="json", data_files=str(path), streaming=streaming)
    (unit,) = units(config)

    items = [*read(config, unit)]
    assert [item for item in items if isinstance(item, Document)] == [
        Document("1", "", "A plain text, 1 µm.", {"n": {"a": 1}}, "train:1"),
        Document("two", "", "Line one\nline two", {"n": [{"a": 1}, 2]}, "train:2"),
    ]
    (reject,) = [item for item in items if isinstance(item, Reject)]
    assert (reject.reason, reject.document_id) == ("wrong_type", "3")


@pytest.mark.parametrize(
    ("content", "reason"),
    [("id,text\n9,good\n10,a,line,of,too,many\n", "broken_archive"), ("id,other\n9,good\n", "no_field")],
)
def test_a_file_that_differs_is_set_aside_behind_what_could_be_read(tmp_path, content, reason):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.csv").write_text("id,text\n1,one\n2,two\n")
    (folder / "b.csv").write_text(content)
    config = source(dataset=str(folder), streaming=True)

    items = [item for unit in units(config) for item in read(config, unit)]

    assert [item.text for item in items if isinstance(item, Document)][:2] == ["one", "two"]
    assert {item.reason for item in items if isinstance(item, Reject)} == {reason}


def test_a_folder_of_parquet_is_read_by_split_and_fields(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    pq.write_table(pa.table({"body": ["a"]}), folder / "train-0.parquet")
    pq.write_table(pa.table({"body": ["b", "c"]}), folder / "test-0.parquet")
    config = source(dataset=str(folder), split="test", fields={"text": "body"})
    (unit,) = units(config)
    assert list(read(config, unit)) == [
        Document("test:1", "", "b", {}, "test:1"),
        Document("test:2", "", "c", {}, "test:2"),
    ]


def test_identity_follows_the_config_and_the_local_files(json_file):
    config = source(dataset="json", data_files=(str(json_file.parent / "*.jsonl"),))
    (before,) = units(config)
    assert units(config) == [before]
    (of_revision,) = units(config.model_copy(update={"revision": "abc"}))
    os.utime(json_file, ns=(0, 0))
    (after,) = units(config)
    assert len({before.identity, of_revision.identity, after.identity}) == 3


def test_the_limit_ends_a_stream(json_file):
    config = source(dataset="json", data_files=str(json_file), limit=3)
    assert len(list(read(config, units(config)[0]))) == 3


@pytest.mark.parametrize(
    "wrong", [{"data_files": "no-such-file.jsonl"}, {"split": "dev"}, {"dataset": "somebody/no-such-dataset"}]
)
def test_a_dataset_that_cannot_be_loaded_is_an_error(json_file, wrong):
    options = {"dataset": "json", **wrong}
    if options["dataset"] == "json":
        options = {"data_files": str(json_file), **options}
    config = source(**options)
    with pytest.raises(
        NotFoundError, match=r"source test: cannot load the dataset .*\n  check dataset, config, split"
    ):
        list(read(config, Unit("train", config.dataset, "")))


def test_a_broken_file_is_one_reject_behind_what_could_be_read(tmp_path):
    lines = b"".join(b'{"text": "%d"}\n' % number for number in range(4 * ROWS_PER_BATCH))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines)[:-20])
    config = source(dataset="json", data_files=str(tmp_path / "*.gz"))
    whole, cut = (list(read(config, unit)) for unit in units(config))
    assert [document.text for document in whole] == [str(number) for number in range(4 * ROWS_PER_BATCH)]
    assert [(item.reason, item.location) for item in cut] == [("broken_archive", "train/b.jsonl.gz")]


@pytest.fixture
def shards(tmp_path):
    """A folder of three shards of 600 rows, and another split."""
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(3):
        table = pa.table({"id": [f"{number}-{row}" for row in range(600)], "text": ["t"] * 600})
        pq.write_table(table, folder / f"train-{number}.parquet")
    pq.write_table(pa.table({"id": ["x"], "text": ["t"]}), folder / "test-0.parquet")
    return folder


def test_the_files_of_a_local_split_are_read_apart_in_order(shards):
    config = source(dataset=str(shards))
    found = units(config)
    assert [unit.name for unit in found] == [f"train/train-{number}.parquet" for number in range(3)]
    assert [part for unit in found for part in parts(config, unit)] == found
    assert [[item.id for item in read(config, unit)] for unit in found] == [
        [f"{number}-{row}" for row in range(600)] for number in range(3)
    ]
    whole = read(config, Unit("train", config.dataset, ""))
    assert [item.id for item in whole] == [item.id for unit in found for item in read(config, unit)]
    (shards / "train-1.parquet").write_bytes((shards / "train-0.parquet").read_bytes())
    changed = units(config)
    assert [one == other for one, other in zip(found, changed, strict=True)] == [True, False, True]


def test_the_shards_of_a_dataset_elsewhere_are_its_parts(shards, monkeypatch):
    config = source(dataset="parquet", data_files=str(shards / "train-*.parquet"))
    whole = Unit("train", "parquet", "")
    monkeypatch.setattr(huggingface, "_local_files", lambda _config: [])  # as of the hub, which is not here
    (only,) = inventory(config).units  # looks at no file
    assert (only.name, only.part) == (whole.name, None)
    found = parts(config, whole)
    assert [(unit.name, unit.part) for unit in found] == [
        ("train", Part(0, 3, 1)),
        ("train", Part(1, 3, 1)),
        ("train", Part(2, 3, 1)),
    ]
    assert list(read(config, found[1]))[599] == Document("1-599", "", "t", {}, "train/00001:600")
    assert [item.id for unit in found for item in read(config, unit)] == [
        item.id for item in read(config, whole)
    ]
    shutil.copy(shards / "train-0.parquet", shards / "train-3.parquet")
    with pytest.raises(NotFoundError, match=r"not those that were listed\n  build again with --reread"):
        list(read(config, found[1]))
    limited = config.model_copy(update={"limit": 3})
    assert parts(limited, whole) == [whole]


def test_the_hub_is_not_asked_again_which_shards_there_are(shards, tmp_path, monkeypatch):
    config = source(dataset="parquet", data_files=str(shards / "train-*.parquet"))
    one = source(dataset="parquet", data_files=str(shards / "train-1.parquet"))
    monkeypatch.setattr(huggingface, "_local_files", lambda _config: [])
    whole = Unit("train", "parquet", "")
    first = KnownParts(tmp_path / "parts.json")
    found = first.parts(config, whole)
    assert len(found) == 3
    assert first.parts(one, whole) == [whole]
    first.save()

    monkeypatch.setattr(huggingface, "_load", lambda *_: pytest.fail("the hub was asked"))
    second = KnownParts(tmp_path / "parts.json")
    assert second.parts(config, whole) == found
    assert second.parts(one, whole) == [whole]


@pytest.mark.parametrize("streaming", [True, False])
def test_reading_goes_on_at_a_row(json_file, streaming):
    config = source(dataset="json", data_files=str(json_file), streaming=streaming)
    (unit,) = units(config)
    items = list(read(config, unit))
    bookmark = Bookmark()
    places = [dataclasses.replace(bookmark) for _ in read(config, unit, bookmark=bookmark)]
    for number in (1, 256, 257, 300, 600):
        assert list(read(config, unit, bookmark=dataclasses.replace(places[number - 1]))) == items[number:]
    assert places[299] == Bookmark(Part(0, 1 << 62, 257), 44, 300)
