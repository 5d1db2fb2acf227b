"""Codebooks of product quantisation: how they are learnt, and given to faiss."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray


def half_of(dimension: int) -> int:
    """Subquantizers of two dimensions each, or of one where the dimension is odd."""
    return dimension if dimension % 2 else dimension // 2


def train_codebooks(
    rows: NDArray[np.float32], subquantizers: int, bits: int, *, seed: int, iterations: int = 12
) -> NDArray[np.float32]:
    """(subquantizers, 2^bits, d / subquantizers): centroids of product quantisation (Jégou et al. 2011).

    faiss' training waits for its own threads at every step: on a busy machine it takes minutes.
    """
    random = np.random.default_rng(seed)
    columns = rows.reshape(len(rows), subquantizers, -1)
    # A tiny set has fewer rows than there are codes: some repeat.
    drawn = random.choice(len(rows), 2**bits, replace=len(rows) < 2**bits)
    codebooks = np.ascontiguousarray(columns[drawn].swapaxes(0, 1))
    for number, codebook in enumerate(codebooks):
        points = np.ascontiguousarray(columns[:, number])
        for _ in range(iterations):
            # A product of such narrow matrices is slower through BLAS than without.
            scores = np.repeat(np.einsum("ij,ij->i", codebook, codebook)[:, None] / -2, len(points), axis=1)
            for axis, values in enumerate(points.T):
                scores += codebook[:, axis, None] * values
            codes = scores.argmax(axis=0)
            sizes = np.bincount(codes, minlength=len(codebook))
            for axis, values in enumerate(points.T):
                sums = np.bincount(codes, weights=values, minlength=len(codebook))
                np.divide(sums, sizes, out=codebook[:, axis], where=sizes > 0, casting="same_kind")
            empty = np.flatnonzero(sizes == 0)
            codebook[empty] = points[random.integers(len(points), size=len(empty))]
    return codebooks


def load_codebooks(quantizer: Any, codebooks: NDArray[np.float32]) -> None:
    """Give a faiss.ProductQuantizer its centroids."""
    shape = (quantizer.M, quantizer.ksub, quantizer.dsub)
    if codebooks.shape != shape or codebooks.dtype != np.float32:
        raise ValueError(f"expected codebooks {shape} float32, got {codebooks.shape} {codebooks.dtype}")
    faiss.copy_array_to_vector(codebooks.ravel(), quantizer.centroids)
