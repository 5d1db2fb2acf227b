"""usearch: HNSW over 8-bit integers and over bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, blocks

PACKAGES = ("usearch.index",)

SETUPS = {
    "usearch i8": Setup(
        {"dtype": "i8"},
        [Point(16, 15), Point(32, 15), Point(64, 15), Point(128, 20), Point(256, 30), Point(512, 40)],
        rescored=True,
    ),
    "usearch bf16": Setup(
        {"dtype": "bf16"},
        [Point(16, 12), Point(32, 12), Point(64, 12), Point(128, 12), Point(256, 15), Point(512, 15)],
        rescored=True,
    ),
}


def build(
    vectors: NDArray[np.float16], folder: Path, *, dtype: str, links: int = 16, construction: int = 80
) -> None:
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="ip", dtype=dtype, connectivity=links, expansion_add=construction
    )
    start = 0
    for block in blocks(vectors):
        index.add(np.arange(start, start + len(block)), block)
        start += len(block)
    index.save(str(folder / "index.usearch"))


def open_engine(folder: Path) -> Propose:
    from usearch.index import Index

    index: Any = Index.restore(str(folder / "index.usearch"))

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        index.expansion_search = effort
        found = index.search(queries, count, threads=1)
        return np.asarray(found.keys, dtype=np.int64).reshape(len(queries), count)

    return propose
