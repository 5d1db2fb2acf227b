from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.document import Document, Reject
from pipelines.recipe import ShardConfig
from pipelines.sources import read, units
from pipelines.sources.files import FilesSource
from pipelines.stages import read as stage
from pipelines.stages.read import ReadTask, read_units


class Stopped(BaseException):
    """As a kill would end it."""


def contents(work: Path) -> dict[str, bytes]:
    return {str(file.relative_to(work)): file.read_bytes() for file in work.rglob("*") if file.is_file()}


@pytest.fixture
def task(tmp_path):
    """`task(work)`: two streams of lines, the first of which is cut off, and a small file, into shards of 7."""
    folder = tmp_path / "in"
    folder.mkdir()
    lines = b"".join(
        b"{broken\n"
        if number % 5 == 3
        else json.dumps({"id": number, "text": f"text {number}"}).encode() + b"\n"
        for number in range(60)
    )
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-9])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "c.txt").write_text(" ")
    config = FilesSource(name="test", path=str(folder))

    def make(work: Path) -> ReadTask:
        return ReadTask(str(work), "key", config, tuple(units(config)), ShardConfig(documents=7))

    return make


@pytest.mark.parametrize("published", [1, 2, 7, 14])
def test_reading_goes_on_behind_the_last_shard_to_the_same_bytes(tmp_path, monkeypatch, task, published):
    whole = read_units(task(tmp_path / "whole"))
    assert len(whole.shards) == 14
    assert whole.records == 2 * 60 + 2  # the cut, and the file of nothing
    assert [(one.unit, one.breaks_off) for one in whole.damaged] == [("a.jsonl.gz", True)]

    def stop(point: str) -> None:
        reached.append(point)
        if len(reached) == published:
            raise Stopped

    reached: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(stage, "crash_point", stop)
        with pytest.raises(Stopped):
            read_units(task(tmp_path / "stopped"))
    growing = tmp_path / "stopped" / "read" / "key.growing"
    assert sorted(file.name for file in growing.iterdir()) == [
        f"documents-{number:05d}.arrow" for number in range(published)
    ]
    before = {file.name: file.stat().st_ino for file in growing.iterdir()}
    read_from: list[Document | Reject] = []

    def watched(*args: object) -> object:
        for item in read(*args):
            read_from.append(item)
            yield item

    monkeypatch.setattr(stage, "read", watched)
    assert read_units(task(tmp_path / "stopped")) == whole
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    final = tmp_path / "stopped" / "read" / "key"
    assert before.items() <= {file.name: file.stat().st_ino for file in final.iterdir()}.items()
    # Of what was published nothing was read again.
    kept = sum(shard.documents for shard in whole.shards[:published])
    assert (
        sum(isinstance(item, Document) for item in read_from) == sum(s.documents for s in whole.shards) - kept
    )


def test_what_another_worker_finished_meanwhile_is_taken(tmp_path, monkeypatch, task):
    whole = read_units(task(tmp_path / "whole"))
    write = stage.write_texts

    def finish_first(*args: object) -> None:
        monkeypatch.setattr(stage, "write_texts", write)
        read_units(task(tmp_path / "both"))
        write(*args)

    monkeypatch.setattr(stage, "write_texts", finish_first)
    assert read_units(task(tmp_path / "both")) == whole
    assert contents(tmp_path / "both") == contents(tmp_path / "whole")
