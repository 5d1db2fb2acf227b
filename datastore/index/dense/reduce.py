"""A linear map to fewer dimensions in front of any family: search in few, rescore in all.

`matryoshka` keeps the first dimensions, for encoders trained to put most there (Kusupati et al. 2022). `pca` keeps the
directions in which the vectors vary most. `leanvec` keeps what changes the inner products with given queries, with one
matrix for queries and another for vectors (Tepper et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError, nearest
from .arrays import damaged, load_array
from .vectors import Metric, Vectors

if TYPE_CHECKING:
    from . import Candidates, DenseIndex

KINDS = ("matryoshka", "pca", "leanvec")

_FILE = "query_projection.npy"
_SAMPLE_ROWS = 32_768  # for second moments of a few hundred dimensions
_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


class Reduced(NamedTuple):
    """Vectors in fewer dimensions, and what takes queries there."""

    vectors: Vectors
    query_projection: NDArray[np.float32]  # (m, d)


class ReducedVectors(Vectors):
    """Vectors times a matrix, computed as they are read."""

    def __init__(
        self,
        vectors: Vectors,
        projection: NDArray[np.float32],
        *,
        unit: bool = False,
        orthonormal: bool = True,
    ) -> None:
        self._vectors = vectors
        self._projection = projection  # (m, d)
        self._unit = unit
        self._orthonormal = orthonormal
        self.metric: Metric = "inner_product" if vectors.metric == "cosine" and not unit else vectors.metric
        self.dimension = len(projection)
        self.rows = vectors.rows

    @property
    def nearest_are_best(self) -> bool:
        """Of unit vectors' projections too: what distances lose there is what is lost of all others."""
        return self._orthonormal and self._vectors.nearest_are_best

    def blocks(self, rows_per_block: int = 16_384) -> Iterator[NDArray[np.float32]]:
        return map(self._reduce, self._vectors.blocks(rows_per_block))

    def take(self, ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._reduce(self._vectors.take(ordinals))

    def _reduce(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        reduced = block @ self._projection.T
        if self._unit:
            lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
            np.divide(reduced, lengths, out=reduced, where=lengths > 0)
        return reduced


def learn(
    reduction: Mapping[str, Any], vectors: Vectors, queries: NDArray[np.float32] | None = None
) -> Reduced:
    """`vectors` under `{"kind": "matryoshka" | "pca" | "leanvec", "dimension": m}`; leanvec learns from (n, d) `queries`.

    Raises
    ------
    UsageError
        If there is no such reduction, of these vectors, or without queries.
    """
    kind, dimension = check_reduction(reduction, vectors.dimension, vectors.metric)
    if kind == "matryoshka":
        first = np.eye(dimension, vectors.dimension, dtype=np.float32)
        return Reduced(ReducedVectors(vectors, first, unit=vectors.metric == "cosine"), first)
    covariance = _second_moment(vectors.sample(_SAMPLE_ROWS, seed=0), centred=True)
    if kind == "pca":
        # Without the mean: it adds the same to all products with one query, and nothing to a difference.
        directions = _leading(covariance, dimension).astype(np.float32)
        return Reduced(ReducedVectors(vectors, directions), directions)
    if queries is None or not len(queries):
        raise UsageError(
            "leanvec learns from queries, and none were given", hint="reduction: {kind: pca}, or pass queries"
        )
    matrices = _leanvec(covariance, queries, dimension)
    return Reduced(ReducedVectors(vectors, matrices.of_vectors, orthonormal=False), matrices.of_queries)


def check_reduction(reduction: Mapping[str, Any], full: int, metric: Metric) -> tuple[str, int]:
    """Its kind and its dimension, of vectors of `full` dimensions.

    Raises
    ------
    UsageError
        If there is no such reduction, or none under this metric.
    """
    unknown = set(reduction) - {"kind", "dimension"}
    if unknown:
        raise UsageError(
            f"a reduction has no {min(unknown)!r}", hint="reduction: {kind: pca, dimension: 192}"
        )
    kind, dimension = reduction.get("kind"), reduction.get("dimension")
    if kind not in KINDS:
        raise UsageError(f"there is no reduction {kind!r}", hint=nearest(str(kind), KINDS))
    if not isinstance(dimension, int) or not 1 <= dimension <= full:
        raise UsageError(f"cannot reduce {full} dimensions to {dimension!r}", hint=f"dimension: 1 to {full}")
    if kind == "leanvec" and metric == "l2":
        raise UsageError("leanvec keeps inner products, not distances", hint="reduction: {kind: pca}")
    return kind, dimension


def _second_moment(sample: NDArray[np.float32], *, centred: bool) -> NDArray[np.float64]:
    """(d, d), of trace d, so that it can be mixed with another."""
    rows = sample - sample.mean(axis=0) if centred else sample
    moment = (rows.T @ rows).astype(np.float64)
    trace = float(np.trace(moment))
    return moment * (len(moment) / trace) if trace else np.eye(len(moment))


def _leading(symmetric: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, d) eigenvectors of the largest eigenvalues, largest first."""
    return np.linalg.eigh(symmetric).eigenvectors[:, ::-1][:, :count].T


class _Matrices(NamedTuple):
    of_queries: NDArray[np.float32]
    of_vectors: NDArray[np.float32]


def _leanvec(covariance: NDArray[np.float64], queries: NDArray[np.float32], dimension: int) -> _Matrices:
    """A and B, (m, d) each, that minimise the squared error of A q · B x for q · x over queries and vectors.

    LeanVec asks for orthonormal rows and searches with Frank-Wolfe; without that constraint the optimum has a closed form
    (`_sphered`). Deviation: few queries say little of d² moments, so theirs is mixed with the vectors', as much as makes
    the error least on a fifth of the queries that is held out. Mixed wholly, it is PCA.
    """
    shuffled = np.random.default_rng(0).permutation(queries)
    held_out, learned_from = np.split(shuffled, [len(queries) // 5])
    best = 1.0
    if len(held_out):
        moment, unseen = (_second_moment(part, centred=False) for part in (learned_from, held_out))
        errors = [
            _error(_sphered(covariance, moment, share, dimension), covariance, unseen) for share in _SHARES
        ]
        best = _SHARES[int(np.argmin(errors))]
    return _sphered(covariance, _second_moment(queries, centred=False), best, dimension)


def _sphered(
    covariance: NDArray[np.float64], moment: NDArray[np.float64], share: float, dimension: int
) -> _Matrices:
    """LeanVec-Sphering (Tepper & Willke 2024), with a `share` of the covariance mixed into the queries' moment.

    With W the square root of that and P the leading eigenvectors of W covariance W: B = P W, A = P W^-1.
    """
    values, directions = np.linalg.eigh((1 - share) * moment + share * covariance)
    roots = np.sqrt(np.maximum(values, 0))
    inverse_roots = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 1e-5 * roots[-1])
    root = (directions * roots) @ directions.T
    leading = _leading(root @ covariance @ root, dimension)
    return _Matrices(
        (leading @ ((directions * inverse_roots) @ directions.T)).astype(np.float32),
        (leading @ root).astype(np.float32),
    )


def _error(matrices: _Matrices, covariance: NDArray[np.float64], moment: NDArray[np.float64]) -> float:
    """Mean squared error of the products of queries of this second moment with vectors of this covariance."""
    lost = np.eye(len(moment)) - matrices.of_queries.T @ matrices.of_vectors
    return float(np.sum((moment @ lost) * (lost @ covariance)))


def save(folder: Path, query_projection: NDArray[np.float32]) -> None:
    np.save(folder / _FILE, np.ascontiguousarray(query_projection))


def projection_bytes(dimension: int, reduced: int) -> int:
    """What a reduction adds to an index, in RAM and on disk."""
    return 4 * dimension * reduced


def learning_bytes(dimension: int) -> int:
    """What a reduction adds to building: a sample and its centred copy, matrices in float64."""
    return 8 * _SAMPLE_ROWS * dimension + 40 * dimension**2


def unreduced(folder: Path, index: DenseIndex) -> DenseIndex:
    """`index` for queries of all dimensions; itself where nothing was reduced.

    Raises
    ------
    IntegrityError
        If the projection is damaged.
    """
    if not (folder / _FILE).exists():
        return index
    projection = np.array(load_array(folder / _FILE, np.float32, 2))
    if len(projection) != index.shape[1] or not np.isfinite(projection).all():
        raise damaged(folder)
    return ReducedIndex(index, projection)


class ReducedIndex:
    """An index of reduced vectors, searched with queries of all dimensions. Scores are those of the fewer dimensions."""

    def __init__(self, index: DenseIndex, query_projection: NDArray[np.float32]) -> None:
        self._index = index
        self._projection = query_projection

    @property
    def shape(self) -> tuple[int, int]:
        return self._index.shape[0], self._projection.shape[1]

    @property
    def ram_bytes(self) -> int:
        return self._index.ram_bytes + self._projection.nbytes

    @property
    def efforts(self) -> tuple[int, ...]:
        return self._index.efforts

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,
    ) -> Candidates:
        return self._index.search(queries @ self._projection.T, candidates, mask, effort)
