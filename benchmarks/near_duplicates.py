"""Near-duplicate removal end to end beside datatrove's, and its growth to millions of documents.

Both sides: word 5-grams, 14 bands of 8, one worker, text in memory to the list of documents that stay; time is of the
processor. Ours reads the text of each candidate again for its true similarity, datatrove's does not.

`--rows`: documents made from WordNet and FOLDOC, a quarter of them copies, a quarter with one word changed, the others
with half of their words changed; each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, save
from numpy.typing import NDArray

from pipelines.duplicates import NearDuplicates, choose, near_duplicates, signatures
from pipelines.executors import Result, Task

DATA = Path(os.environ.get("COMPENDIA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHARD_ROWS = 100_000
BATCH_ROWS = 1_000


class TimedSerial:
    """The serial executor, with the processor time of each function."""

    in_process = True

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        name = function.__name__.strip("_")
        for task in tasks:
            started = time.process_time()
            result = function(task)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started
            yield task, result


def read(folder: Path, name: str) -> list[str]:
    with gzip.open(folder / name, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def textbook_pieces(words: int = 200) -> list[str]:
    pieces = []
    for file in sorted((DATA / "textbooks").glob("*.jsonl.gz")):
        for text in read(file.parent, file.name):
            run = text.split()
            pieces += [" ".join(run[start : start + words]) for start in range(0, len(run), words)]
    return pieces


def sign(texts: Iterable[Sequence[str]], folder: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """A signature file for each of the shards, and the length of every document."""
    config, files, lengths = NearDuplicates(), [], []
    for number, shard in enumerate(texts):
        batches = [shard[start : start + BATCH_ROWS] for start in range(0, len(shard), BATCH_ROWS)]
        found = np.empty((len(shard), config.bands), dtype=np.uint64, order="F")
        for start, batch in zip(range(0, len(shard), BATCH_ROWS), batches, strict=True):
            found[start : start + len(batch)] = signatures(batch, config)
        files.append(folder / f"{number:05}.npy")
        np.save(files[-1], found)
        lengths.append(np.array([len(text) for text in shard]))
    return files, np.concatenate(lengths)


def ours(texts: list[str], folder: Path) -> int:
    shards = (texts[start : start + SHARD_ROWS] for start in range(0, len(texts), SHARD_ROWS))
    files, length = sign(shards, folder)
    priority = np.zeros(len(texts), dtype=np.int16)
    found = near_duplicates(
        files,
        lambda rows: [texts[row] for row in rows.tolist()],
        priority,
        length,
        NearDuplicates(),
        work=folder / "work",
        executor=TimedSerial(),
    )
    return int((choose(found, priority, length) == np.arange(len(texts))).sum())


def datatrove(texts: list[str], folder: Path) -> int:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    signed, paired, removed = (str(folder / name) for name in ("signatures", "buckets", "remove"))
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    kept: list[str] = []

    def collect(data: Iterable[Any], *_: int) -> Iterator[Any]:
        for document in data:
            kept.append(document.id)
            yield document

    stages = [
        (1, [documents, MinhashDedupSignature(signed, config=config)]),
        (14, [MinhashDedupBuckets(signed, paired, config=config)]),
        (1, [MinhashDedupCluster(paired, removed, config=config)]),
        (1, [documents, MinhashDedupFilter(removed), collect]),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        with contextlib.redirect_stderr(io.StringIO()):  # a page of log a task
            LocalPipelineExecutor(
                pipeline=pipeline, tasks=tasks, workers=1, logging_dir=str(folder / f"log-{number}")
            ).run()
    return len(kept)


def compare(repeats: int, limit: int | None) -> dict[str, Any]:
    import datatrove.utils.hashes.xxhash as hashes
    import xxhash

    # datatrove 0.10 hashes text as it is, which xxhash 4 refuses.
    hashes.xxhash64 = lambda text: xxhash.xxh64_intdigest(text.encode())
    corpora = {
        "textbooks in pieces of 200 words": textbook_pieces()[:limit],
        "WordNet glosses": read(DATA / "reference", "wordnet_glosses.jsonl.gz")[: limit or 40_000],
    }
    systems = {"ours": ours, "datatrove": datatrove}
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for system in systems.values():  # imports and the tokeniser are loaded before the clock starts
            system(["One text of some words to begin with."] * 2, Path(tempfile.mkdtemp(dir=folder)))
        for corpus, texts in corpora.items():
            seconds: dict[str, list[float]] = {name: [] for name in systems}
            kept = {}
            for _ in range(repeats):
                for name, system in systems.items():
                    started = time.process_time()
                    kept[name] = system(texts, Path(tempfile.mkdtemp(dir=folder)))
                    seconds[name].append(time.process_time() - started)
            rate = {name: len(texts) / statistics.median(seconds[name]) for name in systems}
            result[corpus] = {
                "documents": len(texts),
                "kept": kept,
                "documents_per_cpu_second": {name: round(value) for name, value in rate.items()},
                "ratio": round(rate["ours"] / rate["datatrove"], 1),
            }
    return {"repeats": repeats, "datatrove": version("datatrove"), "corpora": result}


@cache
def base(folder: Path) -> tuple[list[list[str]], list[str]]:
    """Words of each text, and the words that replace them."""
    texts = read(folder, "wordnet_glosses.jsonl.gz") + read(folder, "foldoc.jsonl.gz")
    split = [[sys.intern(word) for word in text.split()] for text in texts]
    return split, sorted({word for run in split for word in run})


def made_up(rows: NDArray[np.int64], folder: Path) -> list[str]:
    """The texts of documents by number."""
    texts, vocabulary = base(folder)
    found = []
    for row in rows.tolist():
        copy, number = divmod(row, len(texts))
        run = texts[number]
        drawn = (row * 0x9E3779B97F4A7C15 + 1) & 0xFFFFFFFFFFFFFFFF
        drawn = (drawn ^ (drawn >> 29)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        kind = (drawn >> 60) % 4 if copy else 0
        if kind == 1 and run:
            run = run.copy()
            run[(drawn >> 20) % len(run)] = vocabulary[(drawn >> 8) % len(vocabulary)]
        elif kind > 1:
            step = (drawn >> 8) | 1
            run = [
                vocabulary[drawn * (place + step) % len(vocabulary)] if (place ^ drawn) & 1 else word
                for place, word in enumerate(run)
            ]
        found.append(" ".join(run))
    return found


def grow(rows: int) -> dict[str, Any]:
    """One size, in this process."""
    texts = partial(made_up, folder=DATA / "reference")
    texts(np.arange(1))
    executor = TimedSerial()
    with tempfile.TemporaryDirectory() as folder:
        started, used = time.perf_counter(), time.process_time()
        shards = (
            texts(np.arange(start, min(start + SHARD_ROWS, rows))) for start in range(0, rows, SHARD_ROWS)
        )
        files, length = sign(shards, Path(folder))
        signed = time.process_time()
        priority = np.zeros(rows, dtype=np.int16)
        found = near_duplicates(
            files, texts, priority, length, NearDuplicates(), work=Path(folder) / "work", executor=executor
        )
        kept = int((choose(found, priority, length) == np.arange(rows)).sum())
        ended = time.process_time()
    functions = {name: round(seconds, 1) for name, seconds in executor.seconds.items()}
    return {
        "rows": rows,
        "characters": int(length.sum()),
        "kept": kept,
        "wall_s": round(time.perf_counter() - started, 1),
        "cpu_s": {
            "all": round(ended - used, 1),
            "make_texts_and_sign": round(signed - used, 1),
            **functions,
            "groups": round(ended - signed - sum(functions.values()), 1),
        },
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, help="documents of each corpus in the comparison")
    parser.add_argument("--rows", type=int, nargs="+", help="measure growth at these sizes instead")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(grow(arguments.one)))
        return
    where = machine()
    if arguments.rows:
        command = [sys.executable, __file__, "--one"]
        sizes = [
            json.loads(
                subprocess.run([*command, str(rows)], check=True, stdout=subprocess.PIPE, text=True).stdout
            )
            for rows in arguments.rows
        ]
        save("near_duplicates_growth", {"what": "growth with the corpus", "sizes": sizes, "machine": where})
        return
    save(
        "near_duplicates",
        {
            "what": "near-duplicate removal, text to kept documents, one worker",
            **compare(arguments.repeats, arguments.limit),
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
