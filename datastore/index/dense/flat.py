"""Exhaustive scan of scalar-quantised codes (faiss): no training to speak of, no lost coverage, takes a mask."""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError
from . import Candidates, Footprint, Vectors

# The threads of faiss' OpenMP do not survive a fork, and a child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))

_FILE = "codes.faiss"
_TRAINING_ROWS = 65_536  # per-dimension ranges; more rows do not move them


def build(vectors: Vectors, folder: Path, *, bits: int) -> None:
    """Write the codes of `vectors`, `bits` (4 or 8) bits a dimension."""
    quantizer = {4: faiss.ScalarQuantizer.QT_4bit, 8: faiss.ScalarQuantizer.QT_8bit}[bits]
    metric = faiss.METRIC_L2 if vectors.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexScalarQuantizer(vectors.dimension, quantizer, metric)
    index.train(vectors.sample(_TRAINING_ROWS, seed=0))
    for block in vectors.blocks():
        index.add(block)
    faiss.write_index(index, str(folder / _FILE))


def footprint(rows: int, dimension: int, *, bits: int) -> Footprint:
    codes = rows * dimension * bits // 8
    return Footprint(codes, codes, 2 * codes + 4 * _TRAINING_ROWS * dimension)


def open_index(folder: Path) -> FlatIndex:
    return FlatIndex(folder)


class FlatIndex:
    """Codes in RAM."""

    efforts: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        try:
            self._index = faiss.read_index(str(folder / _FILE))
        except RuntimeError as error:
            raise IntegrityError(
                f"the index {folder} cannot be read", hint=f"compendia verify {folder.parents[1]}"
            ) from error

    @property
    def ram_bytes(self) -> int:
        return int(self._index.ntotal * self._index.code_size)

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,  # noqa: ARG002 (a scan has none to choose)
    ) -> Candidates:
        parameters = None
        if mask is not None:
            bitmap = np.packbits(mask, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        scores, ordinals = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32), candidates, params=parameters
        )
        if self._index.metric_type == faiss.METRIC_L2:
            scores = -scores  # faiss gives squared distances
        return Candidates(ordinals, np.where(ordinals < 0, -np.inf, scores).astype(np.float32))
