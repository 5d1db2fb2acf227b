"""How many candidates each reduction to fewer dimensions needs (`--passages`, `--queries`), quantisation left out.

K' at a recall: the fewest candidates of an exhaustive search in the reduced space that hold this share of the exact ten,
which is what exact rescoring then finds. The reductions learn from the passages, `leanvec` from half of the queries as
well; all are measured on the other half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import machine, save

from datastore.index.dense import Vectors
from datastore.index.dense.exact import ExactIndex
from datastore.index.dense.reduce import KINDS, learn

MOST = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=Path, required=True, help="(n, d) .npy")
    parser.add_argument("--queries", type=Path, required=True, help="(m, d) .npy")
    arguments = parser.parse_args()
    where = machine()
    vectors = np.load(arguments.passages, allow_pickle=False).astype(np.float16)
    queries = np.load(arguments.queries, allow_pickle=False).astype(np.float32)
    queries = np.random.default_rng(0).permutation(queries)
    seen, unseen = np.array_split(queries, 2)
    source = Vectors([vectors], "cosine", vectors.shape[1])
    truth = ExactIndex(source).search(unseen, 10).ordinals
    rows = []
    for divisor in (2, 4):
        for kind in KINDS:
            dimension = vectors.shape[1] // divisor
            reduced = learn({"kind": kind, "dimension": dimension}, source, seen)
            found = ExactIndex(reduced.vectors).search(unseen @ reduced.query_projection.T, MOST).ordinals
            is_true = (found[:, :, None] == truth[:, None, :]).any(axis=2)
            recall = is_true.cumsum(axis=1).mean(axis=0) / truth.shape[1]
            rows.append(
                {
                    "kind": kind,
                    "dimension": dimension,
                    **{f"candidates at {target}": fewest(recall, target) for target in (0.9, 0.95, 0.99)},
                    "recall@10 of 10": round(float(recall[9]), 4),
                    "recall@10 of 20": round(float(recall[19]), 4),
                }
            )
    save(
        "reduction",
        {
            "what": "candidates that hold a share of the exact ten, by exhaustive search in fewer dimensions",
            "vectors": list(vectors.shape),
            "queries_learned_from": len(seen),
            "queries_measured": len(unseen),
            "rows": rows,
            "machine": where,
        },
    )


def fewest(recall: np.ndarray, target: float) -> int | None:
    """Candidates at which `recall`, of 1, 2, … candidates, reaches a target; None: not among those measured."""
    reaching = np.flatnonzero(recall >= target)
    return int(reaching[0]) + 1 if len(reaching) else None


if __name__ == "__main__":
    main()
