"""The kind `graph`: weighted edges of several kinds between passages, which a random walk follows from the best hits.

A segment keeps the edges of the user's own that leave its passages; all others are found when the adjacency of a version
is built, from titles, texts, metadata and vectors. Rows that came since are in no edge until the next fold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ...errors import NotFoundError
from ...files import checksum
from ...segment import Passage
from .adjacency import Adjacency, Walk
from .config import EDGE_KINDS, Config, EdgeKind
from .own import OwnEdge, check_triples, edges_of

if TYPE_CHECKING:
    from ...catalog import Catalog
    from ...features import Covered

__all__ = ["EDGE_KINDS", "Adjacency", "Config", "EdgeKind", "Part", "Walk"]

needs = "passages"
whole_index = True

_RULES = 1  # what counts as a mention, a name, a link: a change makes other edges
_FILE = "own.json"
_EDGES = TypeAdapter(list[OwnEdge])


class Part:
    """The user's own edges that leave a segment's passages."""

    def __init__(self, edges: Sequence[OwnEdge]) -> None:
        self.edges = edges


def fingerprint(config: Config, *, fetch: bool = True) -> dict[str, Any]:
    del fetch
    own = None
    if config.own is not None:
        path = Path(config.own)
        if not path.is_file():
            raise NotFoundError(
                f"there is no file of edges {path}",
                hint="put it there, or name another (--set own=FILE); of an index that the store has, first "
                f"compendia index drop STORE {config.name}",
            )
        own = checksum(path)
    return {"rules": _RULES, "own": own}


def check(config: Config, catalog: Catalog) -> None:
    """Refuse edges to what the store does not hold; what is deleted later loses its edges without a word.

    Raises
    ------
    UsageError
        If a line of the user's own edges names an unknown id, or is no edge: the error names the line.
    """
    if config.own is not None:
        check_triples(Path(config.own), catalog)


def write(folder: Path, passages: Sequence[Passage], config: Config, *, threads: int = 1) -> None:
    """The files of a segment's passages."""
    del threads
    edges: list[OwnEdge] = []
    if config.own is not None:
        first: dict[str, int] = {}
        by_ordinal = sorted(range(len(passages)), key=lambda position: passages[position].ordinal)
        for position in by_ordinal:
            first.setdefault(passages[position].document_id, position)
        first |= {passage.passage_id: position for position, passage in enumerate(passages)}
        edges = [*edges_of(Path(config.own), first)]
    _write(folder, edges)


def merge(folder: Path, parts: Sequence[tuple[Path, int, NDArray[np.int64]]], config: Config) -> None:
    """The files of rows of other segments: equal to those of `write`, but for the order of edges."""
    merged: list[OwnEdge] = []
    start = 0
    for source, rows, positions in parts:
        moved = dict(zip(positions.tolist(), range(start, start + len(positions)), strict=True))
        merged += [
            edge._replace(position=moved[edge.position])
            for edge in open_part(source, rows, config).edges
            if edge.position in moved
        ]
        start += len(positions)
    _write(folder, merged)


def _write(folder: Path, edges: list[OwnEdge]) -> None:
    (folder / _FILE).write_text(json.dumps(sorted(edges)), encoding="utf-8")


def open_part(folder: Path, rows: int, config: Config) -> Part:
    del config
    edges = _EDGES.validate_json((folder / _FILE).read_bytes())
    if any(not 0 <= edge.position < rows or not 0 < edge.weight < np.inf for edge in edges):
        raise ValueError(f"{_FILE} has an edge of no passage, or without weight")
    return Part(edges)


def index_parameters(config: Config, rows: int) -> dict[str, Any] | None:
    """All that an adjacency is made with is in the config."""
    del config
    return {"rules": _RULES} if rows else None


def build_index(folder: Path, covered: Covered, config: Config, parameters: dict[str, Any]) -> None:
    del parameters
    from .build import build  # searches the store: only a writer needs it

    build(folder, covered, config)


def open_index(folder: Path, rows: int, config: Config, parameters: dict[str, Any]) -> Adjacency:
    del config, parameters
    return Adjacency(folder, rows)
