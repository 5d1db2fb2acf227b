"""Exact search in NumPy: the specification that every other family is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hits import merge_best, padded
from . import Candidates, Vectors


class ExactIndex:
    """Scans the exact vectors block by block; holds nothing but references to them."""

    ram_bytes = 0
    efforts: tuple[int, ...] = ()

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.shape = vectors.rows, vectors.dimension

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,  # noqa: ARG002 (there is nothing to choose)
    ) -> Candidates:
        """Scores in float32; score descending, ties by ordinal ascending."""
        best = np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
        start = 0
        for block in self._vectors.blocks():
            scores = queries @ block.T
            if self._vectors.metric == "l2":
                squares = np.einsum("ij,ij->i", block, block)
                scores = 2 * scores - squares - np.einsum("ij,ij->i", queries, queries)[:, None]
            ordinals = np.arange(start, start + len(block))
            if mask is not None:
                allowed = mask[start : start + len(block)]
                ordinals, scores = ordinals[allowed], scores[:, allowed]
            start += len(block)
            best = merge_best(best, ordinals, scores, candidates)
        return Candidates(*padded(*best, candidates))
