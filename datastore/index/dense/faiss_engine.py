"""What every family over faiss shares: reading a file safely, masks, and the direction of scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError
from . import Candidates, Metric

# The threads of faiss' OpenMP do not survive a fork, and a child would wait for them for ever.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))


def metric_type(metric: Metric) -> int:
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def damaged(folder: Path) -> IntegrityError:
    """The error for files of an index that are not what was written."""
    return IntegrityError(
        f"the index {folder} cannot be read", hint=f"compendia verify {folder.absolute().parents[1]}"
    )


def read_index(path: Path) -> Any:
    """The faiss index in a file. faiss checks little of what it reads: the family checks the rest.

    Raises
    ------
    IntegrityError
        If it is absent, cut short, or no file of faiss.
    """
    try:
        return faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:  # a length of nonsense is more memory than there is
        raise damaged(path.parent) from error


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
    if index.metric_type == faiss.METRIC_L2:
        scores = -scores
    return Candidates(ordinals, np.where(ordinals < 0, -np.inf, scores).astype(np.float32))
