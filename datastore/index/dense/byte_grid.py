"""Vectors as bytes on one grid, so that faiss compares them in whole numbers.

A code is the rounded (x - centre) * scale, from 128 on. With one scale for all dimensions the squared distance of two codes
is that of their vectors times scale squared, and a query is put on the same grid: no number is decoded to float32.
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
    share = centred / np.float32(largest)  # squares of long vectors stay finite
    return ByteGrid(
        centre, _MOST / (largest * min(_REACHES.tolist(), key=lambda reach: _error(share, reach)))
    )


def _error(share: NDArray[np.float32], reach: float) -> float:
    """Mean squared error of numbers from -1 to 1 that come back from a grid of this reach."""
    step = np.float32(reach / _MOST)
    back = np.clip(np.rint(share / step), -_MOST, _MOST) * step
    return float(np.mean((back - share) ** 2, dtype=np.float64))
