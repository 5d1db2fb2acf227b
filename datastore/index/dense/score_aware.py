"""Product-quantised codes that leave inner products in order.

What ranks the nearest is the error of a code along the vector: a query that finds a vector lies along it, so that this
part goes into the score whole, the rest by a small share (Guo et al. 2020, "Accelerating Large-Scale Inference with
Anisotropic Vector Quantization", section 3). An error that all vectors have alike changes no order. So, other than there,
each vector is coded to keep the same share of its own length: <x, code of x> = share · <x, x>. The Lagrangian of that
constraint moves the vector along itself before its nearest code is taken; how far is found in a few steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 2  # a third adds nothing to recall


def share_kept(quantizer: Any, rows: NDArray[np.float32]) -> float:
    """The share of their squared lengths that the nearest codes of a faiss.ProductQuantizer keep of (n, d) rows."""
    total = float(np.einsum("ij,ij->", rows, rows))
    return float(_kept(quantizer, rows, quantizer.compute_codes(rows)).sum()) / total if total else 1.0


def score_aware_codes(quantizer: Any, rows: NDArray[np.float32], share: float) -> NDArray[np.uint8]:
    """(n, code bytes): codes of (n, d) rows with <x, code of x> as near to `share` · <x, x> as a few tries come."""
    squares = np.einsum("ij,ij->i", rows, rows)
    wanted = np.float32(share) * squares
    codes: NDArray[np.uint8] = quantizer.compute_codes(rows)
    lacking = wanted - _kept(quantizer, rows, codes)
    moved, least = np.zeros_like(squares), np.abs(lacking)
    for _ in range(_STEPS):
        moved += np.divide(lacking, squares, out=np.zeros_like(squares), where=squares > 0)
        tried = quantizer.compute_codes(rows * (1 + moved)[:, None])
        lacking = wanted - _kept(quantizer, rows, tried)
        better = np.abs(lacking) < least
        codes[better], least[better] = tried[better], np.abs(lacking)[better]
    return codes


def _kept(quantizer: Any, rows: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    kept: NDArray[np.float32] = np.einsum("ij,ij->i", rows, quantizer.decode(codes))
    return kept
