"""A version, open for reading."""

from __future__ import annotations

import fcntl
import math
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, Mask, open_exact_vectors
from .checks import integer
from .dense_part import DensePart, open_part, rows_of_segments
from .errors import IntegrityError, NotFoundError
from .features import Feature, Features
from .filters import TIMEOUT_S, MaskCache, cache_bytes, mask_of
from .hits import Hit
from .index.dense import Vectors
from .manifest import Manifest, current_version, manifest_path, read_manifest, versions
from .segment import open_vectors
from .vector_search import Ranked, Request, VectorSearch

_LEAST_MASK_BYTES = 64 << 10  # of a small store: too little to plan with


class Snapshot:
    """One version of a store. Immutable and safe for concurrent searches; holds its version against `prune`."""

    def __init__(self, path: Path, manifest: Manifest, hold: int, previous: Snapshot | None = None) -> None:
        """`previous`: a version of the same store that is open: what it shares with this one is not read again."""
        self._hold = hold  # file descriptor of the manifest, with a shared lock on it
        self.path = path
        self.manifest = manifest
        self.catalog: Catalog = Catalog(path, manifest, None if previous is None else previous.catalog)
        self.masks: MaskCache = MaskCache(0) if previous is None else previous.masks
        self.masks.limit_bytes = max(cache_bytes(self.rows), _LEAST_MASK_BYTES)
        self._combined: tuple[Mask | None, Mask] = (None, np.empty(0, dtype=np.bool_))
        self.vectors = open_exact_vectors(self.catalog, manifest)
        self.index_vectors = (
            self.vectors
            if manifest.exact_encoder is None
            else open_exact_vectors(self.catalog, manifest, rescoring=False)
        )
        ranges = rows_of_segments(manifest.segments)
        opened = {} if previous is None else {part.id: part for part in previous.parts}
        self.parts: list[DensePart] = [
            open_part(path, entry, ranges, manifest.dimension, opened.get(entry.id))
            for entry in manifest.indexes
        ]
        second = None if manifest.exact_encoder is None else self.vectors
        self.dense: VectorSearch = VectorSearch(
            self.index_vectors, self.parts, self._uncovered(ranges), second
        )
        self.features: Features = Features(
            path, manifest, self.catalog.first_rows, None if previous is None else previous.features
        )

    @classmethod
    def open(cls, path: Path, version: int | None, previous: Snapshot | None = None) -> Self:
        """Open a version, the current one by default; see `Datastore.open` for what is raised."""
        return cls(path, *hold_version(path, version), previous)

    def _uncovered(self, ranges: dict[str, range]) -> NDArray[np.int64]:
        covered = {segment for entry in self.manifest.indexes for segment in entry.segments}
        tail = [
            np.arange(rows.start, rows.stop) for segment, rows in ranges.items() if segment not in covered
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *tail])

    def sequential_vectors(self) -> Vectors:
        """The vectors of the index's space, for reading from front to back."""
        parts = [
            open_vectors(segment.folder, segment.entry, self.manifest.dimension, self.manifest.dtype)
            for segment in self.catalog.segments
        ]
        return Vectors(parts, self.manifest.metric, self.manifest.dimension)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_reopen, version=self.version), (self.path.absolute(),)

    def close(self) -> None:
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def __del__(self) -> None:
        # Readers of a version go when the last Hits that point at it do.
        if hasattr(self, "_hold"):
            self.close()

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def rows(self) -> int:
        """Rows, the deleted ones included."""
        return self.catalog.rows

    @property
    def ram_bytes(self) -> dict[str, int]:
        return {
            "index": sum(part.index.ram_bytes for part in self.parts),
            "rows": self.catalog.first_rows.nbytes
            + (0 if self.catalog.live is None else self.catalog.live.nbytes),
            "masks": self.masks.bytes,
            "features": self.features.ram_bytes,
        }

    def feature(self, kind: str, name: str | None = None) -> Feature:
        """What the version has for one more way to search; see `Features.get`."""
        return self.features.get(kind, name)

    def read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """The passages of m rows with their (m,) scores, in the order given."""
        return self.catalog.read_hits(rows, scores)

    def mask(self, where: str | None, deadline: float = math.inf) -> Mask | None:
        """(rows,) which rows a search may return; None where all are.

        Raises
        ------
        SearchTimeoutError
            If `deadline`, a time of `time.monotonic`, passes; without one, after `TIMEOUT_S`.
        """
        live = self.catalog.live
        if where is None:
            return live
        left_s = TIMEOUT_S if deadline == math.inf else max(0.0, deadline - time.monotonic())
        chosen = mask_of(where, self.catalog.metadata_files, self.masks, left_s)
        if live is None:
            return chosen
        # The same array for the same filter: an index keeps what it found out about a mask by identity.
        known, combined = self._combined
        if known is not chosen:
            combined = chosen & live
            combined.setflags(write=False)
            self._combined = (chosen, combined)
        return combined

    def search(
        self,
        queries: NDArray[np.float32],
        request: Request,
        mask: Mask | None,
        exact_queries: NDArray[np.float32] | None = None,
    ) -> Ranked:
        """The k best rows, of those that `mask` (`Snapshot.mask`) allows, for each of (nq, d) queries.

        `exact_queries` are theirs in the space of the exact vectors, where that is another encoder's.
        """
        return self.dense.search(queries, request, mask, exact_queries)


class Held(NamedTuple):
    """A version that `prune` leaves alone as long as the descriptor is open."""

    manifest: Manifest
    hold: int


def hold_version(path: Path, version: int | None) -> Held:
    """Hold a version, the current one by default.

    Raises
    ------
    NotFoundError
        If there is no store, or not this version of it.
    IntegrityError
        As `read_manifest` does.
    """
    if version is not None and integer("version", version, at_least=1) not in versions(path):
        read_manifest(path)  # says if there is no store at all
        known = ", ".join(map(str, versions(path)))
        raise NotFoundError(f"{path} has no version {version}", hint=f"versions that are kept: {known}")
    while True:
        wanted = current_version(path) if version is None else version
        try:
            manifest = read_manifest(path, wanted)
            return Held(manifest, _hold(path, manifest.version))
        except IntegrityError:
            # Pruned between naming it and holding it? Then a newer one is current now.
            if version is not None or current_version(path) == wanted:
                raise


def _hold(path: Path, version: int) -> int:
    """A descriptor with a shared lock on a version's manifest."""
    gone = IntegrityError(f"version {version} of {path} is gone")
    try:
        descriptor = os.open(manifest_path(path, version), os.O_RDONLY)
    except FileNotFoundError:
        raise gone from None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        raise gone
    return descriptor


def _reopen(path: Path, *, version: int) -> Snapshot:
    return Snapshot.open(path, version)
