"""The graph: what building it costs, what following it costs, and what each kind of edge is worth on which set.

The store that is timed has Wikipedia's leads, dictionary entries and glosses, with vectors of the `hashing` encoder. Sets
are stores under their names, with the features bm25 and a graph of all kinds, in a folder of copies: made here on demand.

OMP_NUM_THREADS=2 python benchmarks/graph.py --data /path/to/sets --stores ~/.cache/compendia/bench/sets
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, quantiles, save
from graph_triples import write_triples
from sets import measured_part

from datastore import Datastore, EncoderConfig, UsageError
from datastore.encoders import load_encoder
from datastore.features import feature_folder
from eval.retrieval import evaluate
from retrievers import parse

WORK = Path("~/.cache/compendia/bench/graph").expanduser()
SOURCES = (
    "wikipedia/vital_en.jsonl.gz",
    "wikipedia/vital_es.jsonl.gz",
    "reference/foldoc.jsonl.gz",
    "reference/wordnet_glosses.jsonl.gz",
)
ALL_KINDS: dict[str, Any] = {"kind": "graph", "knn": 5, "entities": True}
BASE = "weighted(dense, bm25)"
EDGES = (("title", "sequence"), ("title",), ("knn",), ("entity",), ("own",), ("title", "knn", "entity"))
SETS = ("hotpotqa100", "twowiki101", "strategyqa_facts", "scifact", "cranfield", "vaswani", "bioasq")
METRICS = ("nDCG@10", "Recall@5", "Recall@10", "AllGold@10")
QUERIES = 300


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--stores", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=WORK)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine()}
    if arguments.rows:
        result["cost"] = cost(arguments.data, arguments.work / f"rows-{arguments.rows}", arguments.rows)
    result["quality"] = {
        name: quality(arguments.data, with_graph(arguments.stores / name, arguments.work / name), name)
        for name in arguments.sets
    }
    save("graph", result)


def records(data: Path) -> Iterator[dict[str, Any]]:
    for source in SOURCES:
        with gzip.open(data / source, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def cost(data: Path, path: Path, rows: int) -> dict[str, Any]:
    """Seconds, and the RAM above what the process had, of each graph; milliseconds to follow it from one query."""
    if not path.exists():
        given = list(islice(records(data), rows))
        config = EncoderConfig(model="hashing")
        encoder, store = load_encoder(config), Datastore.create(path, encoder=config)
        for start in range(0, len(given), 8_192):
            block = given[start : start + 8_192]
            texts = [record["text"] or record["title"] for record in block]
            store.add(
                encoder.encode_passages(texts, truncate=True),
                ids=[str(start + place) for place in range(len(block))],
                texts=texts,
                metadata=[{"title": record["title"]} for record in block],
            )
        store.compact()
    store = Datastore.open(path)
    found: dict[str, Any] = {"rows": len(store)}
    for name, options in (("titles", {}), ("titles, knn, entities", ALL_KINDS)):
        drop(store)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        started = time.perf_counter()
        store.add_index({"kind": "graph", **options})
        seconds = time.perf_counter() - started
        after_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        feature = store.snapshot.feature("graph")
        (entry,) = feature.entry.indexes
        found[name] = {
            "seconds": round(seconds, 1),
            "peak_mb_above": after_mb - before_mb,
            "bytes": sum(file.bytes for file in entry.files.values()),
            "edges": feature.indexes[0].index.summary.edges,
            "expand": {
                str(chain): expansion(store, chain)
                for chain in ("graph", "graph(edges=('title', 'knn', 'entity'))")
            },
        }
    return found


def expansion(store: Datastore, chain: str) -> dict[str, float]:
    """Of the selector alone, from hits that are there already."""
    texts = store.read_column("text")
    drawn = np.random.default_rng(0).choice(len(texts), QUERIES, replace=False).tolist()
    retriever = parse("bm25" if has(store, "bm25") else "dense").on(store)
    selector = parse(f"dense >> {chain}").selector.bind(store)  # type: ignore[attr-defined]  # a Selection
    depth = selector.selector.depth(10)
    queries = [" ".join(texts[row].split()[:12]) for row in drawn]
    seconds = []
    for query in queries:
        hits = retriever.retrieve([query], depth)
        started = time.perf_counter()
        selector.select([query], hits, 10)
        seconds.append(time.perf_counter() - started)
    return quantiles(seconds)


def has(store: Datastore, kind: str) -> bool:
    return any(feature.kind == kind for feature in store.manifest.features)


def drop(store: Datastore) -> None:
    """The graph, and its files: they would be used again."""
    for feature in store.manifest.features:
        if feature.kind == "graph":
            folders = [feature_folder(store.path, segment.id, feature) for segment in store.manifest.segments]
            folders += [store.path / "indexes" / index.id for index in feature.indexes]
            store.drop_index(feature.name)
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


def with_graph(store: Path, copy: Path) -> Path:
    """A copy of a store with all kinds of edges; `own` are triples that patterns find."""
    if not copy.exists():
        shutil.copytree(store, copy, ignore=shutil.ignore_patterns("work"))
    opened = Datastore.open(copy)
    opened.add_index("bm25")
    triples = copy.with_suffix(".tsv")
    write_triples(opened, triples)
    graph = {**ALL_KINDS, "own": str(triples)}
    try:
        opened.add_index(graph)
    except UsageError:
        drop(opened)
        opened.add_index(graph)
    return copy


def quality(data: Path, store: Path, name: str) -> dict[str, Any]:
    """The metrics of the base and of each kind of edge behind it, with the difference to the base."""
    opened = Datastore.open(store)
    adjacency = opened.snapshot.feature("graph").indexes[0].index
    chains = [BASE, *(f"{BASE} >> graph(edges={kinds!r})" for kinds in EDGES)]
    report = evaluate(opened, measured_part(data, name), [parse(chain) for chain in chains], depth=100)
    return {
        "documents": adjacency.summary.documents,
        "edges": adjacency.summary.edges,
        "arms": {arm.retriever: numbers(arm.metrics, arm.difference) for arm in report.arms},
    }


def numbers(metrics: Any, difference: Any) -> dict[str, Sequence[float]]:
    """Mean; and of the paired difference to the base mean, low and high."""
    return {
        name: [
            round(metrics[name].value, 4),
            *(
                round(getattr(difference[name], field), 4)
                for field in ("value", "low", "high")
                if difference is not None
            ),
        ]
        for name in METRICS
        if name in metrics
    }


if __name__ == "__main__":
    main()
