"""The vectors an index is built from: parts on disk, read in blocks of bounded size or sampled."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

Metric = Literal["cosine", "inner_product", "l2"]
"""How vectors are compared; higher scores are better for all: `cosine` is the inner product of vectors that are stored
at length one, `l2` is the negative squared distance."""

LONGEST = 1e15
"""Length of a vector that is compared as it is. Squared distances, summed over all rows that an index is trained with,
stay a hundred times below the largest float32; beyond it engines hang, or rank by infinities."""

SHORTEST = 1e-15
"""The same, at the least: products of shorter ones come near to the smallest float32, and below it all are zero alike."""

Part = NDArray[np.floating[Any]]


class Vectors:
    """(rows, dimension) vectors in ordinal order, as a sequence of (n_i, d) float16 or float32 arrays.

    The parts are memory maps as a rule: only what a method returns is in RAM.
    """

    def __init__(
        self, parts: Sequence[Part], metric: Metric, dimension: int, *, release: bool = False
    ) -> None:
        """With `release`, pages that were read do not stay in this process: a build reads all of them once or twice."""
        self.parts = parts
        self.metric = metric
        self.dimension = dimension
        self.starts = np.cumsum([0, *map(len, parts)])
        self.rows = int(self.starts[-1])
        self._release = release

    @property
    def nearest_are_best(self) -> bool:
        """Whether the vectors at the least distance from a query are those of the best scores."""
        return self.metric != "inner_product"

    def blocks(self, rows_per_block: int = 16_384) -> Iterator[NDArray[np.float32]]:
        """All vectors in order, as float32."""
        for part in self.parts:
            for start in range(0, len(part), rows_per_block):
                yield np.array(part[start : start + rows_per_block], dtype=np.float32)  # a map is read-only
                if self._release:
                    release_pages(part)

    def take(self, ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m, d) float32: the vectors of m ordinals, in their order."""
        vectors = np.empty((len(ordinals), self.dimension), dtype=np.float32)
        numbers = np.searchsorted(self.starts, ordinals, side="right") - 1
        for number in np.unique(numbers):
            here = numbers == number
            vectors[here] = self.parts[number][ordinals[here] - self.starts[number]]
            if self._release:
                release_pages(self.parts[number])
        return vectors

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """(min(count, rows), d) float32: vectors drawn without replacement, in ordinal order."""
        if count >= self.rows:
            return self.take(np.arange(self.rows))
        drawn = np.random.default_rng(seed).choice(self.rows, count, replace=False, shuffle=False)
        return self.take(np.sort(drawn))


class ScaledVectors(Vectors):
    """Vectors times a number."""

    def __init__(self, vectors: Vectors, scale: float) -> None:
        self._vectors = vectors
        self._scale = np.float32(scale)
        self.metric = vectors.metric
        self.dimension = vectors.dimension
        self.rows = vectors.rows

    def blocks(self, rows_per_block: int = 16_384) -> Iterator[NDArray[np.float32]]:
        return (block * self._scale for block in self._vectors.blocks(rows_per_block))

    def take(self, ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._vectors.take(ordinals) * self._scale


def release_pages(part: Part) -> None:
    """Take the pages of a memory map out of this process; they stay in the page cache. Nothing else is touched."""
    base: Any = part
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is not None:
        base.madvise(mmap.MADV_DONTNEED)


def vector_array(vectors: Any, dimension: int) -> NDArray[np.floating[Any]]:
    """Vectors, of whatever holds numbers, as an array.

    Raises
    ------
    UsageError
        If they are not (n, dimension) numbers.
    """
    try:
        array = np.asarray(vectors)
    except (ValueError, TypeError, RuntimeError) as error:  # the last is of a tensor that keeps its gradient
        raise UsageError(
            f"vectors must be numbers of one length: {error}", hint=f"(n, {dimension})"
        ) from error
    if array.ndim != 2 or array.shape[1] != dimension or array.dtype.kind not in "fiu":
        hint = "one vector is vector[None]" if array.shape == (dimension,) else None
        raise UsageError(
            f"expected vectors of shape (n, {dimension}), got {array.shape} {array.dtype}", hint=hint
        )
    return array


def unit_vectors(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(n, d) vectors at length one, however long or short they are; zero vectors stay zero."""
    wide = vectors.astype(np.float64)
    with np.errstate(invalid="ignore"):
        # Squares of numbers that are very large or small would leave the range of float64.
        largest = np.abs(wide).max(axis=1, keepdims=True)
        np.divide(wide, largest, out=wide, where=largest > 0)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        unit: NDArray[np.float64] = np.divide(wide, lengths, out=wide, where=lengths > 0)
    return unit
