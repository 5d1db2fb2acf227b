from __future__ import annotations

import bz2
import gzip
import http.server
import importlib.util
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from datastore.errors import MissingPackageError, NotFoundError
from pipelines.document import Document
from pipelines.sources import inventory, read, units
from pipelines.sources.compression import open_binary, open_decompressed
from pipelines.sources.files import FilesSource
from pipelines.sources.listing import list_files, url_below
from pipelines.sources.places import file_name, local_path, rooted

LINES = b'{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'


@pytest.fixture
def memory() -> Iterator[Any]:
    file_system = fsspec.filesystem("memory")
    file_system.store.clear()
    yield file_system
    file_system.store.clear()


def read_all(path: str, **config: object) -> list[Any]:
    source = FilesSource.model_validate({"name": "test", "path": path, **config})
    return [item for unit in units(source) for item in read(source, unit)]


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("a/b.txt", Path("a/b.txt")),
        ("/a:b/c", Path("/a:b/c")),
        ("file:///a/b.txt", Path("/a/b.txt")),
        ("s3://bucket/a.txt", None),
        ("simplecache::s3://bucket/a.txt", None),
    ],
)
def test_a_place_is_local_unless_it_names_another_protocol(place, path):
    assert local_path(place) == path


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a/b", "/root/a/b"),
        ("/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("~/a", str(Path("~/a").expanduser())),
        ("s3://bucket/a", "s3://bucket/a"),
    ],
)
def test_only_a_relative_path_is_put_below_the_root(place, expected):
    assert rooted(place, Path("/root")) == expected


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/a/b.txt", "b.txt"),
        ("s3://bucket/a/b.jsonl.gz", "b.jsonl.gz"),
        ("https://host/a/b.jsonl.gz?download=1#top", "b.jsonl.gz"),
        ("zip://in/a.txt::s3://bucket/b.zip", "a.txt"),
        ("simplecache::s3://bucket/a?b.txt", "a?b.txt"),
    ],
)
def test_the_file_name_of_a_place_is_what_its_suffix_is_taken_from(place, name):
    assert file_name(place) == name


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_bytes_of_a_url_are_decompressed_as_those_of_a_file(memory, compress):
    suffix = {bytes: "", gzip.compress: ".gz", bz2.compress: ".bz2"}[compress]
    memory.pipe(f"/a.jsonl{suffix}", compress(LINES))
    with open_decompressed(f"memory://a.jsonl{suffix}") as stream:
        assert stream.read() == LINES


def test_files_of_memory_opened_twice_have_positions_of_their_own(memory):
    memory.pipe("/a.txt", b"0123456789" * 100_000)
    with open_binary("memory://a.txt") as first, open_binary("memory://a.txt") as second:
        assert first.read(3) == b"012"
        assert second.seek(500_005) == 500_005
        assert first.read(400_000)[-1:] == b"2"
        assert second.read(1) == b"5"
        assert second.seek(-1, 2) == 999_999
        assert second.read() == b"9"


def test_a_folder_behind_a_url_is_listed_with_names_relative_to_it(memory):
    for name in ("b.txt", "sub/a.jsonl", "sub/.hidden.txt", ".git/c.txt", "picture.png"):
        memory.pipe(f"/bucket/{name}", LINES)
    source = FilesSource(name="test", path="memory://bucket")
    assert [(unit.name, unit.place, unit.bytes) for unit in units(source)] == [
        ("b.txt", "memory:///bucket/b.txt", len(LINES)),
        ("sub/a.jsonl", "memory:///bucket/sub/a.jsonl", len(LINES)),
    ]
    assert inventory(source).skipped == {".png": (1, len(LINES))}


