"""What inverted-file indexes share: lists in one block of memory, the choice of lists, masks.

A family gives a codec: an empty faiss index that encodes and scans. The lists are ours: one file in the layout that
faiss scans (packed codes, then ordinals, list by list), read into one allocation of exactly that size. faiss' own lists
round every allocation up to a power of two, which costs a third more memory, and its files are not safe to open.

The lists of a query are chosen over compressed centroids: a scan of 4-bit codes proposes three times as many as are
probed, float16 decides. That takes a quarter of the time of faiss' scan of float32 centroids, so that more and
shorter lists pay.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError
from . import Candidates, Footprint, Metric, Vectors
from .kmeans import nearest, sample_rows, train_centroids

# The threads of faiss' OpenMP do not survive a fork, and a child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))

_ROUTER_FACTOR = 3  # proposals for each list that is probed: .999 of the best lists are among them
_DEFAULT_EFFORT = 64
_CODEC_ROWS = 16_384  # residuals that codebooks are trained on
_TABLE_BYTES = 2**26  # of look-up tables in one call of faiss


class Codec(Protocol):
    """How residuals (vector minus centroid) are coded; one a family."""

    def parameters(self) -> Mapping[str, int]:
        """What makes this codec again."""

    def train(self, residuals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codebooks, or an empty array where there is nothing to learn."""

    def indexes(
        self, router: Any, lists: int, metric: Metric, codebooks: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        """Two faiss.IndexIVF without lists: for one query, and for a batch."""

    def layout(self, dimension: int) -> Layout: ...

    def table_bytes(self, metric: Metric) -> int:
        """Of look-up tables for one list of one query; 0 where all lists share them."""


class Layout(NamedTuple):
    """The codes of a list take whole blocks of `rows` codes, `stride` bytes each, so that ordinals are aligned."""

    rows: int
    stride: int

    def capacity(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return -(-sizes // self.rows) * self.rows

    def bytes(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.capacity(sizes) * self.stride + 8 * sizes


def faiss_metric(metric: Metric) -> int:
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def default_lists(rows: int) -> int:
    """4 √rows, but no list for less than eight rows: coverage depends on the lists probed more than on their size."""
    return max(1, min(round(4 * rows**0.5), rows // 8))


def half_of(dimension: int) -> int:
    """Subquantizers of two dimensions each, or of one where the dimension is odd."""
    return dimension if dimension % 2 else dimension // 2


def train_codebooks(rows: NDArray[np.float32], subquantizers: int, bits: int) -> NDArray[np.float32]:
    """(subquantizers, 2^bits, d / subquantizers): centroids of product quantisation (Jégou et al. 2011)."""
    quantizer = faiss.ProductQuantizer(rows.shape[1], subquantizers, bits)
    quantizer.cp.min_points_per_centroid = 1
    quantizer.cp.niter = 12
    # k-means wants as many points as centroids: a tiny set repeats its own.
    quantizer.train(np.resize(rows, (max(len(rows), quantizer.ksub), rows.shape[1])))
    codebooks: NDArray[np.float32] = faiss.vector_to_array(quantizer.centroids)
    return codebooks.reshape(subquantizers, quantizer.ksub, -1)


def load_codebooks(quantizer: Any, codebooks: NDArray[np.float32]) -> None:
    """Give a faiss.ProductQuantizer its centroids."""
    shape = (quantizer.M, quantizer.ksub, quantizer.dsub)
    if codebooks.shape != shape or codebooks.dtype != np.float32:
        raise ValueError(f"expected codebooks {shape} float32, got {codebooks.shape} {codebooks.dtype}")
    faiss.copy_array_to_vector(codebooks.ravel(), quantizer.centroids)


def build_lists(vectors: Vectors, folder: Path, codec: Codec, *, lists: int, seed: int) -> None:
    """Write the index of `vectors` with `codec`; the vectors are sampled twice and read once."""
    lists = min(lists, vectors.rows)
    halves = train_centroids(vectors, lists, seed=seed).astype(np.float16)
    centroids = halves.astype(np.float32)
    rows = vectors.sample(_CODEC_ROWS, seed)
    codebooks = codec.train(rows - centroids[nearest(rows, centroids, vectors.metric)])
    router_codebooks = train_codebooks(centroids, half_of(vectors.dimension), 4)
    router = _Router(halves, router_codebooks, vectors.metric)
    encoder, _ = codec.indexes(router.index, lists, vectors.metric, codebooks)

    codes = np.empty((vectors.rows, encoder.code_size), dtype=np.uint8)
    numbers = np.empty(vectors.rows, dtype=np.int32)
    start = 0
    for block in vectors.blocks():
        stop = start + len(block)
        assigned = nearest(block, centroids, vectors.metric)
        encoder.encode_vectors(
            len(block), faiss.swig_ptr(block), faiss.swig_ptr(assigned), faiss.swig_ptr(codes[start:stop])
        )
        numbers[start:stop] = assigned
        start = stop
    sizes = np.bincount(numbers, minlength=lists)
    _write_lists(folder / "lists.bin", codes, np.argsort(numbers, kind="stable"), sizes, encoder)
    np.save(folder / "centroids.npy", halves)
    np.save(folder / "router.npy", router_codebooks)
    np.save(folder / "codebooks.npy", codebooks)
    np.save(folder / "sizes.npy", sizes)
    header = {"metric": vectors.metric, "codec": dict(codec.parameters())}
    (folder / "ivf.json").write_text(json.dumps(header))


def _write_lists(
    path: Path, codes: NDArray[np.uint8], order: NDArray[np.int64], sizes: NDArray[np.int64], encoder: Any
) -> None:
    packer = encoder.get_CodePacker()
    layout = _layout(packer)
    with path.open("wb") as file:
        for ordinals in np.split(order, np.cumsum(sizes)[:-1]):
            flat = np.zeros((layout.capacity(np.array(len(ordinals))), codes.shape[1]), dtype=np.uint8)
            flat[: len(ordinals)] = codes[ordinals]
            packed = np.zeros((len(flat), layout.stride), dtype=np.uint8)
            for start in range(0, len(flat), packer.nvec):
                packer.pack_all(faiss.swig_ptr(flat[start:]), faiss.swig_ptr(packed[start:]))
            file.write(packed)
            file.write(ordinals)


def _layout(packer: Any) -> Layout:
    return Layout(max(8, packer.nvec), packer.block_size // packer.nvec)


def lists_footprint(rows: int, dimension: int, codec: Codec, *, lists: int) -> Footprint:
    lists = min(lists, rows)
    layout = codec.layout(dimension)
    # The last block of a list is half empty on average.
    inside = int((rows + lists * (layout.rows - 1) / 2) * layout.stride) + 8 * rows
    codebooks = 16 * 4 * dimension + len(codec.parameters()) * 0
    files = inside + lists * (2 * dimension + 8) + codebooks
    return Footprint(files, files, 0)
