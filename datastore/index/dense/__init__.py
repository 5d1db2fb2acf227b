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
from ...machine import return_freed_memory
from . import reduce
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
    "index_footprint",
    "open_index",
]

FAMILIES = ("flat", "hnsw_sq8", "ivf_pq", "ivf_rabitq")


class Candidates(NamedTuple):
    """Ordinals with approximate scores, best first; -1 and -inf where there are fewer than asked for."""

    ordinals: NDArray[np.int64]  # (nq, candidates)
    scores: NDArray[np.float32]  # (nq, candidates), higher is better, as far as the codes can tell


class DenseIndex(Protocol):
    """Searches n vectors, known by their ordinals 0..n-1. Safe for concurrent searches."""

    @property
    def shape(self) -> tuple[int, int]:
        """Vectors, and dimensions of a query."""

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

        Fewer than asked for come back where the effort did not reach more that the mask allows.
        """


class Footprint(NamedTuple):
    """Predicted bytes of an index."""

    ram_bytes: int  # of the open index, within 5 %
    file_bytes: int  # of its files, within 2 %
    build_bytes: int  # most RAM held while building, beyond the interpreter and its packages


class Plan(NamedTuple):
    family: str
    parameters: Mapping[str, Any]


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


def build_index(
    plan: Plan, vectors: Vectors, folder: Path, queries: NDArray[np.float32] | None = None
) -> None:
    """Write an index of `plan`'s family over `vectors` into `folder`.

    A parameter `reduction` of any family puts a map to fewer dimensions before it (`reduce.learn`); `leanvec` learns it
    from (n, d) `queries`.
    """
    parameters = dict(plan.parameters)
    reduction = parameters.pop("reduction", None)
    if reduction is not None:
        reduced = reduce.learn(reduction, vectors, queries)
        vectors = reduced.vectors
        reduce.save(folder, reduced.query_projection)
    family_module(plan.family).build(vectors, folder, **parameters)


def index_footprint(plan: Plan, rows: int, dimension: int) -> Footprint:
    """What `plan`'s index of so many vectors will cost."""
    parameters = dict(plan.parameters)
    reduction = parameters.pop("reduction", None)
    kept = dimension if reduction is None else int(reduction["dimension"])
    cost: Footprint = family_module(plan.family).footprint(rows, kept, **parameters)
    if reduction is None:
        return cost
    projection = reduce.projection_bytes(dimension, kept)
    return Footprint(
        cost.ram_bytes + projection,
        cost.file_bytes + projection,
        cost.build_bytes + projection + reduce.learning_bytes(dimension),
    )


def open_index(family: str, folder: Path) -> DenseIndex:
    """The index in `folder`."""
    index: DenseIndex = family_module(family).open_index(folder)
    return_freed_memory()  # what checking the files took
    return reduce.unreduced(folder, index)
