"""Inverted lists of RaBitQ codes (faiss): 1 to 4 bits a dimension, nothing to train but the lists.

Gao and Long 2024 (1 bit), Gao et al. 2025 (more). The least memory at a given recall; few candidates at 3 or 4 bits,
for stores whose exact vectors do not fit the page cache. No random rotation: it adds about half a
point of recall before rescoring on text embeddings.
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
from .faiss_engine import metric_type
from .ivf import IvfIndex
from .ivf_lists import Coder, Layout, build_lists, codes_of, default_lists, lists_footprint

_QUERY_BITS = 8


@dataclass(frozen=True)
class RabitqCodec:
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 4:
            raise UsageError(f"RaBitQ codes of {self.bits} bits are not made here", hint="bits: 1 to 4")

    def parameters(self) -> dict[str, int]:
        return asdict(self)

    def train(
        self,
        rows: NDArray[np.float32],  # noqa: ARG002 (codes need no codebook)
        centroids: NDArray[np.float32],  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        return np.empty(0, dtype=np.float32)

    def coder(self, index: Any, rows: NDArray[np.float32]) -> Coder:  # noqa: ARG002 (all are coded alike)
        return codes_of(index)

    def indexes(
        self,
        router: Any,
        lists: int,
        metric: Metric,
        codebooks: NDArray[np.float32],  # noqa: ARG002 (there are none)
    ) -> tuple[Any, Any]:
        own_lists = False
        index = faiss.IndexIVFRaBitQ(router, router.d, lists, metric_type(metric), own_lists, self.bits)
        index.qb = _QUERY_BITS
        index.is_trained = True
        return index, index

    def layout(self, dimension: int) -> Layout:
        # One bit: the code and two floats. More: bits by plane, and five floats.
        plane = -(-dimension // 8)
        if self.bits == 1:
            return Layout(8, plane + 8)
        return Layout(8, plane + 12 + -(-dimension * (self.bits - 1) // 8) + 8)

    def table_bytes(self, metric: Metric) -> int:  # noqa: ARG002 (there are no tables)
        return 0


def build(vectors: Vectors, folder: Path, *, bits: int = 3, lists: int | None = None, seed: int = 0) -> None:
    """`lists` defaults to 4 √rows."""
    build_lists(vectors, folder, RabitqCodec(bits), lists=lists or default_lists(vectors.rows), seed=seed)


def footprint(
    rows: int,
    dimension: int,
    *,
    bits: int = 3,
    lists: int | None = None,
    seed: int = 0,  # noqa: ARG001 (the parameters of `build`)
) -> Footprint:
    return lists_footprint(
        rows, dimension, RabitqCodec(bits), lists=lists or default_lists(rows), codebook_bytes=0
    )


def open_index(folder: Path) -> IvfIndex:
    return IvfIndex(folder, RabitqCodec)
