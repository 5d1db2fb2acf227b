from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from datastore.errors import NotFoundError
from pipelines.document import Document, Reject
from pipelines.sources import read, units
from pipelines.sources.files import FilesSource


def source(path: Path, **config: object) -> FilesSource:
    return FilesSource.model_validate({"name": "test", "path": str(path), **config})


def test_units_are_the_readable_files_of_a_folder_sorted_by_name(tmp_path):
    names = [
        "b.jsonl",
        "a/z.NDJSON.gz",
        "a.jsonl.zst",
        "a/b/c.parquet",
        "d.TXT",
        "e.markdown",
        "f.xhtml",
        "g.jsonl.bz2",
    ]
    ignored = ["h.docx", "i", "j.gz", "k.json", ".hidden.txt", ".git/l.txt", "a/.m/n.txt"]
    for name in names + ignored:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = units(source(tmp_path))
    assert [unit.name for unit in found] == sorted(names)
    assert [unit.place for unit in found] == [str(tmp_path.resolve() / name) for name in sorted(names)]


def test_identity_is_size_and_modification_time(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("four")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert [unit.identity for unit in units(source(tmp_path))] == ["4:1700000000123456789"]


def test_symbolic_links_are_followed_once_and_keep_their_names(tmp_path, read_files):
    folder = tmp_path / "folder"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "blob").write_text("linked")
    (outside / "other.txt").write_text("other")
    (outside / "back").symlink_to(outside)
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "real.txt").write_text("real")
    (folder / "inner.txt").symlink_to(folder / "sub" / "real.txt")
    (folder / "outer.txt").symlink_to(outside / "blob")
    (folder / "outer").symlink_to(outside)
    (folder / "again").symlink_to(folder / "sub")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.txt").symlink_to(folder / "nothing.txt")
    (folder / "self.txt").symlink_to("self.txt")
    items = read_files(folder)
    assert {item.id: item.text for item in items if isinstance(item, Document)} == {
        "inner.txt": "real",
        "outer.txt": "linked",
        "outer/other.txt": "other",
        "sub/real.txt": "real",
    }
    assert [(item.location, item.reason) for item in items if isinstance(item, Reject)] == [
        ("dangling.txt", "unreadable"),
        ("self.txt", "unreadable"),
    ]


def test_a_link_to_a_file_without_a_suffix_is_read_by_its_own_name(tmp_path, read_files):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_text('{"id": "a", "text": "t"}\n')
    snapshot = tmp_path / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "data.jsonl").symlink_to("../../blobs/abc")
    for path in (snapshot, snapshot / "data.jsonl", tmp_path / "snapshots" / "*" / "*.jsonl"):
        assert [item.id for item in read_files(path)] == ["a"]


def test_a_single_file_is_named_by_its_file_name(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x")
    assert [unit.name for unit in units(source(path))] == ["a.txt"]


def test_a_format_given_for_one_file_needs_no_suffix(tmp_path, read_files):
    path = tmp_path / "dump.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "text": "t"}\n'))
    assert read_files(path, format="jsonl") == [Document("a", "", "t", {}, "dump.gz:1")]


def test_a_format_given_for_a_folder_chooses_its_files(tmp_path, read_files):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.md").write_text("markdown")
    assert [document.id for document in read_files(tmp_path, format="markdown")] == ["b.md"]


def test_a_file_name_that_is_no_utf8_still_gives_an_id_that_can_be_stored(tmp_path, read_files):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(path, "wb") as file:  # noqa: PTH123 (Path takes no bytes)
        file.write(b"t")
    (document,) = read_files(tmp_path)
    assert document.id == "caf\\xe9.txt"


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(
        NotFoundError, match=r"source test: .*nowhere does not exist\n  check the source's path"
    ):
        units(source(tmp_path / "nowhere"))


def test_a_folder_without_a_readable_file_names_known_and_found_suffixes(tmp_path):
    (tmp_path / "a.odt").write_text("x")
    (tmp_path / "b.docx").write_text("x")
    (tmp_path / "LICENSE").write_text("x")
    with pytest.raises(NotFoundError) as caught:
        units(source(tmp_path))
    assert f"no file that can be read in {tmp_path}; suffixes known: .jsonl, .ndjson," in caught.value.message
    assert ".json.gz" in caught.value.message
    assert caught.value.message.endswith("found: .docx, .odt, none")


def test_an_empty_folder_and_a_file_of_unknown_suffix_are_errors(tmp_path):
    with pytest.raises(NotFoundError, match="found: no file at all"):
        units(source(tmp_path))
    (tmp_path / "a.odt").write_text("x")
    with pytest.raises(NotFoundError, match=r"found: \.odt\n.*name its format"):
        units(source(tmp_path / "a.odt"))


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.html"])
def test_a_file_that_vanished_is_set_aside(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"x")
    config = source(tmp_path)
    (unit,) = units(config)
    path.unlink()
    (reject,) = read(config, unit)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.location) == ("unreadable", name)
    assert "No such file" in reject.detail


def test_the_textbooks_are_read_in_order(test_data, read_files):
    documents = read_files(test_data / "textbooks")
    records = [item for item in documents if not item.location.endswith(".md")]
    assert len(records) == 591
    books = [document.location.partition(".")[0] for document in records]
    assert books == sorted(books)
    assert sorted(set(books)) == [
        "precalculus-2e",
        "principles-economics-3e",
        "psychology-2e",
        "university-physics-volume-1",
        "university-physics-volume-3",
    ]
    assert all(isinstance(document, Document) for document in documents)
