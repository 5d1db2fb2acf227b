"""One bit for each number of a vector: whether it is above the mean of its dimension.

A bit stands for the mean distance of its dimension's numbers from their mean; a query keeps 8 bits of each number. What
the families' RaBitQ codes do besides, a factor for each vector, costs fixed-dimensional encodings up to 2 points of
candidates. A query's numbers are split into planes of signs, so that a product is a few Hamming distances.
"""

from __future__ import annotations

from pathlib import Path

import numkong
import numpy as np
from numpy.typing import NDArray

from ..arrays import read_array
from ..hits import merge_best, padded
from ..index.dense import Candidates, Vectors

_CODES_FILE, _SCALES_FILE = "signs.npy", "sign_scales.npy"
_PLANES = 8
_ROWS_PER_BLOCK = 16_384
_QUERIES_PER_BLOCK = 16


def build(vectors: Vectors, folder: Path) -> None:
    """Write the codes of `vectors`, (n, D / 8) uint8, and (D,) float32 scales."""
    means = sum(block.sum(axis=0, dtype=np.float64) for block in vectors.blocks()) / vectors.rows
    codes = np.lib.format.open_memmap(
        folder / _CODES_FILE, mode="w+", dtype=np.uint8, shape=(vectors.rows, -(-vectors.dimension // 8))
    )
    distances, start = np.zeros(vectors.dimension), 0
    for block in vectors.blocks():
        centred = block - means.astype(np.float32)
        distances += np.abs(centred).sum(axis=0, dtype=np.float64)
        codes[start : start + len(block)] = np.packbits(centred > 0, axis=1)
        start += len(block)
    codes.flush()
    np.save(folder / _SCALES_FILE, (distances / vectors.rows).astype(np.float32))


class SignIndex:
    """A scan of all codes, which are in RAM. Safe for concurrent searches."""

    efforts: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        """Read the files of a folder.

        Raises
        ------
        ValueError
            If they do not fit each other.
        OSError
            If one cannot be read.
        """
        self._scales: NDArray[np.float32] = read_array(folder / _SCALES_FILE, (None,), np.float32)
        width = -(-len(self._scales) // 8)
        self._codes: NDArray[np.uint8] = read_array(folder / _CODES_FILE, (None, width), np.uint8)
        self.shape = len(self._codes), len(self._scales)

    @property
    def ram_bytes(self) -> int:
        return int(self._codes.nbytes + self._scales.nbytes)

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,  # noqa: ARG002 (a scan has none to choose)
    ) -> Candidates:
        """As `DenseIndex.search`; scores leave out what is equal for all vectors."""
        found = [
            self._search(queries[start : start + _QUERIES_PER_BLOCK], candidates, mask)
            for start in range(0, len(queries), _QUERIES_PER_BLOCK)
        ]
        empty = np.empty((0, candidates), dtype=np.int64), np.empty((0, candidates), dtype=np.float32)
        return Candidates(*(np.concatenate(arrays) for arrays in zip(empty, *found, strict=True)))

    def _search(
        self, queries: NDArray[np.float32], candidates: int, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        planes, steps = self._planes(queries)
        packed = numkong.hammings_pack(planes.reshape(len(queries) * _PLANES, -1))
        weights = steps[:, None] * np.exp2(np.arange(_PLANES, dtype=np.float32))  # (nq, planes)
        best = np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
        for start in range(0, self.shape[0], _ROWS_PER_BLOCK):
            codes = self._codes[start : start + _ROWS_PER_BLOCK]
            rows = np.arange(start, start + len(codes))
            if mask is not None:
                rows, codes = rows[mask[rows]], codes[mask[rows]]
            if not len(rows):
                continue
            apart = np.asarray(numkong.hammings_packed(codes, packed)).reshape(
                len(rows), len(queries), _PLANES
            )
            # Of D signs those apart count against, the others for.
            alike = self.shape[1] - 2 * apart.astype(np.float32)
            best = merge_best(best, rows, np.einsum("nqp,qp->qn", alike, weights), candidates)
        return padded(*best, candidates)

    def _planes(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(nq, planes, D / 8) signs, and (nq,) steps: a number is about step * sum of 2^p * sign in plane p."""
        numbers = queries * self._scales
        most = (1 << _PLANES) - 1
        steps = np.maximum(np.abs(numbers).max(axis=1), np.finfo(np.float32).tiny) / most
        # From -most to most in steps of two.
        whole = np.clip(np.rint((numbers / steps[:, None] + most) / 2), 0, most).astype(np.int64)
        bits = (whole[:, None] >> np.arange(_PLANES)[:, None]) & 1
        return np.packbits(bits.astype(np.bool_), axis=2), steps
