"""RAM of a search in batches: 10,000 queries, 1,000 hits each, beyond what one query needs of the same store.

Each search is the command line in a process of its own; its peak is the kernel's count of resident memory, which has the
mapped files of the store in it. What one query with one hit peaks at is taken as the open store.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, save
from hits import build_store

from datastore import Datastore

FORMATS = {
    "parquet": ["--out", "hits.parquet"],
    "trec": ["--out", "hits.trec"],
    "jsonl": ["--out", "hits.jsonl"],
}
WITH_TEXT = {
    "parquet with text": ["--out", "text.parquet", "--text"],
    "jsonl in the layout of CompactDS": ["--out", "text.jsonl", "--layout", "compactds"],
}


def measured(folder: Path, *arguments: str) -> dict[str, float]:
    """Seconds and peak of `compendia search` in `folder`."""
    command = [sys.executable, "-m", "compendia", "search", "store", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mb": round(usage.ru_maxrss / 1e3 * 1.024),
    }


def write_queries(store: Datastore, count: int, seed: int, file: Path) -> None:
    """Questions of three to twelve words of a random passage each."""
    generator = random.Random(seed)
    lines = []
    texts = store.read_column("text")
    for number in range(count):
        words = generator.choice(texts).split()
        text = " ".join(generator.sample(words, generator.randint(3, 12)))
        lines.append(json.dumps({"id": f"q{number}", "text": text}))
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--hits", type=int, default=1_000)
    parser.add_argument("--text-queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    before = machine()
    searches: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = build_store(folder / "store", arguments.passages, arguments.seed)
        store.add_index("bm25")
        for file, count in (("queries", arguments.queries), ("few", arguments.text_queries), ("one", 1)):
            write_queries(store, count, arguments.seed, folder / f"{file}.jsonl")
        for retriever in ("dense", "bm25", "weighted"):
            asked = ["--retriever", retriever, "--queries"]
            alone = measured(folder, *asked, "one.jsonl", "-k", "1", "--out", "one.jsonl.jsonl", "--restart")
            runs = (
                [("queries.jsonl", FORMATS), ("few.jsonl", WITH_TEXT)]
                if retriever == "dense"
                else [("few.jsonl", {"parquet": FORMATS["parquet"]})]
            )
            for queries, formats in runs:
                for form, options in formats.items():
                    k = ["-k", str(arguments.hits), "--restart"]
                    found = measured(folder, *asked, queries, *options, *k)
                    out = folder / options[1]
                    searches[f"{retriever}, {form}"] = {
                        **found,
                        "queries": arguments.queries
                        if queries == "queries.jsonl"
                        else arguments.text_queries,
                        "beyond_the_store_mb": found["peak_mb"] - alone["peak_mb"],
                        "file_mb": round(out.stat().st_size / 1e6, 1),
                    }
                    print(form, searches[f"{retriever}, {form}"], file=sys.stderr)
                    out.unlink()
            searches[f"{retriever}, one query and hit"] = alone
    save(
        "batch_search",
        {**vars(arguments), "machine": before, "searches": searches},
    )


if __name__ == "__main__":
    main()
