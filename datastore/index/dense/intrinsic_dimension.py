"""How many dimensions the vectors spread in around each of them: the hardness of a set for approximate search.

The maximum-likelihood estimate of Levina & Bickel (2004) from the distances to the nearest neighbours. For a whole set,
the inverses are averaged, not the estimates, which would be biased upwards (MacKay & Ghahramani 2005).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .vectors import Vectors

_NEIGHBOURS = 20
_PROBES = 1_000  # standard error of the estimate: 1 to 2 %
_PROBE_REFERENCES = 65_536
_REFERENCES = 8_192  # for the values of all rows: enough to order them by, at 8,192 products a row
_BLOCK_CELLS = 1 << 23  # distances held at once, 4 bytes each
_SAME = 1e-5  # squared distance over squared lengths below which float32 cannot tell two vectors apart


def estimate(vectors: Vectors, seed: int) -> float:
    """Intrinsic dimension of a set, from a bounded sample; nan below four distinct vectors.

    Distances are Euclidean whatever the metric. A sample is sparser than the set, so a set far above 65,536 rows is seen
    at a coarser scale than its nearest neighbours are.
    """
    probes = vectors.sample(_PROBES, seed)
    inverses = _inverse_dimensions(probes, vectors.sample(_PROBE_REFERENCES, seed + 1))
    known = inverses[~np.isnan(inverses)]
    if not len(known):
        return float("nan")
    mean = float(known.mean())
    return 1 / mean if mean else float("inf")


def of_rows(vectors: Vectors, seed: int) -> NDArray[np.float32]:
    """(rows,) local intrinsic dimension of each vector among a sample of the set; nan where it has too few neighbours."""
    references = vectors.sample(_REFERENCES, seed)
    values = np.empty(vectors.rows, dtype=np.float32)
    start = 0
    for block in vectors.blocks():
        inverses = _inverse_dimensions(block, references)
        with np.errstate(divide="ignore"):
            values[start : start + len(block)] = 1 / inverses
        start += len(block)
    return values


def _inverse_dimensions(points: NDArray[np.float32], references: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of log(T_k / T_j) over the k - 1 nearest j, T the distances to the references that are not the point itself."""
    neighbours = min(_NEIGHBOURS, len(references) - 1)
    inverses = np.full(len(points), np.nan, dtype=np.float32)
    if neighbours < 3:
        return inverses
    squares = np.einsum("ij,ij->i", references, references)
    rows = max(1, _BLOCK_CELLS // len(references))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        lengths = np.einsum("ij,ij->i", block, block)[:, None] + squares
        distances = lengths - 2 * (block @ references.T)
        distances[distances <= _SAME * lengths] = np.inf
        nearest = np.partition(distances, neighbours - 1, axis=1)[:, :neighbours]
        nearest.sort(axis=1)
        logs = np.log(nearest)
        with np.errstate(invalid="ignore"):  # inf - inf: too few that differ, hence nan
            inverses[start : start + rows] = (logs[:, -1:] - logs[:, :-1]).mean(axis=1) / 2
    return np.where(np.isinf(inverses), np.nan, inverses)
