"""faiss: inverted lists over 4-bit fast-scan product quantisation."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, lists_for
from .faiss_files import fill, read

PACKAGES = ("faiss",)

_FINE_CODES = [
    Point(8, 20),
    Point(16, 30),
    Point(32, 30),
    Point(64, 40),
    Point(128, 50),
    Point(256, 60),
    Point(512, 80),
    Point(512, 160),
]
_COARSE_CODES = [
    Point(8, 80),
    Point(16, 120),
    Point(32, 150),
    Point(64, 300),
    Point(128, 400),
    Point(256, 500),
    Point(512, 800),
    Point(512, 1600),
]

SETUPS = {
    "faiss IVF-PQ d/2 IP": Setup({"divisor": 2, "metric": "inner_product"}, _FINE_CODES, rescored=True),
    "faiss IVF-PQ d/4 IP": Setup({"divisor": 4, "metric": "inner_product"}, _COARSE_CODES, rescored=True),
    # As the factory string gives it: residuals and L2.
    "faiss IVF-PQ d/2 L2": Setup(
        {"divisor": 2, "metric": "l2"},
        [
            Point(8, 20),
            Point(16, 30),
            Point(32, 40),
            Point(64, 60),
            Point(128, 80),
            Point(256, 80),
            Point(512, 120),
        ],
        rescored=True,
    ),
}


def build(vectors: NDArray[np.float16], folder: Path, *, divisor: int, metric: str) -> None:
    dimension = vectors.shape[1]
    lists = lists_for(len(vectors))
    index = faiss.index_factory(
        dimension,
        f"IVF{lists},PQ{dimension // divisor}x4fs",
        faiss.METRIC_INNER_PRODUCT if metric == "inner_product" else faiss.METRIC_L2,
    )
    fill(index, vectors, 50 * lists, folder)


def open_engine(folder: Path) -> Propose:
    index = read(folder)

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        index.nprobe = effort
        rows: NDArray[np.int64] = index.search(queries, count)[1]
        return rows

    return propose
