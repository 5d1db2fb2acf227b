"""Which queries of a set settings are chosen on, and which are measured: never the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval import Collection, load_collection
from eval.splits import half

TRAINED = ("scifact",)  # has training queries of its own
HALVED = ("strategyqa_facts", "bioasq")
TUNING_SETS = TRAINED + HALVED
GROUPS = {
    "sets for hybrids": ("scifact", "cranfield", "vaswani", "twowiki101", "hotpotqa100", "limit"),
    "sets for the router": (
        *("limit", "scifact", "cranfield", "vaswani"),
        *("bioasq", "pubmedqa_retrieval", "strategyqa_facts", "theoremqa_theorems"),
    ),
}
"""Sets over which means are told beside those over all."""


def tuning_part(data: Path, name: str) -> Collection:
    if name in TRAINED:
        return load_collection(data / name, "train")
    return half(load_collection(data / name), "dev")


def measured_part(data: Path, name: str) -> Collection:
    found = load_collection(data / name)
    return half(found, "test") if name in HALVED else found


FEATURES = ("bm25", "graph", "sparse", {"kind": "multivector", "encoder": {"dtype": "bfloat16"}})
"""All that chains may search by, beside dense vectors."""


def build_store(data: Path, name: str, path: Path, features: Sequence[Any] = FEATURES) -> None:
    """The store of a set; one that is there already is left as it is."""
    import pipelines

    if path.exists():
        return
    recipe = {
        "name": name,
        "sources": [
            {
                "name": "corpus",
                "kind": "files",
                "path": str(load_collection(data / name).corpus.resolve()),
                "format": "jsonl",
                "fields": {"id": "_id", "title": "title", "text": "text"},
            }
        ],
        "deduplicate": "none",  # judgements refer to all documents
        "encoder": {"model": "offline", "dtype": "bfloat16"},
        "features": list(features),
    }
    pipelines.build(pipelines.make_recipe(recipe), path, progress=pipelines.console())


def judged_sets(data: Path) -> list[str]:
    """Names of the folders that have a corpus, queries and judgements."""
    folders = sorted(path.parent.parent for path in data.glob("*/qrels/test.tsv"))
    return [folder.name for folder in folders if any(folder.glob("corpus.jsonl*"))]
