"""Masks that are kept, within a number of bytes."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore.errors import UsageError

from .expressions import Kind

_MOST_BYTES = 256 << 20


def cache_bytes(rows: int) -> int:
    """What cached masks may take for a store of so many rows: one whole mask and some eight packed ones."""
    return min(2 * rows, _MOST_BYTES)


ENTRY_BYTES = 512  # what a key and Python's objects around a mask take


class SegmentMask(NamedTuple):
    """`bits` (ceil(rows / 8),) uint8, little-endian; the kinds of those of the filter's columns that the segment has."""

    bits: NDArray[np.uint8]
    kinds: Mapping[str, Kind]


class MaskCache:
    """Masks by segment and filter; the least recently used is given up beyond `limit_bytes`. Safe for threads, forks.

    A segment's mask takes a bit per row. The whole masks last asked for are kept beside them, a byte per row, and are
    given up first: from the bits, one over 10 million rows is put together in 2 ms.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise UsageError(f"limit_bytes must not be negative, got {limit_bytes}")
        self.limit_bytes = limit_bytes
        self.start_empty()
        _caches.add(self)

    def start_empty(self) -> None:
        """Forget everything, the lock too: for a process that has just been forked, not for one with threads."""
        self._lock = threading.Lock()
        self._bytes = 0
        self._segments: OrderedDict[tuple[str, str], SegmentMask] = OrderedDict()
        self._wholes: OrderedDict[tuple[tuple[str, ...], str], NDArray[np.bool_]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Bytes held now, at most `limit_bytes`."""
        return self._bytes

    def whole(self, segments: tuple[str, ...], sql: str) -> NDArray[np.bool_] | None:
        """The mask over all rows of these segments, if it is kept."""
        with self._lock:
            mask = self._wholes.get((segments, sql))
            if mask is not None:
                self._wholes.move_to_end((segments, sql))
                for segment in segments:
                    if (segment, sql) in self._segments:
                        self._segments.move_to_end((segment, sql))
            return mask

    def segment(self, segment: str, sql: str) -> SegmentMask | None:
        with self._lock:
            mask = self._segments.get((segment, sql))
            if mask is not None:
                self._segments.move_to_end((segment, sql))
            return mask

    def keep_whole(self, segments: tuple[str, ...], sql: str, mask: NDArray[np.bool_]) -> None:
        with self._lock:
            if (segments, sql) not in self._wholes:
                self._wholes[segments, sql] = mask
                self._grow(mask.nbytes)

    def keep_segment(self, segment: str, sql: str, mask: SegmentMask) -> None:
        with self._lock:
            if (segment, sql) not in self._segments:
                self._segments[segment, sql] = mask
                self._grow(mask.bits.nbytes)

    def _grow(self, size: int) -> None:
        self._bytes += size + ENTRY_BYTES
        while self._bytes > self.limit_bytes:
            if self._wholes:
                freed = self._wholes.popitem(last=False)[1].nbytes
            else:
                freed = self._segments.popitem(last=False)[1].bits.nbytes
            self._bytes -= freed + ENTRY_BYTES


_caches: weakref.WeakSet[MaskCache] = weakref.WeakSet()


def _empty_all() -> None:
    for cache in _caches:
        cache.start_empty()


# A lock that another thread held at the fork would never be let go in the child.
os.register_at_fork(after_in_child=_empty_all)
