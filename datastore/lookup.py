"""Finding rows by id without a scan: sorted hashes beside the segment, read through a memory map.

An .npy of (2, n) uint64: hashes in ascending order, and the position that each belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

Table = NDArray[np.uint64]


def hash_ids(ids: Sequence[str]) -> NDArray[np.uint64]:
    """(n,) xxh3-64 of each id. Different ids may share one: whoever looks up compares the ids themselves."""
    digest = xxhash.xxh3_64_intdigest
    # What is no valid text is the id of nothing; it is asked for all the same.
    encoded = (text.encode("utf-8", "surrogatepass") for text in ids)
    return np.fromiter(map(digest, encoded), dtype=np.uint64, count=len(ids))


def write_lookup(path: Path, ids: Sequence[str]) -> None:
    """Write the table of `ids`, position i for id i; equal hashes are ordered by position."""
    hashes = hash_ids(ids)
    order = np.argsort(hashes, kind="stable")
    np.save(path, np.stack([hashes[order], order.astype(np.uint64)]))


def positions_of(table: Table, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the m hashes (numbers 0..m-1) stand at which positions, as two (p,) arrays; in no order."""
    known = first = np.empty(0, dtype=np.int64)
    ordered, positions = table
    if len(ordered):
        first = ordered.searchsorted(hashes)
        # Reading beyond the first match would touch pages; most hashes have one match or none.
        known = np.flatnonzero(ordered.take(first, mode="clip") == hashes)
    if not len(known):  # the usual case: an id is in one segment of many
        return known, known
    first = first[known]
    counts = ordered.searchsorted(hashes[known], side="right") - first
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(known, counts), positions[np.repeat(first, counts) + offsets].astype(np.int64)
