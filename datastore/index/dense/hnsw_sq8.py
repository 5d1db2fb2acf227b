"""A navigable small-world graph (HNSW, Malkov & Yashunin 2018) over 8-bit codes (faiss): the lowest latency, if RAM allows.

Inserting the vectors of high local intrinsic dimension first gives better graphs (Elliott & Clark 2024): the order is an
option, since it costs a pass over the vectors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from . import Candidates, Footprint, Vectors
from .arrays import damaged, load_array
from .faiss_engine import metric_type, run_search, view
from .intrinsic_dimension import of_rows

Order = Literal["given", "intrinsic_dimension"]

_ORDER_FILE = "order.npy"
_TRAINING_ROWS = 65_536  # per-dimension ranges; more rows do not move them
_BLOCK_ROWS = 16_384
# faiss shuffles the vectors that it is given at once: blocks are the resolution of an order.
_ORDERED_BLOCK_ROWS = 1_024
_DEFAULT_EFFORT = 64
_MOST_EFFORT = (
    4_096  # a query takes 10 ms; where a mask asks for more, scoring all that it allows is as quick
)


def build(
    vectors: Vectors,
    folder: Path,
    *,
    links: int = 16,
    construction_effort: int = 128,
    order: Order = "given",
) -> None:
    """Write the graph of `vectors`: `links` (M) neighbours a node and level, twice that on the lowest.

    Raises
    ------
    UsageError
        If a node would have fewer than two links.
    """
    if links < 2:
        raise UsageError(f"no graph has {links} links a node", hint="links: 16")
    quantizer = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexHNSWSQ(vectors.dimension, quantizer, links, metric_type(vectors.metric))
    index.hnsw.efConstruction = construction_effort
    index.train(vectors.sample(_TRAINING_ROWS, seed=0))
    if order == "given":
        for block in vectors.blocks(_BLOCK_ROWS):
            index.add(block)
    else:
        ordinals = np.argsort(-of_rows(vectors, seed=0), kind="stable")
        for start in range(0, vectors.rows, _ORDERED_BLOCK_ROWS):
            index.add(vectors.take(ordinals[start : start + _ORDERED_BLOCK_ROWS]))
        np.save(folder / _ORDER_FILE, ordinals.astype(np.int32))
    graph, storage = index.hnsw, faiss.downcast_index(index.storage)
    np.save(folder / "codes.npy", view(storage.codes).reshape(vectors.rows, vectors.dimension))
    np.save(folder / "ranges.npy", view(storage.sq.trained))
    np.save(folder / "levels.npy", view(graph.levels))
    np.save(folder / "links.npy", view(graph.neighbors))
    kind = (links, index.metric_type, graph.entry_point, graph.max_level)
    np.save(folder / "kind.npy", np.array(kind, dtype=np.int64))


def footprint(
    rows: int,
    dimension: int,
    *,
    links: int = 16,
    construction_effort: int = 128,  # noqa: ARG001 (costs time only)
    order: Order = "given",
) -> Footprint:
    # Codes; links of the lowest level, and of the others, which hold 1 / (M - 1) of the nodes; level and offset, the
    # latter not in the files.
    row_bytes = dimension + 8 * links + 4 * links / (links - 1) + 12
    ordered = 4 * rows if order == "intrinsic_dimension" else 0
    size = round(rows * row_bytes) + ordered
    sample = 4 * _TRAINING_ROWS * dimension + 8 * _BLOCK_ROWS * dimension
    return Footprint(size, size - 8 * rows + 8 * dimension, 2 * size + sample)  # lists grow by doubling


def open_index(folder: Path) -> HnswIndex:
    return HnswIndex(folder)


class HnswIndex:
    """Graph and codes in RAM."""

    efforts = (16, 32, 64, 128, 256, 512, 1024)

    def __init__(self, folder: Path) -> None:
        self._index = _load_graph(folder)
        ordered = (folder / _ORDER_FILE).exists()
        self._order = np.array(load_array(folder / _ORDER_FILE, np.int32, 1)) if ordered else None
        if self._order is not None and not _is_permutation(self._order, self._index.ntotal):
            raise damaged(folder)

    @property
    def shape(self) -> tuple[int, int]:
        return self._index.ntotal, self._index.d

    @property
    def ram_bytes(self) -> int:
        graph = self._index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        ordered = 0 if self._order is None else self._order.nbytes
        return int(self._index.ntotal * self._index.d + links + ordered)

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,
    ) -> Candidates:
        """`effort` is the number of nodes whose neighbours are looked at.

        Under a mask as many nodes are looked at as it takes to have `effort` that it allows among them, query by query: a
        filter may hide just what lies around one. A query that would need more than is reasonable gets no candidates.
        """
        visits = max(effort or _DEFAULT_EFFORT, candidates)
        if mask is None:
            return self._in_given_order(self._visit(queries, candidates, visits))
        allowed = int(np.count_nonzero(mask))
        wanted, most = min(visits, allowed), max(_MOST_EFFORT, visits)
        shown = mask if self._order is None else mask[self._order]
        ordinals = np.full((len(queries), candidates), -1, dtype=np.int64)
        scores = np.full((len(queries), candidates), -np.inf, dtype=np.float32)
        left = np.arange(len(queries) if wanted else 0)
        visits = min(visits * len(mask) // max(allowed, 1), most)
        while len(left):
            # Nodes are taken with the mask put on afterwards: those that faiss finds with it may lie beyond the region
            # that was searched, where nearer ones were not seen.
            found = self._visit(queries[left], visits, visits)
            hidden = (found.ordinals < 0) | ~shown[found.ordinals]
            enough = (np.count_nonzero(~hidden, axis=1) >= wanted) | (visits >= len(mask))
            order = np.argsort(hidden[enough], axis=1, kind="stable")[:, :candidates]
            own = np.where(hidden, -1, found.ordinals)[enough]
            width = order.shape[1]
            ordinals[left[enough], :width] = np.take_along_axis(own, order, axis=1)
            scores[left[enough], :width] = np.take_along_axis(found.scores[enough], order, axis=1)
            left = left[~enough]
            if visits == most:
                break
            visits = min(4 * visits, most)
        scores[ordinals < 0] = -np.inf
        return self._in_given_order(Candidates(ordinals, scores))

    def _visit(self, queries: NDArray[np.float32], candidates: int, visits: int) -> Candidates:
        return run_search(self._index, queries, candidates, _parameters(visits))

    def _in_given_order(self, found: Candidates) -> Candidates:
        if self._order is None:
            return found
        return found._replace(
            ordinals=np.where(found.ordinals < 0, -1, self._order[found.ordinals].astype(np.int64))
        )


@cache
def _parameters(visits: int) -> Any:
    # Making one takes faiss 20 us; there are as many as there are efforts.
    return faiss.SearchParametersHNSW(efSearch=visits)


def _is_permutation(order: NDArray[np.int32], rows: int) -> bool:
    return bool(
        order.dtype == np.int32
        and order.shape == (rows,)
        and ((order >= 0) & (order < rows)).all()
        and (np.bincount(order, minlength=rows) == 1).all()
    )


def _load_graph(folder: Path) -> Any:
    """The graph, checked so that a search stays inside its arrays: faiss follows links without a look."""
    codes = load_array(folder / "codes.npy", np.uint8, 2)
    ranges = load_array(folder / "ranges.npy", np.float32, 1)
    levels = load_array(folder / "levels.npy", np.int32, 1)
    neighbours = load_array(folder / "links.npy", np.int32, 1)
    numbers = load_array(folder / "kind.npy", np.int64, 1).tolist()
    rows, dimension = codes.shape
    if not (
        len(numbers) == 4
        and 2 <= numbers[0] <= 1024
        and numbers[1] in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT)
        and dimension >= 1
        and len(ranges) == 2 * dimension
        and len(levels) == rows
    ):
        raise damaged(folder)
    links, metric, entry_point, top = numbers
    index = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_8bit, links, metric)
    graph, storage = index.hnsw, faiss.downcast_index(index.storage)
    widths = faiss.vector_to_array(graph.cum_nneighbor_per_level)
    if not _is_sound(levels, neighbours, widths, entry_point, top):
        raise damaged(folder)
    faiss.copy_array_to_vector(np.array(ranges), storage.sq.trained)
    storage.is_trained = index.is_trained = True
    storage.add_sa_codes(codes)
    index.ntotal = rows
    faiss.copy_array_to_vector(np.array(levels), graph.levels)
    faiss.copy_array_to_vector(_offsets(levels, widths).astype(np.uint64), graph.offsets)
    faiss.copy_array_to_vector(neighbours, graph.neighbors)
    graph.entry_point, graph.max_level = entry_point, top
    return index


def _offsets(levels: NDArray[np.int32], widths: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n + 1,) where the links of each node start."""
    return np.concatenate([[0], np.cumsum(widths[levels], dtype=np.int64)])


def _is_sound(
    levels: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    widths: NDArray[np.int32],
    entry_point: int,
    top: int,
) -> bool:
    """`widths`: links of a node up to each level."""
    rows = len(levels)
    if rows == 0:
        return len(neighbours) == 0 and entry_point == top == -1
    if not (
        levels.min() >= 1
        and levels.max() < len(widths)
        and widths[levels].sum(dtype=np.int64) == len(neighbours)
        and neighbours.min(initial=-1) >= -1
        and neighbours.max(initial=-1) < rows
        and 0 <= entry_point < rows
        and top == levels[entry_point] - 1
    ):
        return False
    offsets = _offsets(levels, widths)
    for level in range(1, top + 1):
        # A link on a level leads to a node that has links there.
        nodes = np.flatnonzero(levels > level)
        places = (offsets[nodes] + widths[level])[:, None] + np.arange(widths[level + 1] - widths[level])
        linked = neighbours[places]
        if (levels[linked[linked >= 0]] <= level).any():
            return False
    return True
