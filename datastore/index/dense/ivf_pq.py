"""Inverted lists of product-quantised residuals (faiss): 4-bit codes scanned in registers, or 8-bit codes.

André et al. 2015 (fast scan), Jégou et al. 2011 (IVF-PQ). Cosine and inner product are scored as inner products: under
L2 a coded vector's length varies although the true one does not, and the tables differ by list, at half the speed.
With 8 bits this is the index of CompactDS (65,536 lists, 64 or 256 subquantizers, 256 probes).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from . import Footprint, Metric, Vectors
from .codebooks import half_of, load_codebooks, train_codebooks
from .faiss_engine import metric_type
from .ivf import IvfIndex
from .ivf_lists import Layout, build_lists, default_lists, lists_footprint


@dataclass(frozen=True)
class PqCodec:
    subquantizers: int
    bits: int

    def __post_init__(self) -> None:
        if self.bits not in {4, 8} or self.subquantizers < 1:
            raise UsageError(
                f"codes of {self.subquantizers} times {self.bits} bits are unknown", hint="bits: 4 or 8"
            )

    def parameters(self) -> dict[str, int]:
        return asdict(self)

    def train(self, residuals: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        return train_codebooks(residuals, self.subquantizers, self.bits, seed=seed)

    def indexes(
        self, router: Any, lists: int, metric: Metric, codebooks: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        if self.bits == 8:
            index = self._empty(faiss.IndexIVFPQ, router, lists, metric, codebooks)
            return index, index
        single = self._empty(faiss.IndexIVFPQFastScan, router, lists, metric, codebooks)
        batch = self._empty(faiss.IndexIVFPQFastScan, router, lists, metric, codebooks)
        # One query goes through its lists best first; a batch goes through the lists, each with all its queries.
        single.implem, batch.implem = 11, 13
        return single, batch

    def _empty(
        self, kind: Any, router: Any, lists: int, metric: Metric, codebooks: NDArray[np.float32]
    ) -> Any:
        own_lists = False
        block = (32,) if self.bits == 4 else ()
        index = kind(
            router, router.d, lists, self.subquantizers, self.bits, metric_type(metric), *block, own_lists
        )
        index.by_residual = True
        load_codebooks(index.pq, codebooks)
        index.is_trained = True
        return index

    def layout(self, dimension: int) -> Layout:  # noqa: ARG002 (a code's size is the number of subquantizers)
        return Layout(32, (self.subquantizers + 1) // 2) if self.bits == 4 else Layout(8, self.subquantizers)

    def table_bytes(self, metric: Metric) -> int:
        return 5 * 16 * self.subquantizers if metric == "l2" and self.bits == 4 else 0


def build(
    vectors: Vectors,
    folder: Path,
    *,
    lists: int | None = None,
    subquantizers: int | None = None,
    bits: int = 4,
    seed: int = 0,
) -> None:
    """`lists` defaults to 4 √rows, `subquantizers` to half the dimension."""
    codec = _codec(vectors.dimension, subquantizers, bits)
    build_lists(vectors, folder, codec, lists=lists or default_lists(vectors.rows), seed=seed)


def footprint(
    rows: int,
    dimension: int,
    *,
    lists: int | None = None,
    subquantizers: int | None = None,
    bits: int = 4,
    seed: int = 0,  # noqa: ARG001 (the parameters of `build`)
) -> Footprint:
    codec = _codec(dimension, subquantizers, bits)
    return lists_footprint(
        rows, dimension, codec, lists=lists or default_lists(rows), codebook_bytes=4 * dimension * 2**bits
    )


def open_index(folder: Path) -> IvfIndex:
    return IvfIndex(folder, PqCodec)


def _codec(dimension: int, subquantizers: int | None, bits: int) -> PqCodec:
    codec = PqCodec(half_of(dimension) if subquantizers is None else subquantizers, bits)
    if dimension % codec.subquantizers:
        raise UsageError(
            f"{subquantizers} subquantizers do not divide {dimension} dimensions",
            hint=f"subquantizers: {half_of(dimension)}",
        )
    return codec
