"""faiss: inverted lists over one-bit RaBitQ codes of randomly rotated vectors."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, lists_for
from .faiss_files import fill, read

PACKAGES = ("faiss",)

SETUPS = {
    "faiss IVF-RaBitQ 1 bit": Setup(
        {},
        [
            Point(8, 40),
            Point(16, 60),
            Point(32, 60),
            Point(64, 100),
            Point(128, 150),
            Point(256, 200),
            Point(512, 400),
        ],
        rescored=True,
    )
}

_QUERY_BITS = 8


def build(vectors: NDArray[np.float16], folder: Path) -> None:
    dimension = vectors.shape[1]
    lists = lists_for(len(vectors))
    index = faiss.index_factory(dimension, f"RR{dimension},IVF{lists},RaBitQ", faiss.METRIC_INNER_PRODUCT)
    fill(index, vectors, 50 * lists, folder)


def open_engine(folder: Path) -> Propose:
    index = read(folder)

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        inner = faiss.IVFRaBitQSearchParameters(nprobe=effort, qb=_QUERY_BITS, centered=False)
        rows: NDArray[np.int64] = index.search(
            queries, count, params=faiss.SearchParametersPreTransform(index_params=inner)
        )[1]
        return rows

    return propose
