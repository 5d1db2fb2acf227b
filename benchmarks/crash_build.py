"""Kill a build hundreds of times, under each executor: the next run goes on, and ends with the undisturbed store.

A corpus of several sources is built with filters, near-duplicates and an index, in a process that is killed with SIGKILL
at a named point or at a random moment, again and again until it comes through. Then every byte of the store but times and
hosts must equal that of a build that nobody disturbed, and no segment that was published may have been written twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from common import RESULTS, machine, save

POINTS = (
    *("after_units_read", "after_units_read:3", "after_shard_scored", "after_shard_scored:5"),
    *("after_duplicates", "after_shard_chunked", "after_shard_chunked:4", "after_embedding"),
    *("before_segment_rename", "after_segment_fsync", "after_segment_fsync:6", "after_index_built"),
    *("before_index_rename", "before_manifest_rename", "after_manifest_rename"),
    *("before_rename_of_CURRENT", "after_current", "before_removal"),
)
KILLS_BEFORE_A_REST = 5  # of one build: then it may come through
WORDS = [f"{syllable}{ending}" for syllable in ("ta", "ri", "mo", "vel", "sun") for ending in "abcdefghij"]


def write_corpus(folder: Path, seed: int) -> None:
    """Two sources of 400 documents, some of them copies, some nearly."""
    draw = random.Random(seed)
    for name in ("articles", "notes"):
        (folder / name).mkdir(parents=True)
        for part in range(8):
            lines = []
            for number in range(50):
                words = draw.choices(WORDS, k=draw.randrange(5, 150))
                if lines and draw.random() < 0.2:
                    words = json.loads(lines[-1])["text"].split()
                    words[draw.randrange(len(words))] = "changed"
                lines.append(json.dumps({"id": f"{part}-{number}", "text": " ".join(words)}))
            (folder / name / f"part-{part}.jsonl").write_text("\n".join(lines))


def write_recipe(folder: Path, corpus: Path) -> Path:
    recipe = {
        "name": "crash",
        "root": str(corpus),
        "sources": [{"name": name, "kind": "files", "path": name} for name in ("articles", "notes")],
        "filters": {"length": {"min_words": 8}},
        "deduplicate": "near",
        "chunk": {"max_tokens": 16},
        "encoder": {"model": "hashing"},
        "shard": {"documents": 40},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def content_of(store: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.relative_to(store).parts[0] not in {"builds", "LOCK"}
    }


def segments(store: Path) -> dict[str, int]:
    return {folder.name: folder.stat().st_mtime_ns for folder in (store / "segments").glob("[!.]*")}


def run(command: list[str], point: str | None, patience_s: float | None) -> tuple[int, float]:
    """Exit status and seconds of a build that dies at a point, or after a while."""
    environment = {**os.environ, "COMPENDIA_CRASH_AT": point or ""}
    started = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as build:
        try:
            _, errors = build.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            build.kill()
            _, errors = build.communicate()
    # A worker that dies at a point takes the build down with an error, and not by a signal.
    expected = (0, -signal.SIGKILL) if point is None else (0, 1, -signal.SIGKILL)
    assert build.returncode in expected, errors.decode()
    return build.returncode, time.monotonic() - started


def rehearse(executor: str, kills: int, seed: int, folder: Path) -> dict[str, Any]:
    draw = random.Random(seed)
    corpus = folder / "corpus"
    write_corpus(corpus, seed)
    base = [sys.executable, "-m", "compendia", "build", str(write_recipe(folder, corpus))]
    status, _ = run([*base, "--out", str(folder / "undisturbed")], None, None)
    assert status == 0
    wanted = content_of(folder / "undisturbed")
    tail = ["--executor", executor, "--workers", "2"]
    _, whole_s = run([*base, "--out", str(folder / "timed"), *tail], None, None)
    by_point: Counter[str] = Counter()
    builds = 0
    started = time.monotonic()
    while by_point.total() < kills:
        store = folder / f"store-{builds}"
        builds += 1
        for attempt in range(KILLS_BEFORE_A_REST + 1):
            before = segments(store)
            last = attempt == KILLS_BEFORE_A_REST or by_point.total() >= kills
            point = None if last or draw.random() < 0.4 else draw.choice(POINTS)
            patience_s = None if last or point else draw.uniform(0.2, 1.0) * whole_s
            status, _ = run([*base, "--out", str(store), *tail], point, patience_s)
            assert before.items() <= segments(store).items(), "a published segment was written again"
            if status == 0:
                break
            by_point[point or "random moment"] += 1
        assert content_of(store) == wanted, f"{executor}, seed {seed}, build {builds}"
        print(
            f"{executor}: {by_point.total()} of {kills} kills in {time.monotonic() - started:.0f} s, "
            f"{builds} stores are the undisturbed one",
            flush=True,
        )
    return {
        "kills": by_point.total(),
        "faults": 0,  # the first one ends the run
        "stores": builds,
        "by_point": dict(sorted(by_point.items())),
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="Under each executor.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executors", nargs="+", default=["serial", "process", "ray"])
    options = parser.parse_args()
    file = RESULTS / "crash_build.json"
    results = json.loads(file.read_text(encoding="utf-8"))["executors"] if file.exists() else {}
    for executor in options.executors:
        with tempfile.TemporaryDirectory() as folder:
            rehearsed = rehearse(executor, options.kills, options.seed, Path(folder))
        today = datetime.now(UTC).date().isoformat()
        results[executor] = {"seed": options.seed, "date": today, **rehearsed, "machine": machine()}
        # After each, so that one that is stopped does not take the results of others with it.
        save("crash_build", {"executors": results})


if __name__ == "__main__":
    main()
