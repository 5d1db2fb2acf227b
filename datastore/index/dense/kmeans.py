"""Lists of an inverted index: Lloyd's k-means and assignment through torch's GEMM.

faiss' own k-means goes through a BLAS that picks slow kernels on recent processors. For vectors of length one the
product runs in bfloat16 where the processor has it: four times faster, and the lists cover as much as float32's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...machine import has_bfloat16
from .vectors import Metric, Vectors

_ROWS_PER_LIST = 50
_SAMPLE_BYTES = 2**31  # of float32 rows; the lists of a billion vectors are trained on a share of them
_SCORES_PER_BLOCK = 2**25


def sample_rows(rows: int, dimension: int, lists: int) -> int:
    """How many rows the lists are trained on."""
    return min(rows, max(lists, min(_ROWS_PER_LIST * lists, _SAMPLE_BYTES // (4 * dimension))))


def train_centroids(vectors: Vectors, lists: int, *, seed: int, iterations: int = 8) -> NDArray[np.float32]:
    """(lists, d): centroids of a sample of `vectors`, of length one for cosine (spherical k-means).

    A list that lost all its rows starts again at a row drawn in proportion to the size of the row's list. Centroids
    that are near to each other get numbers that are near, so that the lists of a query lie together in memory.
    """
    rows = vectors.sample(sample_rows(vectors.rows, vectors.dimension, lists), seed)
    random = np.random.default_rng(seed)
    centroids = rows[random.choice(len(rows), lists, replace=False)]
    for _ in range(iterations):
        numbers = nearest(rows, centroids, vectors.metric)
        sizes = np.bincount(numbers, minlength=lists)
        order = np.argsort(numbers, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        filled = sizes > 0
        # Sums list by list: the rows of one list at a time are all that is copied.
        for number in np.flatnonzero(filled):
            mine = order[starts[number] : starts[number] + sizes[number]]
            centroids[number] = rows[mine].mean(axis=0)
        if not filled.all():
            weights = sizes[numbers] / sizes[numbers].sum()
            centroids[~filled] = rows[random.choice(len(rows), int((~filled).sum()), p=weights)]
        if vectors.metric == "cosine":
            _normalise(centroids)
    return centroids[_neighbourhoods(centroids, vectors.metric, seed)]


def nearest(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], metric: Metric
) -> NDArray[np.int64]:
    """(n,): the list of each vector; the one of the highest inner product for cosine, else of the least distance."""
    import torch

    # Only vectors of length one: the coarse steps of bfloat16 do not matter to scores of this range.
    half = metric == "cosine" and has_bfloat16()
    dtype = torch.bfloat16 if half else torch.float32
    columns = torch.from_numpy(centroids).to(dtype).T.contiguous()
    bias = torch.zeros(len(centroids), dtype=dtype)
    if metric != "cosine":
        bias = torch.from_numpy(np.einsum("ij,ij->i", centroids, centroids) / -2)
    numbers = np.empty(len(vectors), dtype=np.int64)
    rows_per_block = max(1, _SCORES_PER_BLOCK // len(centroids))
    for start in range(0, len(vectors), rows_per_block):
        block = torch.from_numpy(vectors[start : start + rows_per_block]).to(dtype)
        scores = block @ columns if metric == "cosine" else torch.addmm(bias, block, columns)
        # `max` with indices is several times faster than `argmax` in bfloat16.
        numbers[start : start + rows_per_block] = scores.max(dim=1).indices.numpy()
    return numbers


def _normalise(centroids: NDArray[np.float32]) -> None:
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    np.divide(centroids, lengths, out=centroids, where=lengths > 0)


def _neighbourhoods(centroids: NDArray[np.float32], metric: Metric, seed: int) -> NDArray[np.int64]:
    """An order in which neighbours follow each other: groups of about √n, each walked from neighbour to neighbour."""
    count = int(len(centroids) ** 0.5)
    leaders = centroids[np.random.default_rng(seed).choice(len(centroids), count, replace=False)]
    leaders = leaders[_walk(leaders)]
    groups = nearest(centroids, leaders, metric)
    members = [np.flatnonzero(groups == number) for number in range(count)]
    return np.concatenate([member[_walk(centroids[member])] for member in members])


def _walk(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """From point 0 always to the nearest that was not visited."""
    if len(points) == 0:
        return np.empty(0, dtype=np.int64)
    squares = np.einsum("ij,ij->i", points, points)
    order, left, current = [0], np.ones(len(points), dtype=bool), 0
    for _ in range(len(points) - 1):
        left[current] = False
        closeness = np.where(left, 2 * (points @ points[current]) - squares, -np.inf)
        current = int(closeness.argmax())
        order.append(current)
    return np.array(order, dtype=np.int64)
