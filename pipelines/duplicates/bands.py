"""Pairs of documents that share a band, out of core: each band by itself, in parts that fit in RAM.

A group of documents of one band hash is linked by as many pairs as it has members, twice over, not by all of its
pairs: each member with the first of its group, and with the one before it. What the first leaves out because it is a
chance meeting in this band, the neighbour finds; and there are the other bands.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..executors import Executor

_PART_DOCUMENTS = 1 << 20  # are sorted at a time
_BLOCK_DOCUMENTS = 1 << 18  # their pairs of all bands are held at a time


class Candidates(NamedTuple):
    """Pairs on disk, in blocks of documents: a pair belongs to the block of its later document."""

    folder: Path
    documents: int

    def blocks(self) -> range:
        return range(-(-self.documents // _BLOCK_DOCUMENTS))

    def pairs(self, block: int) -> NDArray[np.int64]:
        """(m, 2) distinct pairs (earlier, later) of a block, ascending by the later one."""
        parts = [_read(file) for file in sorted(self.folder.glob(f"*/pairs-{block}"))]
        if not parts:
            return np.empty((0, 2), dtype=np.int64)
        earlier, later = np.concatenate(parts).T
        first = np.uint64(block * _BLOCK_DOCUMENTS)
        keys = distinct((later - first) << np.uint64(44) | earlier)
        return np.column_stack([keys & np.uint64((1 << 44) - 1), (keys >> np.uint64(44)) + first]).astype(
            np.int64
        )


class _Band(NamedTuple):
    number: int
    files: tuple[Path, ...]
    folder: Path
    first_new: int


def candidate_pairs(
    files: Sequence[Path], work: Path, executor: Executor, *, first_new: int = 0
) -> Candidates:
    """Pairs of documents that share a band hash.

    `files` hold `signatures` as .npy; documents are numbered through all of them. Of pairs among documents before
    `first_new` none is looked for. RAM: about 100 MB a worker, and 100 bytes a member of the largest group. Disk under
    `work`: 16 bytes a document for each band that is worked on, and up to 32 a band for each document with a partner.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shapes = [np.load(file, mmap_mode="r").shape for file in files]
    bands = {shape[1] for shape in shapes}
    assert len(bands) <= 1, f"signatures of different bandings: {sorted(bands)}"
    tasks = [_Band(band, tuple(files), work, first_new) for band in range(max(bands, default=0))]
    for _ in executor.map(_link_band, tasks):
        pass
    return Candidates(work, sum(shape[0] for shape in shapes))


def _link_band(band: _Band) -> None:
    folder = band.folder / f"band-{band.number:03}"
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that was lost
    folder.mkdir()
    signatures = [np.load(file, mmap_mode="r") for file in band.files]
    starts = [0, *accumulate(len(part) for part in signatures)]
    parts = -(-starts[-1] // _PART_DOCUMENTS)
    for array, (start, _) in zip(signatures, pairwise(starts), strict=True):
        for offset in range(0, len(array), _PART_DOCUMENTS):
            hashes = array[offset : offset + _PART_DOCUMENTS, band.number]
            rows = np.arange(start + offset, start + offset + len(hashes), dtype=np.uint64)
            part = (hashes >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)
            _scatter(folder, "part", part, np.column_stack([hashes, rows]))
    for file in sorted(folder.glob("part-*")):
        pairs = _link(_read(file))
        file.unlink()
        pairs = pairs[pairs[:, 1] >= band.first_new]
        _scatter(folder, "pairs", pairs[:, 1] // np.uint64(_BLOCK_DOCUMENTS), pairs)


def _link(records: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(m, 2) pairs (earlier, later) within groups of equal hash; `records` are (n, 2) of hash and document."""
    hashes, rows = records[np.argsort(records[:, 0])].T
    same = hashes[1:] == hashes[:-1]
    grouped = np.append(same, False) | np.append(False, same)
    hashes, rows = hashes[grouped], rows[grouped]
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    first = np.append(True, hashes[1:] != hashes[:-1])[: len(rows)]
    leaders = rows[first][np.cumsum(first) - 1]
    star = np.column_stack([leaders, rows])[~first]
    chain = np.column_stack([np.roll(rows, 1), rows])[~first]
    return np.concatenate([star, chain[chain[:, 0] != star[:, 0]]])


def _scatter(folder: Path, name: str, buckets: NDArray[np.uint64], records: NDArray[np.uint64]) -> None:
    """Append each record to the file of its bucket."""
    order = np.argsort(buckets, kind="stable")
    buckets = buckets[order]
    cuts = np.flatnonzero(buckets[1:] != buckets[:-1]) + 1
    for piece in np.split(order, cuts) if len(order) else []:
        with (folder / f"{name}-{buckets[0]}").open("ab") as file:
            records[piece].tofile(file)
        buckets = buckets[len(piece) :]


def distinct(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted; NumPy 2.4's `unique` makes a hash table of them, which takes 40 to 160 times as long."""
    keys = np.sort(keys)
    return np.asarray(keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]])


def _read(file: Path) -> NDArray[np.uint64]:
    return np.fromfile(file, dtype=np.uint64).reshape(-1, 2)
