"""Rows of vectors on their way into a store: those that it cannot hold are set aside, and too many stop it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import UsageError
from datastore.changes.batch import LONGEST_ID
from datastore.changes.edit import Rows
from datastore.index.dense import Metric
from datastore.index.dense.vectors import unit_vectors
from datastore.lookup import hash_ids
from datastore.segment import StoredType, UnstorableVectorError, stored_vectors

from .document import FAILURES_ALLOWED, Reject
from .stages.read import REJECTS_KEPT

_CHECKED = 256  # rows at a time: behind a bad one, the rest of them are checked anew


class Block(NamedTuple):
    """Some rows as read."""

    rows: Rows
    faults: Mapping[int, Reject]  # by position among them, of those that are known to be bad
    file: str  # of the vectors
    first: int  # number of the first row within the file


class SetAside:
    """What was set aside: all counted, the first of each reason kept."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.rejects: list[Reject] = []

    def add(self, reject: Reject) -> None:
        self.counts[reject.reason] += 1
        if self.counts[reject.reason] <= REJECTS_KEPT:
            self.rejects.append(reject)


def storable(
    blocks: Iterable[Block], set_aside: SetAside, metric: Metric, dtype: StoredType, max_failure_share: float
) -> Iterator[Rows]:
    """The rows that a store can hold.

    Raises
    ------
    UsageError
        At the end, if none is left, or more than `max_failure_share`, and not just a few, were set aside.
    """
    total = 0
    ids = _Ids()
    for block in blocks:
        total += len(block.rows.vectors)
        faults = {**_unstorable(block, metric, dtype), **block.faults}
        faults |= ids.faults(block, faults)
        for position in sorted(faults):
            set_aside.add(faults[position])
        if len(faults) < len(block.rows.vectors):
            yield _without(block.rows, sorted(faults)) if faults else block.rows
    failures = set_aside.counts.total()
    too_many = failures > FAILURES_ALLOWED and failures > max_failure_share * total
    if failures and (too_many or failures == total):
        examples = "; ".join(f"{one.location}: {one.reason} {one.detail}" for one in set_aside.rejects[:3])
        raise UsageError(
            f"{failures:,} of {total:,} rows cannot be stored ({examples})",
            hint="mend the input"
            + (
                ""
                if failures == total
                else f", or allow it: --set max_failure_share={failures / total + 0.005:.2f}"
            ),
        )


class _Ids:
    """The ids of the rows that are stored so far, as sorted hashes of each block: 8 bytes a row."""

    def __init__(self) -> None:
        self._seen: list[NDArray[np.uint64]] = []

    def faults(self, block: Block, others: Collection[int]) -> dict[int, Reject]:
        """Why the id of a row cannot be stored; of rows that have `others` nothing is said or remembered."""
        names = block.rows.ids
        if names is None:
            return {}
        hashes = hash_ids(names)
        is_known = np.zeros(len(names), dtype=np.bool_)
        for seen in self._seen:
            is_known |= seen[np.searchsorted(seen, hashes).clip(max=len(seen) - 1)] == hashes
        found: dict[int, Reject] = {}
        here: set[str] = set()
        for row, name in enumerate(names):
            if row in others:
                continue
            location = f"{block.file}:{block.first + row}"
            if not name:
                found[row] = Reject("no_id", location, "", "it has no id", "")
            elif len(name) > LONGEST_ID:
                found[row] = Reject(
                    "invalid_id", location, name[:100], f"its id has {len(name):,} characters", ""
                )
            elif is_known[row] or name in here:
                found[row] = Reject(
                    "duplicate_id", location, name, f"an earlier row has the id {name!r:.100}", ""
                )
            else:
                here.add(name)
        if here:
            self._seen.append(np.sort(hash_ids([*here])))
        return found


def _unstorable(block: Block, metric: Metric, dtype: StoredType) -> dict[int, Reject]:
    vectors, ids = block.rows.vectors, block.rows.ids
    found = {}
    for start in range(0, len(vectors), _CHECKED):
        part = vectors[start : start + _CHECKED]
        done = 0
        while done < len(part):
            rest = part[done:]
            try:
                stored_vectors(unit_vectors(rest) if metric == "cosine" else rest, dtype)
                break
            except UnstorableVectorError as error:
                row = start + done + error.row
                name = ids[row] if ids is not None else ""
                location = f"{block.file}:{block.first + row}"
                found[row] = Reject("unstorable_vector", location, name, f"the vector {error.reason}", "")
                done += error.row + 1
    return found


def _without(rows: Rows, positions: Sequence[int]) -> Rows:
    kept: list[int] = np.delete(np.arange(len(rows.vectors)), positions).tolist()

    def of(values: Sequence[str] | None) -> list[str] | None:
        return None if values is None else [values[i] for i in kept]

    metadata = rows.metadata
    if isinstance(metadata, pa.Table):  # without columns it would forget how many rows it has
        metadata = metadata.take(pa.array(kept)) if metadata.column_names else None
    elif metadata is not None:
        metadata = [metadata[i] for i in kept]
    return Rows(rows.vectors[kept], of(rows.ids), of(rows.texts), metadata)