def test_a_url_of_one_file_and_a_pattern(memory):
    for name in ("a.jsonl", "x/b.jsonl", "x/y/c.jsonl", "x/d.txt"):
        memory.pipe(f"/bucket/{name}", LINES)
    names = {
        "memory://bucket/a.jsonl": ["a.jsonl"],
        "memory://bucket/x/*.jsonl": ["b.jsonl"],
        "memory://bucket/**/*.jsonl": ["a.jsonl", "x/b.jsonl", "x/y/c.jsonl"],
        "memory://bucket/*/*": ["x/b.jsonl", "x/d.txt"],
    }
    for path, expected in names.items():
        assert sorted(file.name for file in list_files(path).files) == expected


def test_a_local_pattern_chooses_as_one_behind_a_url_does(tmp_path):
    for name in ("a.jsonl", "x/b.jsonl", "x/y/c.jsonl", "x/d.txt", "x/.e.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINES)
    names = {
        "x/*.jsonl": ["b.jsonl"],
        "**/*.jsonl": ["a.jsonl", "x/b.jsonl", "x/y/c.jsonl"],
        "*/*": ["x/b.jsonl", "x/d.txt"],
        "x/y/*": ["c.jsonl"],
    }
    for pattern, expected in names.items():
        assert sorted(file.name for file in list_files(f"{tmp_path}/{pattern}").files) == expected
    assert read_all(f"{tmp_path}/x/*.txt", format="jsonl")[0] == Document("a", "", "one", {}, "d.txt:1")


def test_a_pattern_that_finds_nothing_is_an_error(tmp_path, memory):
    memory.pipe("/bucket/a.txt", b"t")
    for path in (f"{tmp_path}/*.txt", "memory://bucket/*.jsonl"):
        with pytest.raises(NotFoundError, match=r"no file that can be read in .*found: no file at all"):
            units(FilesSource(name="test", path=path))


def test_a_file_url_is_a_local_path(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (by_url,) = units(FilesSource(name="test", path=f"file://{tmp_path}"))
    (by_path,) = units(FilesSource(name="test", path=str(tmp_path)))
    assert by_url == by_path


@pytest.mark.parametrize(
    ("url", "path", "below", "expected"),
    [
        ("s3://bucket/a/", "bucket/a", "bucket/a/b.txt", "s3://bucket/a/b.txt"),
        ("memory://bucket", "/bucket", "/bucket/b.txt", "memory:///bucket/b.txt"),
        ("ftp://me@host:21/a", "/a", "/a/b.txt", "ftp://me@host:21/a/b.txt"),
        ("ftp://host", "/", "/b.txt", "ftp://host/b.txt"),
        ("webhdfs://host:50070/a/*.txt", "/a/*.txt", "/a/b.txt", "webhdfs://host:50070/a/b.txt"),
        ("github://org:repo@main/a", "a", "a/b.txt", "github://org:repo@main/a/b.txt"),
        ("https://host/a/", "https://host/a/", "https://host/a/b.txt", "https://host/a/b.txt"),
        ("zip://::s3://bucket/a.zip", "", "in/b.txt", "zip://in/b.txt::s3://bucket/a.zip"),
        ("simplecache::gs://bucket/a", "bucket/a", "bucket/a/b.txt", "simplecache::gs://bucket/a/b.txt"),
    ],
)
def test_a_listed_file_keeps_the_host_and_the_chain_of_its_url(url, path, below, expected):
    assert url_below(url, path, below) == expected


def test_identity_changes_when_a_remote_file_is_written_anew(memory):
    memory.pipe("/bucket/a.txt", b"one")
    source = FilesSource(name="test", path="memory://bucket")
    (before,) = units(source)
    assert units(source) == [before]
    memory.pipe("/bucket/a.txt", b"two")
    (after,) = units(source)
    assert before.identity != after.identity


def test_a_checksum_of_the_file_system_is_the_identity(monkeypatch, memory):
    memory.pipe("/bucket/a.txt", b"one")
    plain = memory.find

    def find(path: str, **options: Any) -> dict[str, Any]:
        return {name: {**info, "ETag": '"5d41"'} for name, info in plain(path, **options).items()}

    monkeypatch.setattr(MemoryFileSystem, "find", lambda _, path, **options: find(path, **options))
    assert [file.identity for file in list_files("memory://bucket").files] == ['3:"5d41"']


def test_every_format_of_records_is_read_from_a_url(memory):
    memory.pipe("/bucket/a.jsonl.gz", gzip.compress(LINES))
    with memory.open("/bucket/b.parquet", "wb") as file:
        pq.write_table(pa.table({"id": ["c"], "text": ["three"]}), file)
    memory.pipe("/bucket/c.md", b"# Title\n\nfour")
    memory.pipe(
        "/bucket/d.html", b"<html><body><p>" + b"five words of main text. " * 20 + b"</p></body></html>"
    )
    documents = read_all("memory://bucket")
    assert [(document.id, document.location) for document in documents] == [
        ("a", "a.jsonl.gz:1"),
        ("b", "a.jsonl.gz:2"),
        ("c", "b.parquet:1"),
        ("c.md", "c.md"),
        ("d.html", "d.html"),
    ]


def test_a_member_of_an_archive_is_a_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/a.jsonl", LINES)
        archive.writestr("in/b.txt", "text")
    (first, second) = units(FilesSource(name="test", path=f"zip://in::{tmp_path}/all.zip"))
    assert (first.name, first.place) == ("a.jsonl", f"zip://in/a.jsonl::{tmp_path}/all.zip")
    assert second.name == "b.txt"
    assert [document.id for document in read_all(f"zip://in::{tmp_path}/all.zip")] == ["a", "b", "b.txt"]


def test_an_unknown_protocol_and_a_missing_package_say_so():
    with pytest.raises(
        NotFoundError, match=r'source test: htps://host/a: no file system .*\n  did you mean "https"'
    ):
        units(FilesSource(name="test", path="htps://host/a"))
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(MissingPackageError, match=r"s3://bucket.* is not installed\n  Install s3fs"):
            units(FilesSource(name="test", path="s3://bucket/a"))


def test_what_is_not_there_or_cannot_be_listed_is_an_error(monkeypatch, memory):
    with pytest.raises(NotFoundError, match="source test: memory://nowhere does not exist"):
        units(FilesSource(name="test", path="memory://nowhere"))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(MemoryFileSystem, "info", fail)
    with pytest.raises(NotFoundError, match="cannot list memory://bucket: RuntimeError: no credentials"):
        units(FilesSource(name="test", path="memory://bucket"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.txt"])
def test_a_remote_file_that_vanished_is_set_aside(memory, name):
    memory.pipe(f"/bucket/{name}", LINES)
    source = FilesSource(name="test", path="memory://bucket")
    (unit,) = units(source)
    memory.rm(f"/bucket/{name}")
    (reject,) = read(source, unit)
    assert (reject.reason, reject.location) == ("unreadable", name)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.txt"])
def test_a_lost_connection_ends_the_reading_of_a_unit_with_an_error(monkeypatch, memory, name):
    memory.pipe(f"/bucket/{name}", LINES if name != "a.jsonl.gz" else gzip.compress(LINES))
    source = FilesSource(name="test", path="memory://bucket")
    (unit,) = units(source)

    class Lost:
        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return 0

        def read(self, _: int) -> bytes:
            raise RuntimeError("connection lost")

        def close(self) -> None:
            pass

    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_, **__: Lost())
    with pytest.raises(NotFoundError, match="cannot be read to its end: RuntimeError: connection lost"):
        list(read(source, unit))


def test_files_of_a_web_server(tmp_path):
    pytest.importorskip("aiohttp", reason="fsspec reads https:// with aiohttp")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / "b.txt").write_text("text")
    handler = partial(_QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert [document.id for document in read_all(f"{url}/a.jsonl.gz")] == ["a", "b"]
        assert [document.id for document in read_all(f"{url}/")] == ["a", "b", "b.txt"]
        with pytest.raises(NotFoundError, match="does not exist"):
            read_all(f"{url}/nowhere.jsonl")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
