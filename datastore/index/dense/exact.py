"""Exact search in NumPy: the specification that every other family is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hits import rank, top
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
        best_rows = np.full((len(queries), candidates), -1, dtype=np.int64)
        best_scores = np.full((len(queries), candidates), -np.inf, dtype=np.float32)
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
            rows, scores = top(ordinals, scores, candidates)
            best_rows, best_scores = rank(
                np.concatenate([best_rows, rows], axis=1),
                np.concatenate([best_scores, scores], axis=1),
                candidates,
            )
        return Candidates(best_rows, best_scores)
