"""What families over faiss share. Their files are arrays of ours: faiss' own reader trusts any length it finds in a file."""

from __future__ import annotations

import os
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ...hits import some_missing
from . import Candidates, Metric

# The threads of faiss' OpenMP do not survive a fork, and a child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))


def metric_type(metric: Metric) -> int:
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def view(vector: Any) -> NDArray[Any]:
    """The numbers of a faiss vector without a copy; valid as long as its index lives."""
    numbers: NDArray[Any] = faiss.rev_swig_ptr(vector.data(), vector.size())
    return numbers


def selector(mask: NDArray[np.bool_] | None) -> Any:
    """`mask` in the form that search parameters take; None for all rows."""
    return None if mask is None else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def run_search(
    index: Any, queries: NDArray[np.float32], candidates: int, parameters: Any = None
) -> Candidates:
    """Best first, higher is better: faiss gives squared distances for `l2`."""
    scores, ordinals = index.search(
        np.ascontiguousarray(queries, dtype=np.float32), candidates, params=parameters
    )
    return candidates_of(scores, ordinals, index.metric_type)


def candidates_of(scores: NDArray[np.float32], ordinals: NDArray[np.int64], metric_type: int) -> Candidates:
    """What faiss wrote into two arrays, which are changed."""
    if metric_type == faiss.METRIC_L2:
        np.negative(scores, out=scores)
    if some_missing(ordinals):
        scores[ordinals < 0] = -np.inf
    return Candidates(ordinals, scores)
