"""The index over several segments: one vector of a proxy for each passage, as codes of a dense family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..encoders.tokens import TokenVectors
from ..hits import merge_best, padded
from ..index.dense import DenseIndex, Plan, Vectors, build_index, open_index
from . import signs
from .fde import Fde
from .lemur import Lemur
from .maxsim import PackedQueries
from .mean import Mean
from .part import TokenPart, TokenWriter
from .pooled import Pooled
from .pooling import pooled

Proxy = Annotated[Fde | Lemur | Mean | Pooled, Field(discriminator="kind")]
"""What stands for MaxSim when candidates are looked for."""
ProxyName = Literal["fde", "lemur", "mean", "pooled"]

_VECTORS_FILE = "vectors.tmp"
_FAMILY = "flat"
_ROWS_PER_BLOCK = 16_384


class Encoder(Protocol):
    """Token vectors to one vector, so that inner products of passages and queries stand for MaxSim."""

    dimension: int

    def save(self, folder: Path) -> None: ...

    def queries(self, tokens: TokenVectors) -> NDArray[np.float32]:
        """(n, dimension); each query has at least one token vector."""

    def passages(self, tokens: TokenVectors) -> NDArray[np.float32]:
        """(n, dimension); each passage has at least one token vector."""


class CandidateIndex(Protocol):
    """Proposes passages, known by their ordinals. Safe for concurrent calls."""

    @property
    def ram_bytes(self) -> int: ...

    def candidates(
        self, queries: TokenVectors, count: int, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """(nq, count) ordinals for each query, only where `mask` (n,) is true; -1 where there are fewer."""


def build(folder: Path, parts: Sequence[TokenPart], proxy: Proxy) -> None:
    """Write the index over the passages of all parts, in order, into an empty folder."""
    if isinstance(proxy, Pooled):
        with TokenWriter(folder, parts[0].dimension) as writer:
            for block in _blocks(parts):
                writer.append(pooled(block, proxy.pooling))
        return
    encoder: Encoder = proxy.learn(_sample(parts, proxy.sample, proxy.seed))
    encoder.save(folder)
    shape = sum(part.rows for part in parts), encoder.dimension
    # A family reads its vectors more than once.
    file = folder / _VECTORS_FILE
    vectors: Any = np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
    start = 0
    for block in _blocks(parts):
        encoded = encoder.passages(block)
        vectors[start : start + len(encoded)] = encoded
        start += len(encoded)
    _build_codes(Vectors([vectors], "inner_product", encoder.dimension), proxy.bits, folder)
    del vectors
    file.unlink()


def open_candidates(folder: Path, rows: int, proxy: Proxy) -> CandidateIndex:
    """The index in `folder`.

    Raises
    ------
    ValueError
        If it is not of so many passages, or its files do not fit each other.
    """
    if isinstance(proxy, Pooled):
        return PooledIndex(TokenPart(folder, rows))
    index: DenseIndex = signs.SignIndex(folder) if proxy.bits == 1 else open_index(_FAMILY, folder)
    encoder: Encoder = proxy.load(folder, index.shape[1])
    if index.shape != (rows, encoder.dimension):
        raise ValueError(f"codes of {index.shape} numbers instead of {(rows, encoder.dimension)}")
    return EncodedIndex(encoder, index)


def _build_codes(vectors: Vectors, bits: int, folder: Path) -> None:
    """Write codes of so many bits, all of which a search scans."""
    if bits == 1:
        signs.build(vectors, folder)
    else:
        build_index(Plan(_FAMILY, {"bits": bits}), vectors, folder)


def _blocks(parts: Sequence[TokenPart]) -> Iterator[TokenVectors]:
    for part in parts:
        yield from part.blocks()


def _sample(parts: Sequence[TokenPart], count: int, seed: int) -> NDArray[np.float32]:
    """(s, d): about so many token vectors, from each part its share."""
    rng = np.random.default_rng(seed)
    counts = np.array([part.offsets[-1] for part in parts])
    shares = np.ceil(count * counts / counts.sum()).astype(int)
    return np.concatenate(
        [part.sample(share, rng) for part, share in zip(parts, shares.tolist(), strict=True)]
    )


class EncodedIndex:
    def __init__(self, encoder: Encoder, index: DenseIndex) -> None:
        self._encoder, self._index = encoder, index

    @property
    def ram_bytes(self) -> int:
        return self._index.ram_bytes

    def candidates(
        self, queries: TokenVectors, count: int, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        encoded = self._encoder.queries(queries)
        if encoded.shape[1] != self._index.shape[1]:  # no engine looks
            raise ValueError(f"codes of {self._index.shape[1]} numbers, queries of {encoded.shape[1]}")
        found = self._index.search(encoded, count, mask).ordinals
        return padded(found, np.zeros(found.shape, dtype=np.float32), count)[0]


class PooledIndex:
    def __init__(self, part: TokenPart) -> None:
        self._part = part

    @property
    def ram_bytes(self) -> int:
        """Its vectors are mapped, and all read by every search: they should fit into RAM."""
        return self._part.bytes

    def candidates(
        self, queries: TokenVectors, count: int, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        packed = PackedQueries(queries)
        allowed = np.arange(self._part.rows) if mask is None else np.flatnonzero(mask)
        best = np.empty((packed.count, 0), dtype=np.int64), np.empty((packed.count, 0), dtype=np.float32)
        for start in range(0, len(allowed), _ROWS_PER_BLOCK):
            rows = allowed[start : start + _ROWS_PER_BLOCK]
            best = merge_best(best, rows, self._part.scores(packed, rows).T, count)
        return padded(*best, count)[0]
