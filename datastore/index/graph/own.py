"""Edges of the user's own: a file of triples, and what a segment keeps of it.

.tsv     source, relation, target and, if one likes, a weight, separated by tabs
.jsonl   objects with "source", "relation", "target" and, if one likes, "weight"

Source and target are ids of passages or documents; a document stands for its first passage. Each may end in .gz.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import UsageError, nearest
from ...lines import read_lines, read_object

if TYPE_CHECKING:
    from ...catalog import Catalog


MOST_RELATIONS = 60_000
"""A label has 16 bits, and edges that are no one's own have some."""

_KEYS = ("source", "relation", "target", "weight")


class Triple(NamedTuple):
    place: str  # file:line
    source: str
    relation: str
    target: str
    weight: float


class OwnEdge(NamedTuple):
    """An edge from the passage at a position of a segment; the target may be in another one, or gone."""

    position: int
    relation: str
    target: str
    weight: float


def read_triples(path: Path) -> Iterator[Triple]:
    """The edges of a file.

    Raises
    ------
    NotFoundError
        If it is not there.
    UsageError
        If it is no such file, or a line is no edge: the error names the line.
    """
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix
    if suffix not in {".tsv", ".jsonl"}:
        raise UsageError(
            f"{path} is no file of edges by its name", hint="known: .tsv, .jsonl; each may end in .gz"
        )
    for place, line in read_lines(path):
        if suffix == ".tsv":
            fields: Sequence[object] = line.split("\t")
            if len(fields) not in {3, 4}:
                raise UsageError(
                    f"{place}: expected source, relation and target separated by tabs, got {len(fields)} fields"
                )
        else:
            record = read_object(line, place)
            if unknown := record.keys() - {*_KEYS}:
                raise UsageError(
                    f"{place}: an edge has no {min(unknown)!r}", hint=nearest(min(unknown), _KEYS)
                )
            fields = [record.get(key) for key in _KEYS[:3]]
            fields += [record["weight"]] if "weight" in record else []
        source, relation, target = fields[:3]
        if not (isinstance(source, str) and isinstance(relation, str) and isinstance(target, str)):
            raise UsageError(f"{place}: source, relation and target must be text")
        if not relation.strip():
            raise UsageError(f"{place}: the relation is empty")
        yield Triple(place, source, relation, target, _weight(fields[3:], place))


def _weight(given: Sequence[object], place: str) -> float:
    try:
        weight = float(given[0]) if given else 1.0  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UsageError(f"{place}: a weight must be a number above 0, got {given[0]!r}")
    return weight


def check_triples(path: Path, catalog: Catalog) -> None:
    """That every id of the file is one of a passage or document of the store.

    Raises
    ------
    UsageError
        If one is not: the error names the line; and as `read_triples` does.
    """
    places: dict[str, str] = {}
    relations: set[str] = set()
    for triple in read_triples(path):
        relations.add(triple.relation)
        if len(relations) > MOST_RELATIONS:
            raise UsageError(
                f"{triple.place}: the {len(relations):,}th relation, which is more than a graph can tell apart",
                hint="call what says the same alike, or give all the rest one name",
            )
        places.setdefault(triple.source, triple.place)
        places.setdefault(triple.target, triple.place)
    candidates = places.keys() - catalog.rows_of_passages([*places]).keys()
    unknown = [name for name in places if name in candidates and not len(catalog.rows_of_documents([name]))]
    if unknown:
        more = f", nor {len(unknown) - 1:,} more ids of the file" if len(unknown) > 1 else ""
        raise UsageError(
            f"{places[unknown[0]]}: the store has no passage and no document {unknown[0]!r}{more}",
            hint="leave the lines out, or add what they name first",
        )


def edges_of(path: Path, first_positions: Mapping[str, int]) -> Iterator[OwnEdge]:
    """The file's edges whose source is among these ids, with their positions."""
    for triple in read_triples(path):
        if triple.source in first_positions:
            yield OwnEdge(first_positions[triple.source], triple.relation, triple.target, triple.weight)
