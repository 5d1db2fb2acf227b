"""Recall of the flat index's candidates, and the time of a query, on real vectors (`--vectors FOLDER`).

The folder holds passages and queries as .npy, (n, d) and (m, d). Recall@10: the share of the exact ten that are among
the candidates, which is what exact rescoring then finds. The floor of a scan: n · d/2 bytes over memory bandwidth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, quantiles, save

from datastore.index.dense import Plan, Vectors, build_index, open_index
from datastore.index.dense.exact import ExactIndex


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=Path, required=True, help="(n, d) .npy")
    parser.add_argument("--queries", type=Path, required=True, help="(m, d) .npy")
    arguments = parser.parse_args()
    where = machine()
    vectors = np.load(arguments.passages, allow_pickle=False).astype(np.float16)
    queries = np.load(arguments.queries, allow_pickle=False).astype(np.float32)
    source = Vectors([vectors], "cosine", vectors.shape[1])
    exact = ExactIndex(source)
    truth = exact.search(queries, 10).ordinals
    rows = []
    for bits in (4, 8):
        with tempfile.TemporaryDirectory() as folder:
            build_index(Plan("flat", {"bits": bits}), source, Path(folder))
            index = open_index("flat", Path(folder))
        for candidates in (10, 15, 20, 40):
            found = index.search(queries, candidates).ordinals
            recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)])
            seconds = []
            for query in queries[:200]:
                started = time.perf_counter()
                index.search(query[None], candidates)
                seconds.append(time.perf_counter() - started)
            rows.append(
                {
                    "bits": bits,
                    "candidates": candidates,
                    "recall@10": round(float(recall), 4),
                    **quantiles(seconds),
                }
            )
    small = ExactIndex([vectors[:2_000]])
    seconds = []
    for query in queries[:200]:
        started = time.perf_counter()
        small.search(query[None], 40)
        seconds.append(time.perf_counter() - started)
    save(
        "dense",
        {
            "what": "flat index: recall of its candidates, and stage-one time of one query",
            "vectors": list(vectors.shape),
            "rows": rows,
            "exact_scan_of_2000": quantiles(seconds),
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
