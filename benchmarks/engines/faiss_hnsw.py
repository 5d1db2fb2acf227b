"""faiss: HNSW over float32 vectors and over 8-bit codes."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup
from .faiss_files import fill, read

PACKAGES = ("faiss",)

_SWEEP = [Point(16, 12), Point(32, 12), Point(64, 12), Point(128, 15), Point(256, 15), Point(512, 20)]

SETUPS = {
    "faiss HNSW f32": Setup(
        {"storage": "Flat"}, [Point(effort, 10) for effort in (16, 32, 64, 128, 256, 512)], rescored=False
    ),
    "faiss HNSW SQ8": Setup({"storage": "SQ8"}, _SWEEP, rescored=True),
    # The graph that our store builds.
    "faiss HNSW SQ8, construction 128": Setup({"storage": "SQ8", "construction": 128}, _SWEEP, rescored=True),
}

_TRAINING_ROWS = 65_536


def build(
    vectors: NDArray[np.float16], folder: Path, *, storage: str, links: int = 16, construction: int = 80
) -> None:
    index = faiss.index_factory(vectors.shape[1], f"HNSW{links},{storage}", faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = construction
    fill(index, vectors, _TRAINING_ROWS, folder)


def open_engine(folder: Path) -> Propose:
    index = read(folder)

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        index.hnsw.efSearch = effort
        rows: NDArray[np.int64] = index.search(queries, count)[1]
        return rows

    return propose
