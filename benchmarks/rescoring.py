"""Exact rescoring of a query's best candidates, pages in memory and not, beside plain gathers from a memory map.

    python benchmarks/million.py …        # makes the vectors, once
    python benchmarks/rescoring.py

Candidates are a query's true nearest rows: near each other in space, spread over the file. The file is copied first,
since pages that another process has mapped cannot be dropped. Cold: the copy's pages are dropped before every call;
/proc/self/io says how much a call read. All ways take turns at each query.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, quantiles, save
from million import DEFAULT
from numpy.typing import NDArray

from datastore.rescore import ExactVectors, VectorFile

DEPTHS = (20, 60, 100, 300)
SCANNED = (10_000, 100_000)
BATCHES = (1, 16, 64)

Rescore = Callable[[NDArray[np.float32], NDArray[np.int64]], Any]


def plain(path: Path, advice: int | None = None) -> Rescore:
    """NumPy's way: index the map, convert, multiply."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if advice is not None:
        vectors.base.madvise(advice)
    return lambda query, rows: vectors[rows].astype(np.float32) @ query


def ours(path: Path, rows: int, dimension: int) -> Rescore:
    exact = ExactVectors([VectorFile(path, rows)], dimension, np.float16, "cosine")
    return lambda query, rows: exact.scores(query[None], rows[None])


def drop(path: Path) -> None:
    """Let the kernel forget the pages of a file that nobody has mapped."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read_bytes() -> int:
    """What this process has made the disk read so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def nearest(exact: ExactVectors, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """(nq, count) rows of the highest scores, best first."""
    found = []
    for start in range(0, len(queries), 64):
        scores = exact.scores_of_rows(queries[start : start + 64], np.arange(exact.rows))
        best = np.argpartition(-scores, count, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def warm_times(
    ways: dict[str, Rescore], queries: NDArray[np.float32], rows: NDArray[np.int64], rounds: int
) -> dict[str, list[float]]:
    """Seconds of every call but the first round's, which maps the pages into this process.

    The ways are at different queries at a time: none finds its rows in the processor's cache because of another.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for i in range(len(queries)):
            for turn, (name, rescore) in enumerate(ways.items()):
                at = (i + turn * len(queries) // len(ways)) % len(queries)
                started = time.perf_counter()
                rescore(queries[at], rows[at])
                if number > 0:
                    seconds[name].append(time.perf_counter() - started)
    return seconds


def cold_times(
    path: Path, ways: dict[str, Callable[[], Rescore]], queries: NDArray[np.float32], rows: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    read: dict[str, list[int]] = {name: [] for name in ways}
    for query, candidates in zip(queries, rows, strict=True):
        for name, open_way in ways.items():
            rescore = open_way()
            drop(path)
            before, started = read_bytes(), time.perf_counter()
            rescore(query, candidates)
            seconds[name].append(time.perf_counter() - started)
            read[name].append(read_bytes() - before)
            del rescore  # a mapped page cannot be dropped
    return {
        name: {**quantiles(seconds[name]), "median_read_kib": float(np.median(read[name])) / 1024}
        for name in ways
    }


def scan_times(
    exact: ExactVectors, queries: NDArray[np.float32], generator: np.random.Generator
) -> list[dict[str, Any]]:
    """CPU nanoseconds a row of scoring many rows, spread over the file, for all queries; one thread does it all."""
    results = []
    for count in SCANNED:
        for batch in BATCHES:
            seconds = []
            for _ in range(6):
                rows = np.sort(generator.choice(exact.rows, count, replace=False))
                started = time.thread_time()
                exact.scores_of_rows(queries[:batch], rows)
                seconds.append(time.thread_time() - started)
            nanoseconds = float(np.median(seconds[1:])) / count * 1e9
            results.append({"rows": count, "batch": batch, "ns_per_row": round(nanoseconds, 1)})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT, help="passages.f16.npy and queries.f16.npy")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--cold-queries", type=int, default=30)
    arguments = parser.parse_args()
    where = machine()
    queries = np.load(arguments.folder / "queries.f16.npy", allow_pickle=False)[: arguments.queries]
    queries = queries.astype(np.float32)
    result: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(shutil.copy(arguments.folder / "passages.f16.npy", folder))
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)  # only what is on the disk can be dropped
        os.close(descriptor)
        rows, dimension = np.load(path, mmap_mode="r", allow_pickle=False).shape
        exact = ExactVectors([VectorFile(path, rows)], dimension, np.float16, "cosine")
        candidates = nearest(exact, queries, max(DEPTHS))
        ways: dict[str, Callable[[], Rescore]] = {
            "memory map": lambda: plain(path),
            "memory map, random": lambda: plain(path, mmap.MADV_RANDOM),
            "ours": lambda: ours(path, rows, dimension),
        }
        for depth in DEPTHS:
            warm = warm_times(
                {name: open_way() for name, open_way in ways.items()}, queries, candidates[:, :depth], 3
            )
            times = {name: quantiles(seconds) for name, seconds in warm.items()}
            result.append({"candidates": depth, "pages": "in memory", "ways": times})
        scans = scan_times(exact, queries, np.random.default_rng(0))
        del exact
        for depth in DEPTHS:
            few = arguments.cold_queries
            cold = cold_times(path, ways, queries[:few], candidates[:few, :depth])
            result.append({"candidates": depth, "pages": "on disk", "ways": cold})
    for line in result:
        times = {name: way["median_ms"] for name, way in line["ways"].items()}
        line["share_of_memory_map"] = round(times["ours"] / times["memory map"], 3)
    save(
        "rescoring",
        {
            "what": "exact scores of a query's candidates, one query a call",
            "vectors": [rows, dimension, "float16"],
            "rescoring": result,
            "scores_of_rows, in memory": scans,
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
