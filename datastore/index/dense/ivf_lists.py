"""Inverted lists on disk: how a family codes what is in them, how they are written, and what they will take."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Footprint, Metric, Vectors
from .codebooks import half_of, train_codebooks
from .kmeans import nearest, sample_rows, train_centroids
from .list_router import ListRouter, router_bytes
from .vectors import ScaledVectors

LIST_BYTES = 24 + 160  # of faiss' record of a list, and of our view of its ordinals
_CODEC_ROWS = 16_384  # that codebooks are trained on
_LARGEST = 1024.0  # number in a centroid: float16 ends at 65,504, and has few digits below .00006
SCALES = (2.0**-60, 2.0**60)  # of vectors before they are coded; float32 holds their squares

Coder = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.uint8]]
"""(n, d) rows and the (n,) lists they are in -> (n, code bytes)."""


class Layout(NamedTuple):
    """A list in memory: whole blocks of `rows` codes of `stride` bytes, then ordinals; both begin at multiples of 8.

    The ordinals are padded to 32 bytes: the scan of 4-bit codes wants each list to begin there.
    """

    rows: int
    stride: int

    def code_bytes(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return -(-sizes // self.rows) * self.rows * self.stride

    def ordinal_bytes(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return -(-sizes // 4) * 32


class Codec(Protocol):
    """How the vectors of a list are coded; one a family."""

    def parameters(self) -> Mapping[str, int]:
        """What makes this codec again."""

    def train(
        self, rows: NDArray[np.float32], centroids: NDArray[np.float32], seed: int
    ) -> NDArray[np.float32]:
        """Codebooks from (n, d) rows and the centroids of their lists; empty where there is nothing to learn."""

    def indexes(
        self, router: Any, lists: int, metric: Metric, codebooks: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        """Two faiss.IndexIVF without lists: for one query, and for a batch."""

    def coder(self, index: Any, rows: NDArray[np.float32]) -> Coder:
        """How an index of `indexes` codes vectors like the (n, d) rows."""

    def layout(self, dimension: int) -> Layout: ...

    def table_bytes(self, metric: Metric) -> int:
        """Look-up tables for one list of one query; 0 where all lists of a query share them."""


def default_lists(rows: int) -> int:
    """4 √rows, but no list for less than eight rows: coverage depends on the lists probed more than on their size."""
    return max(1, min(round(4 * math.sqrt(rows)), rows // 8))


def build_lists(vectors: Vectors, folder: Path, codec: Codec, *, lists: int, seed: int) -> None:
    """Write the index of `vectors` with `codec`; the vectors are sampled twice and read once."""
    lists = min(lists, vectors.rows)
    trained = train_centroids(vectors, lists, seed=seed)
    scale = 1.0 if vectors.metric == "cosine" else _scale(trained)
    if scale != 1:
        vectors = ScaledVectors(vectors, scale)
    halves = (trained * np.float32(scale)).astype(np.float16)
    centroids = halves.astype(np.float32)
    rows = vectors.sample(_CODEC_ROWS, seed)
    codebooks = codec.train(rows, centroids[nearest(rows, centroids, vectors.metric)], seed)
    router_codebooks = train_codebooks(centroids, half_of(vectors.dimension), 4, seed=seed)
    router = ListRouter(halves, router_codebooks, vectors.metric)
    encoder, _ = codec.indexes(router.index, lists, vectors.metric, codebooks)
    code = codec.coder(encoder, rows)

    codes = np.empty((vectors.rows, encoder.code_size), dtype=np.uint8)
    numbers = np.empty(vectors.rows, dtype=np.int32)
    start = 0
    for block in vectors.blocks():
        stop = start + len(block)
        assigned = nearest(block, centroids, vectors.metric)
        codes[start:stop] = code(block, assigned)
        numbers[start:stop] = assigned
        start = stop
    sizes = np.bincount(numbers, minlength=lists)
    order = np.argsort(numbers, kind="stable")
    layout = codec.layout(vectors.dimension)
    _write_lists(folder / "lists.bin", codes, order, sizes, encoder.get_CodePacker(), layout)
    np.save(folder / "centroids.npy", halves)
    np.save(folder / "router.npy", router_codebooks)
    np.save(folder / "codebooks.npy", codebooks)
    np.save(folder / "sizes.npy", sizes)
    header = {"metric": vectors.metric, "scale": scale, "codec": dict(codec.parameters())}
    (folder / "ivf.json").write_text(json.dumps(header))


def _scale(centroids: NDArray[np.float32]) -> float:
    """The power of two that brings the largest number of centroids to `_LARGEST` or just below, as far as `SCALES` go."""
    largest = float(np.abs(centroids).max())
    return 1.0 if largest == 0 else float(np.clip(2.0 ** math.floor(math.log2(_LARGEST / largest)), *SCALES))


def codes_of(index: Any) -> Coder:
    """Vectors as faiss codes them: as residuals, unless an index takes none."""

    def code(rows: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        codes = np.empty((len(rows), index.code_size), dtype=np.uint8)
        index.encode_vectors(len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(numbers), faiss.swig_ptr(codes))
        return codes

    return code


def _write_lists(
    path: Path,
    codes: NDArray[np.uint8],
    order: NDArray[np.int64],
    sizes: NDArray[np.int64],
    packer: Any,
    layout: Layout,
) -> None:
    with path.open("wb") as file:
        for ordinals in np.split(order, np.cumsum(sizes)[:-1]):
            packed = np.zeros((-(-len(ordinals) // layout.rows) * layout.rows, layout.stride), dtype=np.uint8)
            flat = np.zeros((len(packed), codes.shape[1]), dtype=np.uint8)
            flat[: len(ordinals)] = codes[ordinals]
            for start in range(0, len(flat), packer.nvec):
                packer.pack_all(faiss.swig_ptr(flat[start:]), faiss.swig_ptr(packed[start:]))
            file.write(packed.data)
            file.write(np.pad(ordinals, (0, -len(ordinals) % 4)).data)


def lists_footprint(rows: int, dimension: int, codec: Codec, *, lists: int, codebook_bytes: int) -> Footprint:
    """What `build_lists` will write, and what `IvfIndex` will hold."""
    lists = min(lists, rows)
    layout = codec.layout(dimension)
    # The last block of a list is half empty on average; a list has one.
    slots = max(rows + lists * (layout.rows - 1) / 2, lists * layout.rows)
    inside = round(slots * layout.stride) + 8 * rows + 12 * lists
    router_codebook = 4 * 16 * dimension
    files = inside + lists * (2 * dimension + 8) + codebook_bytes + router_codebook
    ram = inside + router_bytes(lists, dimension)
    ram += lists * LIST_BYTES + 2 * codebook_bytes + router_codebook
    sample = 4 * dimension * sample_rows(rows, dimension, lists)
    # The sample while lists are learnt, codes and list numbers afterwards; 200 MiB of products beside them.
    return Footprint(ram, files, max(sample, rows * (layout.stride + 20)) + 200 * 2**20)
