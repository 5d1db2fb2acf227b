"""Exhaustive scan of scalar-quantised codes (faiss): no training to speak of, no lost coverage, takes a mask."""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError
from . import Blocks, Candidates, float32_blocks

# The threads of faiss' OpenMP do not survive a fork, and a child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))

_FILE = "codes.faiss"
_TRAINING_ROWS = 65_536  # per-dimension ranges; more rows do not move them


def build(blocks: Blocks, rows: int, dimension: int, folder: Path, *, bits: int) -> None:
    """Write the codes of (rows, dimension) vectors, `bits` (4 or 8) bits a dimension."""
    quantizer = {4: faiss.ScalarQuantizer.QT_4bit, 8: faiss.ScalarQuantizer.QT_8bit}[bits]
    index = faiss.IndexScalarQuantizer(dimension, quantizer, faiss.METRIC_INNER_PRODUCT)
    waiting: list[NDArray[np.float32]] = []
    for block in float32_blocks(blocks):
        if index.is_trained:
            index.add(block)
            continue
        waiting.append(block)
        if sum(map(len, waiting)) >= min(rows, _TRAINING_ROWS):
            sample = np.concatenate(waiting)
            index.train(sample)
            index.add(sample)
            waiting.clear()
    faiss.write_index(index, str(folder / _FILE))


class FlatIndex:
    """Codes in RAM."""

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
        self, queries: NDArray[np.float32], candidates: int, mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        parameters = None
        if mask is not None:
            bitmap = np.packbits(mask, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        scores, ordinals = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32), candidates, params=parameters
        )
        return Candidates(ordinals, np.where(ordinals < 0, -np.inf, scores).astype(np.float32))
