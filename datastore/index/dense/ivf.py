"""What inverted-file indexes share: lists in one block of memory, the choice of lists, masks.

A family gives a codec: an empty faiss index that encodes and scans. The lists are ours: one file in the layout that
faiss scans (packed codes, then ordinals, list by list), read into one allocation of exactly that size. faiss' own lists
round every allocation up to a power of two, which costs a third more memory, and its files are not safe to open.

`ivf_lists` writes them, `list_router` chooses those of a query.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import faiss
import numpy as np
from numpy.typing import NDArray

from ...arrays import read_header
from ...errors import IntegrityError
from . import Candidates, Metric
from .faiss_engine import candidates_of, metric_type, selector
from .ivf_lists import LIST_BYTES, SCALES, Codec
from .list_router import ListRouter, router_bytes

_DEFAULT_EFFORT = 64
_LEAST_SHARE = 1 / 1024  # of rows that a mask allows around a query: no effort is raised more than 32 times
_TABLE_BYTES = 2**26  # of look-up tables in one call of faiss


@cache
def _parameters(probes: int) -> Any:
    # Making one takes faiss 20 us; there are as many as there are efforts.
    return faiss.SearchParametersIVF(nprobe=probes)


class _Allowed(NamedTuple):
    """What a mask means to the lists."""

    rows: int
    matches: NDArray[np.int64]  # (lists,) rows of the mask in each
    lists: NDArray[np.bool_] | None  # those that hold a row of the mask; None: all do
    held: int  # how many that are
    selector: Any  # faiss.IDSelector


def _read_array(path: Path) -> NDArray[Any]:
    with path.open("rb") as stream:
        header = read_header(stream)
        return np.fromfile(stream, header.dtype).reshape(header.shape)


class IvfIndex:
    """Lists in RAM. A mask that is read-only is understood once: what was found is kept for the next search."""

    def __init__(self, folder: Path, codec_of: Callable[..., Codec]) -> None:
        try:
            self._open(folder, codec_of)
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            MemoryError,
            RuntimeError,
            OverflowError,
            AttributeError,
            RecursionError,
        ) as error:
            raise IntegrityError(
                f"the index {folder} cannot be read: {error}", hint=f"compendia verify {folder.parents[1]}"
            ) from error

    def _open(self, folder: Path, codec_of: Callable[..., Codec]) -> None:
        header = json.loads((folder / "ivf.json").read_text())
        self._metric: Metric = header["metric"]
        if self._metric not in get_args(Metric):
            raise ValueError(f"unknown metric {self._metric!r}")
        self._scale = float(header.get("scale", 1.0))  # of what lists and codes are made from, to the vectors
        if not SCALES[0] <= self._scale <= SCALES[1]:
            raise ValueError(f"impossible scale {self._scale}")
        self._codec = codec_of(**header["codec"])
        centroids, router_codebooks, codebooks, sizes = (
            _read_array(folder / f"{name}.npy") for name in ("centroids", "router", "codebooks", "sizes")
        )
        matrix = centroids.dtype == np.float16 and centroids.ndim == 2 and centroids.size > 0
        if not matrix or sizes.shape != centroids.shape[:1]:
            raise ValueError(f"{centroids.shape} {centroids.dtype} centroids of lists {sizes.shape}")
        self.lists, self.dimension = centroids.shape
        self._sizes = sizes
        self._router = ListRouter(centroids, router_codebooks, self._metric)
        self._single, self._batch = self._codec.indexes(
            self._router.index, self.lists, self._metric, codebooks
        )
        self._read_lists(folder / "lists.bin", sizes)
        self._mask: tuple[weakref.ref[NDArray[np.bool_]], _Allowed] | None = None
        self._small_bytes = (
            router_bytes(*centroids.shape)
            + self.lists * LIST_BYTES
            + router_codebooks.nbytes
            + 2 * codebooks.nbytes
        )

    def _read_lists(self, path: Path, sizes: NDArray[np.int64]) -> None:
        """Codes and ordinals into one allocation, checked: faiss follows what it finds there."""
        total = path.stat().st_size
        layout = self._codec.layout(self.dimension)
        if sizes.dtype != np.int64 or (sizes < 0).any() or (sizes > total // layout.stride).any():
            raise ValueError("impossible sizes of lists")
        self.rows = int(sizes.sum())
        code_bytes = layout.code_bytes(sizes)
        ends = np.cumsum(code_bytes + layout.ordinal_bytes(sizes))
        if total != ends[-1] or total == 0:
            raise ValueError(f"{path.name} has {total} bytes, its lists need {ends[-1]}")
        self._memory = mmap.mmap(-1, total, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            # Lists are short and far apart: with small pages each begins with misses of the address cache.
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        with path.open("rb") as file:
            file.readinto(self._memory)
        offsets = np.concatenate([[0], ends[:-1]])
        self._ordinals = [
            np.frombuffer(self._memory, np.int64, size, start)
            for size, start in zip(sizes.tolist(), (offsets + code_bytes).tolist(), strict=True)
        ]
        seen = np.zeros(self.rows, dtype=bool)
        for number, ordinals in enumerate(self._ordinals):
            if len(ordinals) and (ordinals.min() < 0 or ordinals.max() >= self.rows):
                raise ValueError(f"list {number} holds rows beyond {self.rows}")
            seen[ordinals] = True
        if not seen.all():
            raise ValueError(f"{self.rows - int(seen.sum())} rows are in no list")
        capacity = code_bytes // layout.stride
        records = np.stack([sizes, capacity, offsets], axis=1).astype(np.uint64)

        # The class of faiss that reads lists from one block of memory; the block is ours instead of a mapped file.
        invlists = faiss.OnDiskInvertedLists(self.lists, layout.stride, "")
        invlists.read_only = True
        invlists.prefetch_nthread = 0  # threads that would read ahead from a disk
        ctypes.memmove(int(invlists.lists.data().this), records.ctypes.data, records.nbytes)
        invlists.ptr = faiss.swig_ptr(np.frombuffer(self._memory, dtype=np.uint8))
        # faiss would unmap the block when it lets go of the lists.
        weakref.finalize(self, setattr, invlists, "ptr", None)
        for index in (self._single, self._batch):
            index.replace_invlists(invlists, False)
            index.ntotal = self.rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.dimension

    @property
    def ram_bytes(self) -> int:
        return int(len(self._memory) + self._small_bytes)

    @property
    def efforts(self) -> tuple[int, ...]:
        """Lists to probe: powers of two and midpoints up to all."""
        steps = (1 << i for i in range(self.lists.bit_length()))
        grid = {value for step in steps for value in (step, step + step // 2)}
        return (*sorted(value for value in grid if value < self.lists), self.lists)

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,
    ) -> Candidates:
        """`effort` is the number of lists probed, default 64; under a mask those that hold none of its rows are free.

        A mask that allows a share s of what lies in a query's nearest lists multiplies its effort by 1 / √s, rounded up
        to a power of two: the matches that are nearest lie further away, and spread over more lists. The share is each
        query's own, since a filter may hide just what lies around it. Where fewer than min(candidates, matches) come
        back, four times as many lists are probed, until they do or no list is left.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if self._scale != 1:
            queries = queries * np.float32(self._scale)
        probes = effort or _DEFAULT_EFFORT
        if mask is None:
            found = self._scan(queries, candidates, min(probes, self.lists), None)
            if probes >= self.lists:
                self._complete(found, min(candidates, self.rows), None)
            return found
        allowed = self._understand(mask)
        found = Candidates(
            np.full((len(queries), candidates), -1, dtype=np.int64),
            np.full((len(queries), candidates), -np.inf, dtype=np.float32),
        )
        wanted = min(candidates, allowed.rows)
        if wanted:
            factors = self._factors(queries, min(probes, self.lists), allowed)
            for factor in np.unique(factors).tolist():
                chosen = np.flatnonzero(factors == factor)
                found.ordinals[chosen], found.scores[chosen] = self._widened(
                    queries[chosen], candidates, factor * probes, allowed, wanted
                )
            self._complete(found, wanted, mask)
        return found

    def _factors(self, queries: NDArray[np.float32], probes: int, allowed: _Allowed) -> NDArray[np.int64]:
        """(nq,) powers of two by which a mask raises each query's effort."""
        _, numbers = self._router.choose(queries, probes, None)
        matches = np.where(numbers < 0, 0, allowed.matches[numbers]).sum(axis=1)
        share = matches / np.maximum(np.where(numbers < 0, 0, self._sizes[numbers]).sum(axis=1), 1)
        powers = np.ceil(np.log2(1 / np.maximum(share, _LEAST_SHARE)) / 2)
        factors: NDArray[np.int64] = 2 ** powers.astype(np.int64)
        return factors

    def _widened(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        probes: int,
        allowed: _Allowed,
        wanted: int,
    ) -> Candidates:
        """A scan under a mask, of more and more lists until there are as many candidates as wanted."""
        probes = min(probes, allowed.held)
        found = self._scan(queries, candidates, probes, allowed)
        left = np.flatnonzero(found.ordinals[:, wanted - 1] < 0)
        while len(left) and probes < allowed.held:
            probes = min(4 * probes, allowed.held)
            found.ordinals[left], found.scores[left] = self._scan(queries[left], candidates, probes, allowed)
            left = left[found.ordinals[left, wanted - 1] < 0]
        return found

    def _complete(self, candidates: Candidates, wanted: int, mask: NDArray[np.bool_] | None) -> None:
        """After a scan of all lists: that of 4-bit codes drops a row whose every code is the worst; it comes last."""
        ordinals, scores = candidates
        for query in np.flatnonzero(ordinals[:, wanted - 1] < 0):
            found = int((ordinals[query] >= 0).sum())
            rows = np.arange(self.rows) if mask is None else np.flatnonzero(mask)
            ordinals[query, found:wanted] = np.setdiff1d(rows, ordinals[query, :found])[: wanted - found]
            scores[query, found:wanted] = scores[query, found - 1] if found else 0.0

    def _scan(
        self, queries: NDArray[np.float32], candidates: int, probes: int, allowed: _Allowed | None
    ) -> Candidates:
        index = self._single if len(queries) == 1 else self._batch
        parameters = (
            _parameters(probes)
            if allowed is None
            else faiss.SearchParametersIVF(nprobe=probes, sel=allowed.selector)
        )
        scores = np.empty((len(queries), candidates), dtype=np.float32)
        ordinals = np.empty((len(queries), candidates), dtype=np.int64)
        table_bytes = probes * self._codec.table_bytes(self._metric)
        step = max(1, _TABLE_BYTES // table_bytes) if table_bytes else max(1, len(queries))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            asked = len(part), faiss.swig_ptr(part), candidates
            into = (
                faiss.swig_ptr(scores[start : start + step]),
                faiss.swig_ptr(ordinals[start : start + step]),
            )
            if allowed is None and self._router.proposes(probes):
                # faiss asks the router itself: one call is one release of Python's lock.
                index.search_c(*asked, *into, parameters)
                continue
            lists = None if allowed is None else allowed.lists
            distances, numbers = self._router.choose(part, probes, lists)
            # The wrapper of this method takes no parameters, so the call behind it.
            index.search_preassigned_c(
                *asked, faiss.swig_ptr(numbers), faiss.swig_ptr(distances), *into, False, parameters
            )
        found = candidates_of(scores, ordinals, metric_type(self._metric))
        if self._scale != 1:
            found.scores[...] *= np.float32(self._scale**-2)
        return found

    def _understand(self, mask: NDArray[np.bool_]) -> _Allowed:
        kept = self._mask
        if kept is not None and kept[0]() is mask:
            return kept[1]
        ends = np.cumsum(self._sizes)
        counts = np.concatenate([[0], np.cumsum(mask[np.concatenate(self._ordinals)])])
        matches = counts[ends] - counts[ends - self._sizes]
        held = matches > 0
        lists = None if held.all() else held
        allowed = _Allowed(int(matches.sum()), matches, lists, int(np.count_nonzero(held)), selector(mask))
        if not mask.flags.writeable:
            self._mask = (weakref.ref(mask), allowed)
        return allowed
