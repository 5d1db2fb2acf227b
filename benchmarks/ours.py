"""Our own index families, measured as the engines of `engines` are, but through an open store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from engines import Point, Propose, Setup
from measure import K, Search
from numpy.typing import NDArray

from datastore import Datastore
from datastore.index.config import IndexConfig
from datastore.index.dense import FAMILIES, DenseIndex, open_index
from datastore.manifest import read_manifest
from datastore.text import words

MODULE = __name__
PACKAGES = ("turbovec", *(f"datastore.index.dense.{family}" for family in FAMILIES))

_TWO_THIRDS = {"kind": "pca", "dimension": 256}
_FIVE_SIXTHS = {"kind": "pca", "dimension": 320}

SETUPS = {
    "Compendia flat": Setup(
        {"family": "flat", "bits": 4}, [Point(0, count) for count in (10, 12, 15, 20, 30, 40)], rescored=True
    ),
    "Compendia flat 2 bit": Setup(
        {"family": "flat", "bits": 2}, [Point(0, count) for count in (15, 20, 30, 40, 60, 100)], rescored=True
    ),
    "Compendia flat, PCA 5/6": Setup(
        {"family": "flat", "bits": 4, "reduction": _FIVE_SIXTHS},
        [Point(0, count) for count in (12, 15, 20, 25, 30, 40)],
        rescored=True,
    ),
    "Compendia flat, PCA 2/3": Setup(
        {"family": "flat", "bits": 4, "reduction": _TWO_THIRDS},
        [Point(0, count) for count in (15, 20, 25, 30, 40, 60)],
        rescored=True,
    ),
    "Compendia flat 2 bit, PCA 2/3": Setup(
        {"family": "flat", "bits": 2, "reduction": _TWO_THIRDS},
        [Point(0, count) for count in (20, 30, 40, 60, 80, 100, 150)],
        rescored=True,
    ),
    "Compendia ivf_pq d/2": Setup(
        {"family": "ivf_pq"},
        [
            Point(8, 15),
            Point(16, 20),
            Point(32, 20),
            Point(64, 30),
            Point(96, 30),
            Point(128, 40),
            Point(256, 40),
            Point(384, 50),
            Point(512, 60),
            Point(512, 100),
        ],
        rescored=True,
    ),
    "Compendia ivf_pq d/4": Setup(
        {"family": "ivf_pq", "subquantizers": 96},
        [
            Point(8, 40),
            Point(16, 60),
            Point(32, 80),
            Point(64, 120),
            Point(96, 150),
            Point(128, 150),
            Point(256, 200),
            Point(384, 300),
            Point(512, 300),
            Point(512, 600),
        ],
        rescored=True,
    ),
    "Compendia ivf_rabitq 1 bit": Setup(
        {"family": "ivf_rabitq", "bits": 1},
        [
            Point(8, 40),
            Point(16, 60),
            Point(32, 60),
            Point(64, 150),
            Point(128, 200),
            Point(256, 300),
            Point(512, 400),
        ],
        rescored=True,
    ),
    "Compendia ivf_rabitq 3 bit": Setup(
        {"family": "ivf_rabitq", "bits": 3},
        [
            Point(8, 15),
            Point(16, 15),
            Point(32, 15),
            Point(64, 20),
            Point(128, 20),
            Point(256, 30),
            Point(512, 40),
        ],
        rescored=True,
    ),
    "Compendia hnsw_sq8": Setup(
        {"family": "hnsw_sq8"},
        [Point(16, 12), Point(32, 12), Point(64, 12), Point(128, 15), Point(256, 15), Point(512, 20)],
        rescored=True,
    ),
    "Compendia hnsw_sq8, PCA 5/6": Setup(
        {"family": "hnsw_sq8", "reduction": _FIVE_SIXTHS},
        [Point(16, 12), Point(32, 12), Point(64, 13), Point(128, 16), Point(256, 16), Point(512, 24)],
        rescored=True,
    ),
    "Compendia hnsw_sq8, PCA 2/3": Setup(
        {"family": "hnsw_sq8", "reduction": _TWO_THIRDS},
        [Point(16, 12), Point(32, 12), Point(64, 15), Point(128, 20), Point(256, 20), Point(512, 30)],
        rescored=True,
    ),
}


class MadeUpTexts(Sequence[str]):
    """Passages of 60-280 words, about 1 kB, of this library's own vocabulary; each made when it is asked for."""

    def __init__(self, count: int) -> None:
        vocabulary = words(Path(np.__file__).with_name("__init__.py").read_text(encoding="utf-8"))
        self._vocabulary = [word for word in dict.fromkeys(vocabulary) if word.isalpha()]
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(self._count))]
        if not 0 <= row < self._count:
            raise IndexError(row)
        drawn = random.Random(row)
        return " ".join(drawn.choices(self._vocabulary, k=drawn.randint(60, 280)))


def build(
    vectors: NDArray[np.float16], folder: Path, *, family: str, texts: bool = False, **parameters: Any
) -> None:
    """A store of these vectors in `folder`/store, with one index of a family; `texts`: with made-up passages."""
    rows, dimension = vectors.shape
    config = IndexConfig.model_validate({"family": family, "parameters": parameters})
    with Datastore.create(folder / "store", dimension=dimension, metric="cosine", index=config) as store:
        store.add(
            vectors=vectors,
            ids=[str(row) for row in range(rows)],
            texts=MadeUpTexts(rows) if texts else None,
            metadata=[{"year": 1900 + row % 120, "topic": f"topic {row % 50}"} for row in range(rows)]
            if texts
            else None,
        )


def open_store(folder: Path) -> Datastore:
    return Datastore.open(folder / "store")


def open_dense_index(folder: Path) -> DenseIndex:
    """The one index of the store of `build`, alone."""
    (entry,) = read_manifest(folder / "store").indexes
    return open_index(entry.family, folder / "store" / "indexes" / entry.id)


def propose_from(index: DenseIndex) -> Propose:
    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        return index.search(queries, count, effort=effort or None).ordinals

    return propose


def open_engine(folder: Path) -> Propose:
    """The index alone."""
    return propose_from(open_dense_index(folder))


def store_search(store: Datastore, point: Point) -> Search:
    """The whole search, as an application asks for it."""

    def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        return store.search(queries, k=K, candidates=point.candidates, effort=point.effort or None).rows

    return search
