"""What two versions, of one store or of two, have in common: the definition of "the same store" across machines."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, open_exact_vectors
from .files import content_key
from .manifest import Manifest
from .snapshot import hold_version

_SHOWN = 10
_ROWS_PER_BLOCK = 16_384


class Difference(NamedTuple):
    """How version b differs from version a, passage by passage."""

    added: int
    removed: int
    changed: int  # same id; another text, title, document, source, ordinal, span or metadata
    same: int
    # Of the vectors of passages in both; None where their dimensions differ. The ratio is that of the shorter to the
    # longer: lengths count where the metric is not cosine.
    lowest_cosine: float | None
    lowest_length_ratio: float | None
    examples: dict[str, list[str]]  # the first ids of each of `added`, `removed`, `changed`

    @property
    def equal(self) -> bool:
        """Whether the passages are the same; vectors may differ by what the two lowest figures say."""
        return not (self.added or self.removed or self.changed)


class _Contents(NamedTuple):
    ids: list[str]
    digests: NDArray[np.uint64]
    rows: NDArray[np.int64]


def diff(a: Path, b: Path, *, version_a: int | None = None, version_b: int | None = None) -> Difference:
    """Compare two versions by passage ids, passages and vectors."""
    sides: list[tuple[Manifest, Catalog]] = []
    with ExitStack() as holds:
        for path, version in ((a, version_a), (b, version_b)):
            manifest, hold = hold_version(path, version)
            holds.callback(os.close, hold)
            sides.append((manifest, Catalog(path, manifest)))
        return _difference(*sides)


def _difference(one: tuple[Manifest, Catalog], other: tuple[Manifest, Catalog]) -> Difference:
    left, right = _contents(one[1]), _contents(other[1])
    place = {name: position for position, name in enumerate(left.ids)}
    shared = [(place[name], position) for position, name in enumerate(right.ids) if name in place]
    pairs = np.array(shared, dtype=np.int64).reshape(-1, 2)
    known = {right.ids[position] for position in pairs[:, 1]}
    added = [name for name in right.ids if name not in place]
    removed = [name for name in left.ids if name not in known]
    differs = left.digests[pairs[:, 0]] != right.digests[pairs[:, 1]]
    changed = [right.ids[position] for position in pairs[differs, 1]]
    cosine, ratio = _lowest((*one, left.rows[pairs[:, 0]]), (*other, right.rows[pairs[:, 1]]))
    return Difference(
        added=len(added),
        removed=len(removed),
        changed=len(changed),
        same=len(pairs) - len(changed),
        lowest_cosine=cosine,
        lowest_length_ratio=ratio,
        examples={
            "added": added[:_SHOWN],
            "removed": removed[:_SHOWN],
            "changed": changed[:_SHOWN],
        },
    )


def _contents(catalog: Catalog) -> _Contents:
    ids, digests, rows = [], [], []
    for row, passage in catalog.read_passages():
        ids.append(passage.passage_id)
        digests.append(int(content_key(passage)[:16], 16))
        rows.append(row)
    return _Contents(ids, np.array(digests, dtype=np.uint64), np.array(rows, dtype=np.int64))


def _lowest(*sides: tuple[Manifest, Catalog, NDArray[np.int64]]) -> tuple[float | None, float | None]:
    """Of the vectors of rows that belong together the lowest cosine, and the lowest ratio of lengths."""
    (one, _, rows), (other, _, _) = sides
    if one.dimension != other.dimension or not len(rows):
        return None, None
    vectors = [open_exact_vectors(catalog, manifest, rescoring=False) for manifest, catalog, _ in sides]
    lowest = ratio = 1.0
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        x, y = (
            source.take(side[2][start : start + _ROWS_PER_BLOCK]).astype(np.float64)
            for source, side in zip(vectors, sides, strict=True)
        )
        lengths = np.stack([np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)])
        lowest = min(lowest, float((np.einsum("ij,ij->i", x, y) / lengths.prod(axis=0)).min()))
        ratio = min(ratio, float((lengths.min(axis=0) / lengths.max(axis=0)).min()))
    return round(lowest, 6), round(ratio, 6)
