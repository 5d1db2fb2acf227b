"""Dense index families: one file each behind one Protocol, each tested against `exact`.

A family is a module of three functions:

    build(vectors, folder, **parameters)             writes the index into an empty folder, in bounded memory
    open_index(folder) -> DenseIndex
    footprint(rows, dimension, **parameters) -> Footprint   what that will cost, without building it
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import IntegrityError
from .vectors import Metric, Vectors

__all__ = [
    "FAMILIES",
    "Candidates",
    "DenseIndex",
    "Footprint",
    "Metric",
    "Plan",
    "Vectors",
    "build_index",
    "family_module",
    "open_index",
    "plan_index",
]

FAMILIES = ("flat",)


class Candidates(NamedTuple):
    """Ordinals with approximate scores, best first; -1 and -inf where there are fewer than asked for."""

    ordinals: NDArray[np.int64]  # (nq, candidates)
    scores: NDArray[np.float32]  # (nq, candidates), higher is better, as far as the codes can tell


class DenseIndex(Protocol):
    """Searches n vectors, known by their ordinals 0..n-1. Safe for concurrent searches."""

    @property
    def ram_bytes(self) -> int:
        """What the open index holds in RAM, within 5 %."""

    @property
    def efforts(self) -> tuple[int, ...]:
        """Grid of search effort, ascending (lists probed, nodes visited); empty where there is none to choose."""

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,
    ) -> Candidates:
        """The best `candidates` ordinals for each of (nq, d) queries, only where `mask` (n,) is true.

        Under a mask, fewer than asked for come back when the effort did not reach more matches.
        """


class Footprint(NamedTuple):
    """Predicted bytes of an index."""

    ram_bytes: int  # of the open index, within 5 %
    file_bytes: int  # of its files, within 2 %
    build_bytes: int  # most RAM held while building, beyond the interpreter and its packages


class Plan(NamedTuple):
    family: str
    parameters: Mapping[str, Any]


def plan_index(rows: int) -> Plan | None:
    """Which family a store of this many passages gets; None: scanned exactly, without an index.

    An exact scan of 2,000 rows takes 1.5 ms. Above, 4-bit codes take a quarter of the float16 vectors' bytes, and 20
    candidates hold the true ten at recall .998 (docs/design/dense-index.md).
    """
    return None if rows < 2_000 else Plan("flat", {"bits": 4})


def family_module(family: str) -> ModuleType:
    """The module of an index family.

    Raises
    ------
    IntegrityError
        If this code has no such family.
    """
    if family not in FAMILIES:
        raise IntegrityError(
            f"index family {family!r} is unknown to this Compendia", hint="pip install --upgrade compendia"
        )
    return import_module(f".{family}", __name__)


def build_index(plan: Plan, vectors: Vectors, folder: Path) -> None:
    """Write an index of `plan`'s family over `vectors` into `folder`."""
    family_module(plan.family).build(vectors, folder, **plan.parameters)


def open_index(family: str, folder: Path) -> DenseIndex:
    """The index in `folder`."""
    index: DenseIndex = family_module(family).open_index(folder)
    return index
