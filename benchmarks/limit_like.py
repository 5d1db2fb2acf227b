"""A LIMIT-like set of 50,000 documents: what is found where nearly every pair of some documents is asked for.

The set is that of `eval.limit` with its own seed; nothing was chosen on it. Embedding it takes half an hour on one core;
the store is kept, so an interrupted run goes on.

python benchmarks/limit_like.py --folder ~/.cache/compendia/bench/limit_like_50k
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common import machine, save
from sets import build_store

from datastore import Datastore
from eval import evaluate_retrieval, load_collection
from eval.limit import make_limit_like, write_limit_like
from retrievers import parse

CHAINS = (
    "bm25",
    "dense",
    "rrf(dense, bm25)",
    "weighted(dense, bm25)",
    "weighted(dense, bm25, weights=None)",
    "router(dense, bm25)",
)
SHOWN = ("nDCG@10", "Recall@10", "Recall@100")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="Where set and store are kept.")
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=1_000)
    arguments = parser.parse_args()
    data: Path = arguments.folder / "data"
    if not (data / "limit_like").exists():
        write_limit_like(
            data / "limit_like", make_limit_like(documents=arguments.documents, queries=arguments.queries)
        )
    build_store(data, "limit_like", arguments.folder / "store", ["bm25"])
    with Datastore.open(arguments.folder / "store") as store:
        report = evaluate_retrieval(
            store, load_collection(data / "limit_like"), [parse(chain) for chain in CHAINS]
        )
    arms = [
        {
            "retriever": arm["retriever"],
            "metrics": {name: arm["metrics"][name] for name in SHOWN},
            "minus_bm25": arm["difference"] and {name: arm["difference"][name] for name in SHOWN},
        }
        for arm in report.to_json()["arms"]
    ]
    save(
        "limit_like", {"documents": arguments.documents, "queries": report.queries, "arms": arms} | machine()
    )


if __name__ == "__main__":
    main()
