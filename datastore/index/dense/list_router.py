"""The choice of a query's lists over compressed centroids.

A scan of 4-bit codes proposes three times as many as are probed, float16 decides. That takes a quarter of the time of
faiss' scan of float32 centroids, so that more and shorter lists pay.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from . import Metric
from .codebooks import half_of, load_codebooks
from .faiss_engine import metric_type, selector

_FACTOR = 3  # proposals for each list that is probed: .999 of the best lists are among them


class ListRouter:
    """Chooses lists: 4-bit codes of the centroids propose, float16 decides; where all would be proposed, float16 alone.

    The scan of 4-bit codes drops a list whose every code is the worst, and all lists where there is but one. A list too
    few is not only missed: its place has a score of -3e38, and 4-bit codes of rows are scored in steps of the range.
    """

    def __init__(
        self, centroids: NDArray[np.float16], codebooks: NDArray[np.float32], metric: Metric
    ) -> None:
        dimension = centroids.shape[1]
        exact = centroids.astype(np.float32)
        self._coarse = faiss.IndexPQFastScan(dimension, half_of(dimension), 4, metric_type(metric))
        load_codebooks(self._coarse.pq, codebooks)
        self._coarse.is_trained = True
        self._coarse.add(exact)
        self._fine = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, metric_type(metric))
        self._fine.train(exact)
        self._fine.add(exact)
        # faiss holds pointers only: the parts live as long as this object.
        self.index = faiss.IndexRefine(self._coarse, self._fine)
        self.index.k_factor = _FACTOR
        # Lists of the same centroid are dropped together.
        self._distinct = len(set(map(bytes, centroids)))

    def proposes(self, count: int) -> bool:
        """Whether `index`, which faiss asks on its own, finds `count` lists for every query."""
        return _FACTOR * count < self._distinct

    def choose(
        self, queries: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores as faiss has them and numbers of the `count` best lists, best first; -1 where there are fewer."""
        if allowed is None and self.proposes(count):
            scores, numbers = self.index.search(queries, count)
        else:
            parameters = None if allowed is None else faiss.SearchParameters(sel=selector(allowed))
            scores, numbers = self._fine.search(queries, count, params=parameters)
        return scores, numbers


def router_bytes(lists: int, dimension: int) -> int:
    return lists * (2 * dimension + half_of(dimension) // 2)
