"""Kill a writer hundreds of times: after each kill the store opens, is whole, and holds what it held before or after.

One store lives through all of it: `add`, `upsert`, `delete`, `compact`, `prune`, `rollback`, each in a process of its own
(tests/datastore/crash_writer.py) that is killed with SIGKILL at a named point, or at a random moment. What the store must
hold is computed beside it, in a dictionary. Thresholds are small, so that additions build and merge indexes, and deletions
compact. Then, most times, a row is written, which must succeed at once and leave nothing temporary; at other times the
next writer, killed as well, has to cope with what it finds.
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

from common import machine, save

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "datastore"))

import crash_writer

from datastore.index.config import IndexConfig
from datastore.manifest import current_version, versions

INDEXES = (
    IndexConfig(family="flat", parameters={"bits": 8, "engine": "faiss"}),
    IndexConfig(family="hnsw_sq8", parameters={"links": 8, "construction_effort": 40}),
)
OPERATIONS = {"add": 4, "upsert": 3, "delete": 4, "compact": 3, "prune": 2, "rollback": 1}
WRITING = ["before_manifest_rename", "after_manifest_rename", "before_rename_of_CURRENT", "after_current"]
SEGMENTS = ["before_segment_rename", "after_segment_fsync", "after_segment_fsync:2"]
FOLDING = ["after_index_built", "before_index_rename"]
POINTS = {
    "add": [*SEGMENTS, *FOLDING, *WRITING],
    "upsert": ["after_deletes", *SEGMENTS, *FOLDING, *WRITING],
    "delete": ["after_deletes", *SEGMENTS, *FOLDING, *WRITING],
    "compact": [*SEGMENTS, *FOLDING, *WRITING],
    "prune": ["after_versions_removed", "before_removal", "before_removal:2"],
    "rollback": WRITING,
}
LARGEST = 900  # rows: more only makes the checks slow


class Rehearsal:
    """A store, and what each of its versions must hold."""

    def __init__(self, path: Path, index: IndexConfig, draw: random.Random) -> None:
        self.path = path
        self.draw = draw
        self.contents: crash_writer.Contents = {}
        self.versions: dict[int, crash_writer.Contents] = {}
        self.durations_s: dict[str, float] = {}
        crash_writer.create(path, index)
        self.write({"name": "add", "seed": 0, "rows": 200})

    def operation(self, name: str) -> dict[str, Any]:
        """A change of the present contents."""
        draw, ids = self.draw, sorted(self.contents)
        seed = draw.randrange(1 << 40)
        match name:
            case "add":
                return {"name": name, "seed": seed, "rows": draw.choice([1, 30, 100, 260])}
            case "upsert":
                chosen = draw.sample(ids, min(len(ids), draw.choice([1, 20, 90])))
                return {"name": name, "seed": seed, "rows": draw.choice([0, 1, 90]), "ids": chosen}
            case "delete":
                if draw.random() < 0.3:
                    return {"name": name, "where": draw.randrange(crash_writer.YEARS)}
                chosen = draw.sample(ids, max(1, int(len(ids) * draw.choice([0.02, 0.25, 0.6]))))
                return {"name": name, "ids": chosen, "by": draw.choice(["ids", "document_ids"])}
            case "prune":
                return {"name": name, "keep": draw.choice([1, 3])}
            case "rollback":
                current = current_version(self.path) or 0
                committed = [version for version in versions(self.path) if version <= current]
                return {"name": name, "version": draw.choice(committed[-6:])}
        return {"name": name}

    def write(self, operation: dict[str, Any]) -> None:
        """A change that is not disturbed."""
        expected = crash_writer.changed(self.contents, operation, self.versions)
        crash_writer.perform(self.path, operation)
        left = crash_writer.leftovers(self.path)
        assert not left, left
        self.contents = crash_writer.check_after_kill(self.path, [expected])
        self.remember()

    def remember(self) -> None:
        self.versions[current_version(self.path) or 0] = self.contents

    def kill(self, operation: dict[str, Any], point: str | None) -> bool:
        """Start a change and kill it, at a random moment if no point is named; whether it died."""
        before = self.contents
        after = crash_writer.changed(before, operation, self.versions)
        script = [sys.executable, crash_writer.__file__, str(self.path), json.dumps(operation), "--wait"]
        environment = {**os.environ, "COMPENDIA_CRASH_AT": point or ""}
        with subprocess.Popen(
            script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            started = time.monotonic()
            if point is None:
                time.sleep(self.draw.random() * self.durations_s.get(operation["name"], 0.1))
                writer.kill()
            _, errors = writer.communicate(timeout=120)
        if writer.returncode == 0:
            self.durations_s[operation["name"]] = time.monotonic() - started
        assert writer.returncode in (0, -signal.SIGKILL), errors.decode()
        allowed = [after] if writer.returncode == 0 else [before, after]
        self.contents = crash_writer.check_after_kill(self.path, allowed)
        self.remember()
        return bool(writer.returncode)


def rehearse(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    draw = random.Random(seed)
    by_operation: Counter[str] = Counter()
    by_point: Counter[str] = Counter()
    stores = [Rehearsal(folder / f"store-{number}", index, draw) for number, index in enumerate(INDEXES)]
    unreached = 0
    started = time.monotonic()
    while by_operation.total() < kills:
        store = draw.choice(stores)
        name = draw.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        if len(store.contents) > LARGEST:
            name = "delete"
        elif len(store.contents) < 50:
            name = "add"
        operation = store.operation(name)
        point = draw.choice(POINTS[name]) if draw.random() < 0.6 else None
        try:
            died = store.kill(operation, point)
            if draw.random() < 0.6:
                store.write({"name": "upsert", "seed": draw.randrange(1 << 40), "rows": 1})
        except Exception:
            print(f"kill {by_operation.total() + 1}, seed {seed}: {json.dumps(operation)[:300]} at {point}")
            raise
        if not died:
            unreached += 1
            continue
        by_operation[name] += 1
        by_point[point or "random moment"] += 1
        if by_operation.total() % 10 == 0:
            print(
                f"{by_operation.total()} of {kills} kills in {time.monotonic() - started:.0f} s: "
                f"version {current_version(store.path)} with {len(store.contents)} rows is whole",
                flush=True,
            )
    return {
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "kills": by_operation.total(),
        "faults": 0,  # the first one ends the run
        "by_operation": dict(sorted(by_operation.items())),
        "by_point": dict(sorted(by_point.items())),
        "changes_that_ended_first": unreached,
        "versions_written": sum(current_version(store.path) or 0 for store in stores),
        "seconds": round(time.monotonic() - started),
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    crash_writer.shrink_thresholds()
    with tempfile.TemporaryDirectory() as folder:
        save("crash", rehearse(options.kills, options.seed, Path(folder)))


if __name__ == "__main__":
    main()
