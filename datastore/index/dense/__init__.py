"""Dense index families: one file each behind one Protocol, each tested against `exact`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError

Blocks = Iterable[NDArray[np.float16]]
"""(n_i, d) float16 unit vectors in ordinal order; iterated once."""


class Candidates(NamedTuple):
    """Ordinals with approximate scores, best first; -1 and -inf where there are fewer than asked for."""

    ordinals: NDArray[np.int64]  # (nq, candidates)
    scores: NDArray[np.float32]  # (nq, candidates), inner products as far as the codes can tell


class DenseIndex(Protocol):
    """Searches n vectors, known by their ordinals 0..n-1, by inner product."""

    @property
    def ram_bytes(self) -> int: ...

    def search(
        self, queries: NDArray[np.float32], candidates: int, mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """The best `candidates` ordinals for each of (nq, d) queries, only where `mask` (n,) is true."""


class Plan(NamedTuple):
    family: str
    parameters: Mapping[str, Any]


def plan_index(rows: int) -> Plan | None:
    """Which family a store of this many passages gets; None: scanned exactly, without an index.

    An exact scan of 2,000 rows takes 1.5 ms. Above, 4-bit codes take a quarter of the float16 vectors' bytes, and 20
    candidates hold the true ten at recall .998 (docs/design/dense-index.md).
    """
    return None if rows < 2_000 else Plan("flat", {"bits": 4})


def build_index(plan: Plan, blocks: Blocks, rows: int, dimension: int, folder: Path) -> None:
    """Write an index of `plan`'s family over (rows, dimension) vectors into `folder`."""
    from . import flat

    if plan.family != "flat":
        raise ValueError(f"unknown index family {plan.family!r}")
    flat.build(blocks, rows, dimension, folder, **plan.parameters)


def open_index(family: str, folder: Path) -> DenseIndex:
    """The index in `folder`."""
    from . import flat

    if family != "flat":
        raise IntegrityError(
            f"index family {family!r} is unknown to this Compendia", hint="pip install --upgrade compendia"
        )
    return flat.FlatIndex(folder)


def float32_blocks(blocks: Blocks, rows_per_block: int = 16_384) -> Iterator[NDArray[np.float32]]:
    """The same vectors as float32, in blocks of bounded size."""
    for block in blocks:
        for start in range(0, len(block), rows_per_block):
            yield np.asarray(block[start : start + rows_per_block], dtype=np.float32)
