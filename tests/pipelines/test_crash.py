"""`kill -9` in the middle of a build, then the same command again: the same store as an undisturbed build."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
import zstandard

from datastore import Datastore, verify

POINTS = [
    "after_shard_read:2",
    "after_units_read",
    "after_shard_scored",
    "after_duplicates",
    "after_shard_chunked",
    "after_embedding",
    "before_segment_rename",
    "after_segment_fsync",
    "after_segment_fsync:4",
    "before_feature_rename:2",
    "after_feature_fsync:3",
    "before_index_rename",
    "before_manifest_rename",
    "after_manifest_rename",
    "before_rename_of_CURRENT",
    "after_current",
    "before_removal",
]


@pytest.fixture
def command(recipe, tmp_path: Path) -> list[str]:
    """The command line of a build large enough to have an index."""
    data = {**recipe.model_dump(mode="json"), "chunk": {"max_tokens": 16}, "deduplicate": "near"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data))
    return [sys.executable, "-m", "compendia", "build", str(tmp_path / "recipe.yaml"), "--out"]


def run(command: list[str], crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COMPENDIA_CRASH_AT": crash_at}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.fixture
def undisturbed(command, tmp_path, content_of) -> dict[str, bytes]:
    done = run([*command, str(tmp_path / "undisturbed")])
    assert done.returncode == 0, done.stderr
    return content_of(tmp_path / "undisturbed")


def left_running(mark: str, patience_s: float = 30.0) -> list[str]:
    """Processes with `mark` in their environment that do not end in the time given."""
    deadline = time.monotonic() + patience_s
    while True:
        found = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""


def segments(store: Path) -> dict[str, int]:
    return {folder.name: folder.stat().st_mtime_ns for folder in (store / "segments").glob("[!.]*")}


def test_killed_at_each_named_point_under_serial(command, tmp_path, content_of, undisturbed):
    assert any(name.startswith("indexes/") for name in undisturbed)
    for point in POINTS:
        store = tmp_path / point.replace(":", "-")

        killed = run([*command, str(store)], crash_at=point)

        assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
        finished = segments(store) if (store / "segments").exists() else {}
        if (store / "CURRENT").exists():
            Datastore.open(store).close()
        again = run([*command, str(store)])
        assert again.returncode == 0, (point, again.stderr)
        assert content_of(store) == undisturbed, point
        # What was complete is not embedded again.
        assert finished.items() <= segments(store).items(), point
        assert verify(store) == []


@pytest.mark.parametrize(
    ("executor", "point", "code"),
    [
        ("process", "after_segment_fsync:2", 1),  # a worker dies, the build says so
        ("process", "before_manifest_rename", -signal.SIGKILL),
        ("ray", "before_manifest_rename", -signal.SIGKILL),
    ],
)
def test_killed_under_other_executors(command, tmp_path, content_of, undisturbed, executor, point, code):
    store = tmp_path / "store"
    parallel = [*command, str(store), "--executor", executor, "--workers", "2"]

    killed = run(parallel, crash_at=point)

    assert killed.returncode == code, killed.stderr
    if code == 1:
        assert "run the same command again" in killed.stderr
    again = run(parallel)
    assert again.returncode == 0, again.stderr
    assert content_of(store) == undisturbed


@pytest.fixture
def streams(tmp_path: Path) -> list[str]:
    """The command line of a build from streams that are read in order alone, each of many shards."""
    folder = tmp_path / "streams"
    (folder / "set").mkdir(parents=True)
    records = [{"id": f"r{number}", "text": f"Record {number} has words."} for number in range(90)]
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "b.jsonl.zst").write_bytes(zstandard.compress(lines.replace(b"r", b"z")))
    pages = "".join(
        f"<page><title>T{number}</title><ns>0</ns><id>{number}</id>"
        f"<revision><text>Page {number} has words.</text></revision></page>"
        for number in range(90)
    )
    dump = f"<mediawiki>{pages}</mediawiki>".encode()
    (folder / "wiki-pages-articles.xml.bz2").write_bytes(bz2.compress(dump))
    posts = "".join(
        f'<row Id="{1000 + number}" PostTypeId="1" Title="Q" Body="Question {number} has words." />'
        for number in range(90)
    )
    (folder / "Posts.xml").write_text(f"<posts>{posts}</posts>")
    for number in range(2):
        (folder / "set" / f"train-{number}.jsonl").write_bytes(lines.replace(b"r", b"%d" % number))
    recipe = {
        "name": "streams",
        "sources": [
            {"name": "files", "kind": "files", "path": str(folder)},
            {"name": "set", "kind": "huggingface", "dataset": str(folder / "set")},
        ],
        "encoder": {"model": "hashing", "max_tokens": 64},
        "shard": {"documents": 20},
    }
    (tmp_path / "streams.yaml").write_text(yaml.safe_dump(recipe))
    return [sys.executable, "-m", "compendia", "build", str(tmp_path / "streams.yaml"), "--out"]


def test_a_killed_reading_goes_on_behind_its_last_shard(streams, tmp_path, content_of):
    whole = tmp_path / "whole"
    assert run([*streams, str(whole)]).returncode == 0
    shards = len(list(whole.glob("work/read/*/*.arrow")))
    store = tmp_path / "store"

    killed = run([*streams, str(store)], crash_at="after_shard_read:3")

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = {file.stat().st_ino for file in store.glob("work/read/*.growing/*.arrow")}
    assert len(kept) == 3
    # Of two workers the first that publishes its fourth shard dies, and the build says so.
    parallel = [*streams, str(store), "--executor", "process", "--workers", "2"]
    died = run(parallel, crash_at="after_shard_read:4")
    assert died.returncode == 1, died.stderr
    assert len(list(store.glob("work/read/*/*.arrow"))) >= 7
    again = run(parallel)
    assert again.returncode == 0, again.stderr
    assert content_of(store) == content_of(whole)
    assert kept < {file.stat().st_ino for file in store.glob("work/read/*/*.arrow")}
    assert len(list(store.glob("work/read/*/*.arrow"))) == shards


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_a_random_moment(command, tmp_path, content_of, undisturbed, seed):
    store = tmp_path / "store"
    parallel = [*command, str(store), "--executor", "process", "--workers", "2"]
    mark = f"MARK={store}"
    environment = {**os.environ, "MARK": str(store)}
    with subprocess.Popen(
        parallel, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    ) as process:
        deadline = time.monotonic() + 60
        while not (store / "work").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0.0, 2.5))
        process.kill()
    assert left_running(mark) == []

    again = run(parallel)

    assert again.returncode == 0, again.stderr
    assert content_of(store) == undisturbed


@pytest.mark.parametrize(("executor", "moment_s"), [("serial", 0.0), ("process", 0.0), ("process", 0.4)])
def test_interrupted_from_the_keyboard(command, tmp_path, content_of, undisturbed, executor, moment_s):
    store = tmp_path / "store"
    build = [*command, str(store), "--executor", executor, "--workers", "2"]
    with subprocess.Popen(
        build, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (store / "work").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(moment_s)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to workers too
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "interrupted; a build goes on from here with the same command" in errors
    assert "Traceback" not in errors
    assert run(build).returncode == 0
    assert content_of(store) == undisturbed
