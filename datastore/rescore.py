"""The exact vectors of a version and the scores they give: the second stage of a search.

The vectors.npy of all segments are mapped into one range of addresses, each vector at a multiple of a vector's bytes
from the first, so that one `take` gathers rows of any number of segments. Products are summed in float64, in an order
that depends on nothing but the two vectors: a score has the same bits in a batch of one and of many, and equal vectors
get equal scores.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numkong
import numpy as np
from numpy.typing import DTypeLike, NDArray

from .arrays import read_header
from .errors import IntegrityError, UsageError
from .hits import any_missing
from .index.dense.vectors import Metric
from .reading_ahead import ask_ahead, had_to_wait, reads_of_thread

_BLOCK_ELEMENTS = 1 << 17  # float16 and float32 copies of what is scored at once stay in a core's cache

# Python's mmap cannot place a file at an address, the C library's can.
_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_MAP_FIXED = 0x10
_MAP_FAILED = ctypes.c_void_p(-1).value


Stored = NDArray[np.floating[Any]]
"""Vectors as they are on disk: float16 or float32."""


class VectorFile(NamedTuple):
    """A segment's vectors.npy, and the rows that it must have."""

    path: Path
    rows: int


class ExactVectors:
    """(rows, dimension) vectors on disk, numbered through all files in order.

    Safe for concurrent calls and after a fork. The maps are this object's own, advised for random access: who reads
    the same files in order should map them again.
    """

    def __init__(
        self,
        files: Sequence[VectorFile],
        dimension: int,
        dtype: DTypeLike,
        metric: Metric,
    ) -> None:
        """Map the files.

        Raises
        ------
        IntegrityError
            If a file is not a whole C-ordered (rows, dimension) array of `dtype`.
        """
        self.dimension = dimension
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.metric = metric
        files = [file for file in files if file.rows]
        headers = [_header_bytes(file, dimension, self.dtype) for file in files]
        if len(set(headers)) > 1:
            raise IntegrityError(f"vectors.npy of segments have headers of {sorted(set(headers))} bytes")
        self._header = headers[0] if files else 0
        # Where both a page and, less the header, a vector begins: each file is mapped at a multiple of it.
        self._row_bytes = dimension * self.dtype.itemsize
        slot = math.lcm(self._row_bytes, mmap.PAGESIZE)
        counts = np.array([file.rows for file in files], dtype=np.int64)
        slots = -(-(self._header + counts * self._row_bytes) // slot)
        firsts = (np.cumsum(slots) - slots) * (slot // self._row_bytes)
        ends = np.cumsum(counts)
        self._ends = ends[:-1]  # of all files but the last
        self._gaps = firsts - (ends - counts)  # place on the grid = row + gap of its file
        self.rows = int(counts.sum())
        # Reserves the range. The files in it are unmapped with it, when the last array over it goes.
        memory = mmap.mmap(-1, max(int(slots.sum()) * slot, slot), mmap.MAP_PRIVATE, mmap.PROT_READ)
        base = np.frombuffer(memory, np.uint8).ctypes.data
        for file, first, count in zip(files, firsts.tolist(), counts.tolist(), strict=True):
            start = first * self._row_bytes
            _map_file(file.path, base + start, self._header + count * self._row_bytes)
        memory.madvise(mmap.MADV_RANDOM)  # reading ahead of each row would read 17 times what is wanted
        places = int(firsts[-1] + counts[-1]) if files else 0
        self._grid: Stored | None = np.ndarray((places, dimension), self.dtype, memory, self._header)
        self._cold = True

    def close(self) -> None:
        """Let go of the maps, as soon as calls in other threads have ended; no call works afterwards."""
        self._grid = None

    def scores(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(nq, m) float32: exact scores of each query's own (nq, m) rows; -inf where a row is -1.

        Raises
        ------
        IndexError
            If a row is beyond the last.
        """
        grid, queries = self._open_grid(), np.ascontiguousarray(queries, dtype=np.float32)
        some_absent = any_missing(rows)
        if len(rows) == 1 and not some_absent:  # the usual case, and where microseconds count
            return self._scores_at(grid, queries, self._places(rows[0]))
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        places = rows if some_absent else self._places(rows)
        for line, query, own in zip(scores, queries, places, strict=True):
            if some_absent:
                present = own >= 0
                line[present] = self._scores_at(grid, query[None], self._places(own[present]))[0]
            else:
                line[:] = self._scores_at(grid, query[None], own)[0]
        return scores

    def scores_of_rows(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(nq, m) float32: exact scores of the same (m,) rows, all present, for every query.

        Ascending rows are read faster. Takes 1 MB beside the result, and 3 KB a query.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        return self._scores_at(self._open_grid(), queries, self._places(_present(rows)))

    def take(self, rows: NDArray[np.int64]) -> Stored:
        """(m, d) in the stored dtype: the exact vectors of m rows, all present, in their order."""
        return self._gather(self._open_grid(), self._places(_present(rows)))

    def _open_grid(self) -> Stored:
        grid = self._grid
        if grid is None:
            raise UsageError("these exact vectors are closed")
        return grid

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where rows lie on the grid; beyond its end for those beyond the last row."""
        if not len(self._ends):
            return rows
        return rows + self._gaps.take(self._ends.searchsorted(rows, side="right"))

    def _scores_at(
        self, grid: Stored, queries: NDArray[np.float32], places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(nq, m) scores of the same m places for every query."""
        scores = np.empty((len(queries), len(places)), dtype=np.float32)
        if scores.size == 0:
            return scores
        scorer = self._scorer(queries)
        block = max(1, _BLOCK_ELEMENTS // self.dimension)
        for start in range(0, len(places), block):
            part = slice(start, start + block)
            scores[:, part] = scorer(self._gather(grid, places[part]))
        return scores

    def _gather(self, grid: Stored, places: NDArray[np.int64]) -> Stored:
        """Copy vectors out of the page cache; when the last gather had to wait for the disk, ask for all at once first."""
        before = reads_of_thread()
        if self._cold:
            self._prefetch(grid.base, places[places < len(grid)])
        vectors = grid.take(places, axis=0)
        self._cold = had_to_wait(before)
        return vectors

    def _prefetch(self, memory: Any, places: NDArray[np.int64]) -> None:
        starts = np.sort(places) * self._row_bytes + self._header
        ask_ahead(memory, starts, starts + self._row_bytes)

    def _scorer(self, queries: NDArray[np.float32]) -> Callable[[Stored], NDArray[np.float64]]:
        """A function from (m, d) stored vectors to their (nq, m) scores, each summed in float64."""
        if self.metric == "l2":
            return lambda vectors: (
                -np.asarray(numkong.cdist(queries, _as_float32(vectors), "sqeuclidean")).reshape(
                    len(queries), len(vectors)
                )
            )
        packed = numkong.dots_pack(queries)
        return lambda vectors: np.asarray(numkong.dots_packed(_as_float32(vectors), packed)).T


def _present(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if any_missing(rows):
        raise IndexError("a row is negative: -1 stands for none")
    return rows


def _as_float32(vectors: Stored) -> Any:
    # NumPy takes 4 ns a number, numkong 0.08.
    return vectors if vectors.dtype == np.float32 else numkong.astype(vectors, "float32")


def _header_bytes(file: VectorFile, dimension: int, dtype: np.dtype[Any]) -> int:
    """Bytes before the first vector of a file that is what it should be."""
    try:
        with file.path.open("rb") as stream:
            header = read_header(stream)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{file.path} cannot be read: {error}") from error
    if (header.shape, header.dtype) != ((file.rows, dimension), dtype):
        raise IntegrityError(
            f"{file.path}: expected ({file.rows}, {dimension}) {dtype}, got {header.shape} {header.dtype}"
        )
    return header.bytes


def _map_file(path: Path, address: int, length: int) -> None:
    """Map the first `length` bytes of a file, read-only, over reserved addresses."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = _mmap(address, length, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, descriptor, 0)
    finally:
        os.close(descriptor)
    if found == _MAP_FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
