"""hnswlib: HNSW over float32 vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, blocks

PACKAGES = ("hnswlib",)

SETUPS = {
    "hnswlib f32": Setup({}, [Point(effort, 10) for effort in (16, 32, 64, 128, 256, 512)], rescored=False)
}


def build(vectors: NDArray[np.float16], folder: Path, *, links: int = 16, construction: int = 80) -> None:
    import hnswlib

    rows, dimension = vectors.shape
    index = hnswlib.Index(space="ip", dim=dimension)
    index.init_index(max_elements=rows, M=links, ef_construction=construction, random_seed=0)
    for block in blocks(vectors):
        index.add_items(block)
    index.save_index(str(folder / "index.hnswlib"))
    (folder / "dimension.json").write_text(json.dumps(dimension), encoding="utf-8")


def open_engine(folder: Path) -> Propose:
    import hnswlib

    dimension = json.loads((folder / "dimension.json").read_text(encoding="utf-8"))
    index = hnswlib.Index(space="ip", dim=dimension)
    index.load_index(str(folder / "index.hnswlib"))
    index.set_num_threads(1)

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        index.set_ef(effort)
        return np.asarray(index.knn_query(queries, k=count)[0], dtype=np.int64)

    return propose
