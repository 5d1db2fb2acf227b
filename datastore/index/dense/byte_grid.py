"""Vectors as bytes on one grid, so that faiss compares them in whole numbers.

A code is the rounded (x - centre) * scale, from 128 on. With one scale for all dimensions the squared distance of two codes
is that of their vectors times scale squared, and a query is put on the same grid: 16 to 64 products an instruction where
decoding to float32 takes one for 16 numbers and several more to decode them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ZERO = 128
_MOST = 127
_SCALE_ROWS = 4_096
# Of the largest number, what the grid reaches to: beyond is cut off, which a finer grid may be worth.
_REACHES = 2.0 ** (-np.arange(13) / 2)


class ByteGrid(NamedTuple):
    centre: NDArray[np.float32]  # (d,)
    scale: float

    def codes(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) numbers from 0 to below 256, whose whole parts are the codes, as faiss takes them."""
        scaled = vectors - self.centre
        scaled *= np.float32(self.scale)
        scaled += np.float32(_ZERO + 0.5)
        np.maximum(scaled, np.float32(0), out=scaled)
        np.minimum(scaled, np.float32(255), out=scaled)
        return scaled


def fit(sample: NDArray[np.float32]) -> ByteGrid:
    """The grid on which (n, d) vectors like these lose least, by squared error."""
    centre = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    stride = -(-len(sample) // _SCALE_ROWS)
    centred = sample[::stride] - centre
    largest = float(np.abs(centred).max())
    if largest == 0:
        return ByteGrid(centre, 1.0)
    scales = [_MOST / (largest * reach) for reach in _REACHES.tolist()]
    return ByteGrid(centre, min(scales, key=lambda scale: _error(centred, scale)))


def _error(centred: NDArray[np.float32], scale: float) -> float:
    """Mean squared error of the numbers that come back from a grid, as a share of their square."""
    unit = np.float32(1 / np.abs(centred).max())  # squares of long vectors stay finite
    back = np.clip(np.rint(centred * np.float32(scale)), -_MOST, _MOST) / np.float32(scale)
    return float(np.mean(((back - centred) * unit) ** 2, dtype=np.float64))
