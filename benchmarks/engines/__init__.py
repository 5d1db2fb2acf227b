"""Other people's engines, one file each, with the settings they are measured with.

A file is a module of

    PACKAGES                                    that it imports when it opens an index
    SETUPS                                      name -> Setup: what is built, and the points of its sweep
    build(vectors, folder, **parameters)        writes the index of (n, d) unit vectors into an empty folder
    open_engine(folder) -> Propose              the index in RAM, searching on one thread
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from measure import K, Search
from numpy.typing import NDArray

MODULES = (
    "engines.turbovec_flat",
    "engines.faiss_ivf_pq",
    "engines.faiss_ivf_rabitq",
    "engines.faiss_hnsw",
    "engines.usearch_hnsw",
    "engines.hnswlib_hnsw",
    "engines.lancedb_ivf_pq",
    "engines.diskann_disk",
)

Propose = Callable[[NDArray[np.float32], int, int], NDArray[np.int64]]
"""(m, d) queries, effort, count -> (m, count) rows, best first, -1 where there are fewer."""


class Point(NamedTuple):
    effort: int  # lists probed, or nodes kept while searching; 0 where there is nothing to choose
    candidates: int  # rows that the engine proposes


class Setup(NamedTuple):
    parameters: Mapping[str, Any]
    points: Sequence[Point]
    rescored: bool  # candidates are scored again with exact float16 vectors; else the engine's own ten count


def import_engine(module: str) -> Any:
    """An engine's module with all that it will need imported: what it grows by from here on is the index.

    Raises
    ------
    ImportError
        If a package is not installed.
    """
    engine = import_module(module)
    for package in engine.PACKAGES:
        import_module(package)
    return engine


def blocks(vectors: NDArray[Any], rows_per_block: int = 16_384) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(vectors), rows_per_block):
        yield np.asarray(vectors[start : start + rows_per_block], dtype=np.float32)


def sample(vectors: NDArray[Any], count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).choice(len(vectors), min(count, len(vectors)), replace=False)
    return np.asarray(vectors[np.sort(drawn)], dtype=np.float32)


def lists_for(rows: int) -> int:
    """Inverted lists: 4 √n, as the planner of ours takes."""
    return round(4 * math.sqrt(rows))


def lean_rescoring(propose: Propose, vectors: NDArray[np.float16], point: Point) -> Search:
    """The least that two stages can be: gather the float16 rows, one fused dot product, the ten best."""
    import numkong

    plain = np.asarray(vectors)  # a view of the map: indexing np.memmap itself costs microseconds

    def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
        proposed = propose(queries, *point)
        halves = queries.astype(np.float16)
        found = np.full((len(queries), K), -1, dtype=np.int64)
        for number, candidates in enumerate(proposed):
            rows = candidates if candidates[-1] >= 0 else candidates[candidates >= 0]
            scored = numkong.cdist(halves[number : number + 1], plain.take(rows, axis=0), "dot")
            scores = np.asarray(scored)[0]
            best = np.argpartition(scores, -K)[-K:] if len(rows) > K else np.arange(len(rows))
            best = best[np.argsort(-scores[best])]
            found[number, : len(best)] = rows[best]
        return found

    return search


def searching(propose: Propose, vectors: NDArray[np.float16], setup: Setup, point: Point) -> Search:
    """The whole search of a setup at a point."""
    if setup.rescored:
        return lean_rescoring(propose, vectors, point)
    return lambda queries: propose(queries, point.effort, point.candidates)
