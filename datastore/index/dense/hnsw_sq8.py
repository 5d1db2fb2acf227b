"""A navigable small-world graph (HNSW, Malkov & Yashunin 2018) over 8-bit codes (faiss): the lowest latency, if RAM allows.

Inserting the vectors of high local intrinsic dimension first gives better graphs (Elliott & Clark 2024): the order is an
option, since it costs a pass over the vectors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Candidates, Footprint, Vectors
from .faiss_engine import damaged, metric_type, read_index, run_search, selector
from .flat import is_sound_quantizer
from .intrinsic_dimension import of_rows

Order = Literal["given", "intrinsic_dimension"]

_FILE = "graph.faiss"
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
    construction_effort: int = 80,
    order: Order = "given",
) -> None:
    """Write the graph of `vectors`: `links` (M) neighbours a node and level, twice that on the lowest."""
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
    faiss.write_index(index, str(folder / _FILE))


def footprint(
    rows: int,
    dimension: int,
    *,
    links: int = 16,
    construction_effort: int = 80,  # noqa: ARG001 (costs time only)
    order: Order = "given",
) -> Footprint:
    # Codes; links of the lowest level, and of the others, which hold 1 / (M - 1) of the nodes; level and offset.
    row_bytes = dimension + 8 * links + 4 * links / (links - 1) + 12
    ordered = 4 * rows if order == "intrinsic_dimension" else 0
    size = round(rows * row_bytes) + ordered
    sample = 4 * _TRAINING_ROWS * dimension + 8 * _BLOCK_ROWS * dimension
    return Footprint(size, size + 8 * dimension, 2 * size + sample)  # lists grow by doubling


def open_index(folder: Path) -> HnswIndex:
    return HnswIndex(folder)


class HnswIndex:
    """Graph and codes in RAM."""

    efforts = (16, 32, 64, 128, 256, 512, 1024)

    def __init__(self, folder: Path) -> None:
        self._index = read_index(folder / _FILE)
        self._order = _read_order(folder)
        if not _is_sound(self._index) or (
            self._order is not None and not _is_permutation(self._order, self._index.ntotal)
        ):
            raise damaged(folder)

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
        """`effort` is the number of nodes whose neighbours are looked at, raised as much as a mask hides nodes.

        A mask that would raise it beyond reason gets no candidates at all.
        """
        visits = max(effort or _DEFAULT_EFFORT, candidates)
        if mask is not None:
            visits = min(visits * len(mask) // max(int(np.count_nonzero(mask)), 1), max(visits, len(mask)))
            if visits > max(_MOST_EFFORT, effort or 0, candidates):
                return _nothing(len(queries), candidates)
            if self._order is not None:
                mask = mask[self._order]
        parameters = faiss.SearchParametersHNSW(efSearch=visits, sel=selector(mask))
        found = run_search(self._index, queries, candidates, parameters)
        if self._order is None:
            return found
        return found._replace(
            ordinals=np.where(found.ordinals < 0, -1, self._order[found.ordinals].astype(np.int64))
        )


def _nothing(queries: int, candidates: int) -> Candidates:
    return Candidates(
        np.full((queries, candidates), -1, dtype=np.int64),
        np.full((queries, candidates), -np.inf, dtype=np.float32),
    )


def _read_order(folder: Path) -> NDArray[np.int32] | None:
    if not (folder / _ORDER_FILE).exists():
        return None
    try:
        order: NDArray[np.int32] = np.load(folder / _ORDER_FILE, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise damaged(folder) from error
    return order


def _is_permutation(order: NDArray[np.int32], rows: int) -> bool:
    return bool(
        order.dtype == np.int32
        and order.shape == (rows,)
        and ((order >= 0) & (order < rows)).all()
        and (np.bincount(order, minlength=rows) == 1).all()
    )


def _is_sound(index: Any) -> bool:
    """Whether a search stays inside the arrays that were read: faiss follows links without a check."""
    if not isinstance(index, faiss.IndexHNSWSQ):
        return False
    rows, graph, storage = index.ntotal, index.hnsw, faiss.downcast_index(index.storage)
    if not (
        index.metric_type in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT)
        and isinstance(storage, faiss.IndexScalarQuantizer)
        and (storage.d, storage.ntotal, storage.metric_type) == (index.d, rows, index.metric_type)
        and is_sound_quantizer(storage)
        and storage.codes.size() == rows * storage.code_size
        and graph.levels.size() == rows
        and graph.offsets.size() == rows + 1
        and graph.cum_nneighbor_per_level.size() > 1
    ):
        return False
    if rows == 0:
        return bool(graph.neighbors.size() == 0 and graph.entry_point == -1)
    levels, neighbours = _view(graph.levels), _view(graph.neighbors)
    offsets = _view(graph.offsets).astype(np.int64)
    widths = faiss.vector_to_array(graph.cum_nneighbor_per_level)
    if not (
        widths[0] == 0
        and (np.diff(widths) >= 0).all()
        and levels.min() >= 1
        and levels.max() < len(widths)
        and offsets[0] == 0
        and (np.diff(offsets) == widths[levels]).all()
        and offsets[-1] == len(neighbours)
        and neighbours.min(initial=-1) >= -1
        and neighbours.max(initial=-1) < rows
        and 0 <= graph.entry_point < rows
        and graph.max_level == levels[graph.entry_point] - 1
    ):
        return False
    for level in range(1, graph.max_level + 1):
        nodes = np.flatnonzero(levels > level)
        linked = neighbours[
            (offsets[nodes] + widths[level])[:, None] + np.arange(widths[level + 1] - widths[level])
        ]
        if (levels[linked[linked >= 0]] <= level).any():
            return False
    return True


def _view(vector: Any) -> NDArray[Any]:
    """The numbers of a faiss vector without a copy; valid as long as the index lives."""
    view: NDArray[Any] = faiss.rev_swig_ptr(vector.data(), vector.size())
    return view
