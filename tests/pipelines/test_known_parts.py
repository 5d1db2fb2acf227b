from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines import make_recipe
from pipelines.corpus import PARTS, find_inputs
from pipelines.recipe import Recipe
from pipelines.sources import jsonl


def write(path: Path, lines: int) -> None:
    path.write_text("".join(json.dumps({"id": str(n), "text": "t"}) + "\n" for n in range(lines)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    write(folder / "a.jsonl", 100)
    write(folder / "b.jsonl", 100)
    write(folder / "small.jsonl", 1)
    return folder


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened to be cut, as they come."""
    opened: list[str] = []
    open_binary = jsonl.open_binary

    def opening(place: str) -> Any:
        opened.append(Path(place).name)
        return open_binary(place)

    monkeypatch.setattr(jsonl, "open_binary", opening)
    return opened


def recipe(folder: Path, split_bytes: int = 500) -> Recipe:
    source = {"name": "s", "kind": "files", "path": str(folder), "split_bytes": split_bytes}
    return make_recipe({"name": "test", "sources": [source], "encoder": {"model": "hashing"}})


def test_an_unchanged_file_is_not_opened_again(tmp_path, folder, cut):
    work = tmp_path / "store" / "work"
    first = find_inputs(work, recipe(folder)).tasks
    assert cut == ["a.jsonl", "b.jsonl"]
    assert sum(len(task.units) for task in first) > 8
    assert find_inputs(work, recipe(folder)).tasks == first
    assert cut == ["a.jsonl", "b.jsonl"]
    elsewhere = find_inputs(tmp_path / "other", recipe(folder)).tasks
    assert [(task.key, task.units) for task in elsewhere] == [(task.key, task.units) for task in first]


def test_a_changed_file_and_another_bound_are_cut_anew(tmp_path, folder, cut):
    first = find_inputs(tmp_path, recipe(folder)).tasks
    cut.clear()
    write(folder / "a.jsonl", 200)
    second = find_inputs(tmp_path, recipe(folder)).tasks
    assert cut == ["a.jsonl"]
    ends = {unit.name: unit.part.end for task in second for unit in task.units if unit.part}
    assert ends == {name: (folder / name).stat().st_size for name in ("a.jsonl", "b.jsonl")}
    cut.clear()
    assert len(find_inputs(tmp_path, recipe(folder, 1000)).tasks[0].units) < len(first[0].units)
    assert cut == ["a.jsonl", "b.jsonl"]


def test_parts_of_a_file_that_is_gone_are_forgotten(tmp_path, folder, cut):
    find_inputs(tmp_path, recipe(folder))
    (folder / "a.jsonl").unlink()
    find_inputs(tmp_path, recipe(folder))
    assert len(json.loads((tmp_path / PARTS).read_bytes())) == 1


def test_what_cannot_be_read_of_them_or_is_not_to_be_trusted_is_found_out_again(tmp_path, folder, cut):
    first = find_inputs(tmp_path, recipe(folder)).tasks
    (tmp_path / PARTS).write_bytes(b"[{")
    assert find_inputs(tmp_path, recipe(folder)).tasks == first
    status = (folder / "a.jsonl").stat()
    text = (folder / "a.jsonl").read_text()
    (folder / "a.jsonl").write_text(text.replace("\n", " ").replace("} {", "}\n{", 1))
    os.utime(folder / "a.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find_inputs(tmp_path, recipe(folder)).tasks == first
    assert find_inputs(tmp_path, recipe(folder), reread=True).tasks != first


def test_small_files_leave_no_trace(tmp_path, folder):
    find_inputs(tmp_path / "work", recipe(folder, 1 << 20))
    assert not (tmp_path / "work").exists()
