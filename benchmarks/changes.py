"""What it costs to look up and to change a few rows of a million: time, and bytes read from disk (`/proc/self/io`).

Vectors are drawn, 64 dimensions; how many there are matters here, not what they are. Each passage has a text of some
200 words' length and metadata. The page cache is dropped for the store's files before the upsert.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, quantiles, save

from datastore import Datastore
from datastore.changes.edit import Rows, add
from datastore.index.config import IndexConfig

_BLOCK = 100_000
_DIMENSION = 64


def blocks(rows: int, seed: int) -> list[Rows]:
    generator = np.random.default_rng(seed)
    text = "What is written here stands for a passage of usual length. " * 20
    return [
        Rows(
            generator.standard_normal((_BLOCK, _DIMENSION), dtype=np.float32),
            [f"p{row}" for row in range(start, start + _BLOCK)],
            [f"{row} {text}" for row in range(start, start + _BLOCK)],
            [{"year": 1900 + row % 120} for row in range(start, start + _BLOCK)],
        )
        for start in range(0, rows, _BLOCK)
    ]


def drop_from_cache(folder: Path) -> None:
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def bytes_read() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    values = dict(line.split(": ") for line in lines)
    return {"from_disk": int(values["read_bytes"]), "by_calls": int(values["rchar"])}


def timed(call: object, *arguments: object, **named: object) -> tuple[float, dict[str, int]]:
    assert callable(call)
    before, started = bytes_read(), time.perf_counter()
    call(*arguments, **named)
    seconds = time.perf_counter() - started
    return seconds, {key: value - before[key] for key, value in bytes_read().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        # Which family proposes candidates does not matter here; this one is built at once.
        index = IndexConfig(family="flat", parameters={"bits": 8, "engine": "faiss"})
        Datastore.create(path, dimension=_DIMENSION, index=index).close()
        started = time.perf_counter()
        add(path, blocks(arguments.rows, arguments.seed), replace=False)
        added_s = time.perf_counter() - started
        drop_from_cache(path)
        started = time.perf_counter()
        store = Datastore.open(path)
        opened_s = time.perf_counter() - started
        generator = np.random.default_rng(arguments.seed)
        seconds: dict[str, list[float]] = {"cold": [], "warm": []}
        asked = [
            [f"p{row}" for row in generator.choice(arguments.rows, 10, replace=False)] for _ in range(500)
        ]
        for times in seconds.values():  # the first pass reads from disk
            for ids in asked:
                started = time.perf_counter()
                found = store.get_by_ids(ids)
                times.append(time.perf_counter() - started)
                assert [hit.passage_id for hit in found] == ids
        store.close()  # what is mapped cannot be dropped
        del found
        drop_from_cache(path)
        store = Datastore.open(path)
        changed = [f"p{row}" for row in generator.choice(arguments.rows, 1_000, replace=False)]
        new = generator.standard_normal((1_000, _DIMENSION), dtype=np.float32)
        upsert_s, upsert_bytes = timed(store.upsert, new, changed, ["new text"] * 1_000)
        assert store.get_by_ids(changed[:1])[0].text == "new text"
        delete_s, _ = timed(store.delete, where="year = 1984")
        compact_s, _ = timed(store.compact)
    save(
        "changes",
        {
            "what": "lookups and changes in a store of many rows, warm but for the upsert and the opening",
            "machine": where,
            "rows": arguments.rows,
            "add_all_s": round(added_s, 1),
            "open_cold_s": round(opened_s, 3),
            "get_by_ids_of_10": {state: quantiles(times[100:]) for state, times in seconds.items()},
            "upsert_of_1000": {"seconds": round(upsert_s, 3), "bytes_read": upsert_bytes},
            "delete_by_filter_s": round(delete_s, 3),
            "compact_s": round(compact_s, 1),
        },
    )


if __name__ == "__main__":
    main()
