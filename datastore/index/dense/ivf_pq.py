"""Inverted lists of product-quantised vectors (faiss): 4-bit codes scanned in registers, or 8-bit codes.

André et al. 2015 (fast scan), Jégou et al. 2011 (IVF-PQ). Cosine and inner product are scored as inner products, of codes
of the vectors themselves (`score_aware`): residuals are smaller, but how much of its length the code of one keeps differs
so much from list to list that an inner product needs up to three times as many candidates. L2 codes residuals.
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
from .ivf_lists import Coder, Layout, build_lists, codes_of, default_lists, lists_footprint
from .score_aware import score_aware_codes, share_kept


@dataclass(frozen=True)
class PqCodec:
    subquantizers: int
    bits: int
    residual: bool = True  # codes are of the difference to the list's centroid

    def __post_init__(self) -> None:
        if self.bits not in {4, 8} or self.subquantizers < 1:
            raise UsageError(
                f"codes of {self.subquantizers} times {self.bits} bits are unknown", hint="bits: 4 or 8"
            )

    def parameters(self) -> dict[str, int]:
        return asdict(self)

    def train(
        self, rows: NDArray[np.float32], centroids: NDArray[np.float32], seed: int
    ) -> NDArray[np.float32]:
        coded = rows - centroids if self.residual else rows
        codebooks = train_codebooks(coded, self.subquantizers, self.bits, seed=seed)
        # Where there are as many lists as different vectors; faiss divides by the span of a query's table.
        if not codebooks.any():
            codebooks[0, -1, 0] = 1
        return codebooks

    def coder(self, index: Any, rows: NDArray[np.float32]) -> Coder:
        if self.residual:
            return codes_of(index)
        share = share_kept(index.pq, rows)
        return lambda block, _: score_aware_codes(index.pq, block, share)

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
        index.by_residual = self.residual
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
    codec = _codec(vectors.dimension, vectors.metric, subquantizers, bits)
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
    codec = _codec(dimension, "cosine", subquantizers, bits)  # codes are as long for any metric
    return lists_footprint(
        rows, dimension, codec, lists=lists or default_lists(rows), codebook_bytes=4 * dimension * 2**bits
    )


def open_index(folder: Path) -> IvfIndex:
    return IvfIndex(folder, PqCodec)


def _codec(dimension: int, metric: Metric, subquantizers: int | None, bits: int) -> PqCodec:
    subquantizers = half_of(dimension) if subquantizers is None else subquantizers
    codec = PqCodec(subquantizers, bits, residual=metric == "l2")
    if dimension % codec.subquantizers:
        raise UsageError(
            f"{subquantizers} subquantizers do not divide {dimension} dimensions",
            hint=f"subquantizers: {half_of(dimension)}",
        )
    return codec
