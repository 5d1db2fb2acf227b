"""One dense index of a version: its ordinals as rows of the version, and the effort that reaches a recall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import IntegrityError
from .index.dense import Candidates, DenseIndex, open_index
from .manifest import IndexEntry, SegmentEntry
from .recall.calibration import Curve, Setting, at_length, read_curve

Mask = NDArray[np.bool_]


class DensePart:
    """An index over an ordered list of segments, which need not lie side by side in the version."""

    def __init__(self, name: str, index: DenseIndex, rows: Mapping[str, range], curve: Curve | None) -> None:
        """`rows`: the version's rows of each segment that is covered, in the index's order."""
        self.id = name
        self.index = index
        self.curve = curve
        self._query_length = None if curve is None else curve.query_length
        self.ranges = list(rows.values())
        lengths = [len(covered) for covered in self.ranges]
        self.rows = sum(lengths)
        self._first_ordinals = np.cumsum([0, *lengths])
        self._shifts = np.array([covered.start for covered in self.ranges]) - self._first_ordinals[:-1]
        # Segments side by side share one shift: the usual case, and the fast one.
        self._shift = int(self._shifts[0]) if len(set(self._shifts.tolist())) == 1 else None

    def setting(self, k: int, recall: float) -> Setting | None:
        """The cheapest way to ask that reaches `recall` among the k best; None where none does, or none was measured."""
        return None if self.curve is None else self.curve.cheapest(k, recall)

    def search(
        self, queries: NDArray[np.float32], candidates: int, mask: Mask | None, effort: int | None
    ) -> Candidates:
        """As the index does, in rows of the version; `mask` is over the version's rows.

        Scores of inner products are those of the queries at the length that recall was measured with.
        """
        if self._query_length is not None:
            queries = at_length(queries, self._query_length)
        found = self.index.search(
            queries, candidates, None if mask is None else self._own(mask), effort=effort
        )
        if self._shift == 0:
            return found
        ordinals = found.ordinals
        shift = (
            self._shift
            if self._shift is not None
            else self._shifts[
                np.searchsorted(self._first_ordinals, np.maximum(ordinals, 0), side="right") - 1
            ]
        )
        return Candidates(np.where(ordinals < 0, -1, ordinals + shift), found.scores)

    def count(self, mask: Mask) -> int:
        """Rows of this part that the mask allows."""
        return sum(int(np.count_nonzero(mask[covered.start : covered.stop])) for covered in self.ranges)

    def _own(self, mask: Mask) -> Mask:
        if self._shift is not None:
            return mask[self.ranges[0].start : self.ranges[-1].stop]
        return np.concatenate([mask[covered.start : covered.stop] for covered in self.ranges])


def rows_of_segments(segments: tuple[SegmentEntry, ...]) -> dict[str, range]:
    """The rows that each segment has in a version, by id."""
    rows: dict[str, range] = {}
    start = 0
    for entry in segments:
        rows[entry.id] = range(start, start + entry.rows)
        start += entry.rows
    return rows


def open_part(
    store: Path,
    entry: IndexEntry,
    rows: Mapping[str, range],
    dimension: int,
    opened: DensePart | None = None,
) -> DensePart:
    """The index of a manifest's entry; `rows` are those of the version's segments.

    `opened`: the same index, as part of another version.

    Raises
    ------
    IntegrityError
        If it covers a segment that the version lacks, or its files are not what they should be.
    """
    unknown = [segment for segment in entry.segments if segment not in rows]
    if unknown:
        raise IntegrityError(f"index {entry.id} covers segment {unknown[0]}, which the version lacks")
    folder = store / "indexes" / entry.id
    index = open_index(entry.family, folder) if opened is None else opened.index
    covered = {segment: rows[segment] for segment in entry.segments}
    expected = sum(map(len, covered.values())), dimension
    if index.shape != expected:
        raise IntegrityError(
            f"index {entry.id} is over {index.shape} vectors, its segments have {expected}",
            hint=f"compendia verify {store}",
        )
    curve = read_curve(folder) if opened is None else opened.curve
    return DensePart(entry.id, index, covered, curve)
