"""A navigable small-world graph (HNSW, Malkov & Yashunin 2018) over 8-bit codes (faiss): the lowest latency, if RAM allows.

Where the nearest vectors have the best scores, codes lie on one grid and are compared in whole numbers (`byte_grid`); inner
products of vectors of any length are taken of decoded ones. Inserting the vectors of high local intrinsic dimension first
gives better graphs (Elliott & Clark 2024): the order is an option, since it costs a pass over the vectors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...machine import use_huge_pages
from . import Candidates, Footprint, Vectors
from .arrays import damaged, load_array
from .byte_grid import ByteGrid, fit
from .faiss_engine import metric_type, run_search, view
from .intrinsic_dimension import of_rows

Order = Literal["given", "intrinsic_dimension"]

_ORDER_FILE, _GRID_FILE = "order.npy", "grid.npy"
_WIDTH = 16  # codes are as many numbers, or a multiple: faiss compares others one by one
_TRAINING_ROWS = 65_536  # centre and scale, or per-dimension ranges; more rows do not move them
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
    sample = vectors.sample(_TRAINING_ROWS, seed=0)
    grid = fit(sample) if vectors.nearest_are_best else None
    index = _empty_graph(vectors.dimension, links, metric_type(vectors.metric), grid)
    index.hnsw.efConstruction = construction_effort
    index.train(_as_coded(sample, grid))
    del sample
    if order == "given":
        for block in vectors.blocks(_BLOCK_ROWS):
            index.add(_as_coded(block, grid))
    else:
        ordinals = np.argsort(-of_rows(vectors, seed=0), kind="stable")
        for start in range(0, vectors.rows, _ORDERED_BLOCK_ROWS):
            index.add(_as_coded(vectors.take(ordinals[start : start + _ORDERED_BLOCK_ROWS]), grid))
        np.save(folder / _ORDER_FILE, ordinals.astype(np.int32))
    graph, storage = index.hnsw, faiss.downcast_index(index.storage)
    np.save(folder / "codes.npy", view(storage.codes).reshape(vectors.rows, index.d))
    if grid is not None:
        np.save(folder / _GRID_FILE, np.append(grid.centre, np.float32(grid.scale)))
    else:
        np.save(folder / "ranges.npy", view(storage.sq.trained))
    np.save(folder / "levels.npy", view(graph.levels))
    np.save(folder / "links.npy", view(graph.neighbors))
    kind = (links, metric_type(vectors.metric), vectors.dimension, graph.entry_point, graph.max_level)
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
    row_bytes = _width(dimension) + 8 * links + 4 * links / (links - 1) + 12
    ordered = 4 * rows if order == "intrinsic_dimension" else 0
    size = round(rows * row_bytes) + ordered
    sample = 8 * _TRAINING_ROWS * dimension + 8 * _BLOCK_ROWS * dimension
    return Footprint(size, size - 8 * rows + 8 * dimension, 2 * size + sample)  # lists grow by doubling


def open_index(folder: Path) -> HnswIndex:
    return HnswIndex(folder)


class HnswIndex:
    """Graph and codes in RAM."""

    efforts = (16, 32, 64, 128, 256, 512, 1024)

    def __init__(self, folder: Path) -> None:
        loaded = _load_graph(folder)
        self._index, self._grid = loaded.index, loaded.grid
        self._dimension, self._metric = loaded.dimension, loaded.metric
        ordered = (folder / _ORDER_FILE).exists()
        self._order = np.array(load_array(folder / _ORDER_FILE, np.int32, 1)) if ordered else None
        if self._order is not None and not _is_permutation(self._order, self._index.ntotal):
            raise damaged(folder)

    @property
    def shape(self) -> tuple[int, int]:
        return self._index.ntotal, self._dimension

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
        # faiss makes room for so many at once.
        visits = min(max(effort or _DEFAULT_EFFORT, candidates), max(self._index.ntotal, 1))
        queries = _as_coded(queries, self._grid)
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
        found = run_search(self._index, queries, candidates, _parameters(visits))
        if self._grid is None:
            return found
        scores = found.scores  # negative squared distances on the grid
        if self._metric == faiss.METRIC_L2:
            scores *= np.float32(self._grid.scale**-2)
        else:  # of vectors of length one
            scores *= np.float32(0.5 * self._grid.scale**-2)
            scores += np.float32(1)
        return found

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


def _width(dimension: int) -> int:
    """Numbers in a code of a vector."""
    return -(-dimension // _WIDTH) * _WIDTH


def _as_coded(vectors: NDArray[np.float32], grid: ByteGrid | None) -> NDArray[np.float32]:
    """(n, width) of (n, d) vectors: what faiss is given of them, filled up with zeros."""
    numbers = vectors if grid is None else grid.codes(vectors)
    rows, dimension = numbers.shape
    if dimension == _width(dimension):
        return numbers
    filled = np.zeros((rows, _width(dimension)), dtype=np.float32)
    filled[:, :dimension] = numbers
    return filled


def _empty_graph(dimension: int, links: int, metric: int, grid: ByteGrid | None) -> Any:
    quantizer, compared_by = faiss.ScalarQuantizer.QT_8bit, metric
    if grid is not None:
        quantizer, compared_by = faiss.ScalarQuantizer.QT_8bit_direct, faiss.METRIC_L2
    return faiss.IndexHNSWSQ(_width(dimension), quantizer, links, compared_by)


class _Loaded(NamedTuple):
    index: Any
    grid: ByteGrid | None
    dimension: int  # of the vectors
    metric: int  # likewise


def _load_graph(folder: Path) -> _Loaded:
    """The graph, checked so that a search stays inside its arrays: faiss follows links without a look."""
    codes = load_array(folder / "codes.npy", np.uint8, 2)
    levels = load_array(folder / "levels.npy", np.int32, 1)
    neighbours = load_array(folder / "links.npy", np.int32, 1)
    numbers = load_array(folder / "kind.npy", np.int64, 1).tolist()
    if not (
        len(numbers) == 5
        and 2 <= numbers[0] <= 1024
        and numbers[1] in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT)
        and numbers[2] >= 1
        and codes.shape == (len(levels), _width(numbers[2]))
    ):
        raise damaged(folder)
    links, metric, dimension, entry_point, top = numbers
    grid = _load_grid(folder, dimension) if (folder / _GRID_FILE).exists() else None
    index = _empty_graph(dimension, links, metric, grid)
    graph, storage = index.hnsw, faiss.downcast_index(index.storage)
    widths = faiss.vector_to_array(graph.cum_nneighbor_per_level)
    if not _is_sound(levels, neighbours, widths, entry_point, top):
        raise damaged(folder)
    if grid is None:
        ranges = load_array(folder / "ranges.npy", np.float32, 1)
        if len(ranges) != 2 * index.d:
            raise damaged(folder)
        faiss.copy_array_to_vector(np.array(ranges), storage.sq.trained)
    storage.is_trained = index.is_trained = True
    storage.add_sa_codes(codes)
    index.ntotal = len(codes)
    faiss.copy_array_to_vector(np.array(levels), graph.levels)
    faiss.copy_array_to_vector(_offsets(levels, widths).astype(np.uint64), graph.offsets)
    faiss.copy_array_to_vector(neighbours, graph.neighbors)
    graph.entry_point, graph.max_level = entry_point, top
    for array in (view(storage.codes), view(graph.neighbors)):
        use_huge_pages(array)  # a search jumps about in these
    return _Loaded(index, grid, dimension, metric)


def _load_grid(folder: Path, dimension: int) -> ByteGrid:
    numbers = np.array(load_array(folder / _GRID_FILE, np.float32, 1))
    if len(numbers) != dimension + 1 or not (np.isfinite(numbers).all() and numbers[-1] > 0):
        raise damaged(folder)
    return ByteGrid(numbers[:-1], float(numbers[-1]))


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
