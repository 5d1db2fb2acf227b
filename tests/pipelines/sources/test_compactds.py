from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.document import Document, Reject
from pipelines.sources import units
from pipelines.sources.compactds import ShardName, is_release_name, shard_name
from pipelines.sources.files import FilesSource


def write_shard(path: Path, texts: list[str], source: str) -> None:
    """A file as the release has it: ids count from 0 within each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps({"id": number, "text": text, "source": source, "shard_id": 0}) + "\n"
        for number, text in enumerate(texts)
    )
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("massiveds-rpj_arxiv--raw_passages_0-3-of-8.jsonl", ShardName("massiveds-rpj_arxiv", 0, 3, "")),
        ("massiveds-rpj_arxiv--passages0_03.npy", ShardName("massiveds-rpj_arxiv", 0, 3, "")),
        ("massiveds-rpj_arxiv--deduped--passages12_10.pkl", ShardName("massiveds-rpj_arxiv", 12, 10, "")),
        ("raw_passages_1-03-of-12.jsonl.gz", ShardName("", 1, 3, "")),
        ("corpus.jsonl", ShardName("", 0, 0, "corpus")),
        ("passages.npy", ShardName("", 0, 0, "passages")),
    ],
)
def test_a_name_of_the_release_says_domain_rank_and_shard(name, expected):
    assert shard_name(name) == expected
    assert is_release_name(name) == ("raw_passages_" in name)


def test_passages_are_documents_with_ids_of_their_file(tmp_path, read_files):
    folder = tmp_path / "passages"
    write_shard(folder / "pes2o--raw_passages_0-0-of-2.jsonl", ["one", "two"], "pes2o")
    write_shard(folder / "pes2o--raw_passages_0-1-of-2.jsonl.gz", ["three"], "pes2o")
    write_shard(folder / "math--raw_passages_0-0-of-1.jsonl", ["four"], "math")
    documents = read_files(tmp_path)
    assert [(document.id, document.text) for document in documents] == [
        ("math--0-0-of-1/0", "four"),
        ("pes2o--0-0-of-2/0", "one"),
        ("pes2o--0-0-of-2/1", "two"),
        ("pes2o--0-1-of-2/0", "three"),
    ]
    assert documents[1].metadata == {"source": "pes2o", "shard_id": 0}
    assert documents[1].location == "passages/pes2o--raw_passages_0-0-of-2.jsonl:1"


def test_passages_of_folders_of_their_own_are_told_apart(tmp_path, read_files):
    for source in ("books", "wiki"):
        write_shard(tmp_path / source / "raw_passages_0-0-of-1.jsonl", ["text"], source)
    assert [document.id for document in read_files(tmp_path)] == ["books/0-0-of-1/0", "wiki/0-0-of-1/0"]


def test_other_names_are_read_as_the_release_when_the_format_says_so(tmp_path, read_files):
    write_shard(tmp_path / "a.jsonl", ["one"], "s")
    write_shard(tmp_path / "b.jsonl", ["two"], "s")
    assert [document.id for document in read_files(tmp_path, format="compactds")] == ["a/0", "b/0"]
    assert [document.id for document in read_files(tmp_path)] == ["0", "0"]


def test_a_bad_line_is_set_aside_and_parts_give_what_the_whole_gives(tmp_path, read_files):
    path = tmp_path / "raw_passages_0-0-of-1.jsonl"
    path.write_text('{"id": 0, "text": "a"}\n{broken\n{"text": "b"}\n{"id": 3, "text": "c"}\n')
    first, broken, nameless, last = read_files(path)
    assert (first, last) == (
        Document("0-0-of-1/0", "", "a", {}, f"{path.name}:1"),
        Document("0-0-of-1/3", "", "c", {}, f"{path.name}:4"),
    )
    assert (broken.reason, broken.location) == ("invalid_json", f"{path.name}:2")
    assert nameless == Reject("no_id", f"{path.name}:3", "", "the record has no id", "b")
    assert len(units(FilesSource(name="test", path=str(path), split_bytes=30))) == 2
    assert read_files(path, split_bytes=30) == [first, broken, nameless, last]
