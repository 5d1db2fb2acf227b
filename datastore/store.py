"""The store as an application sees it: open a version, ask, read the passages that answer."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from .checks import integer
from .encoders import Encoder, EncoderConfig, load_encoder
from .errors import IntegrityError, UsageError
from .hits import Hit, Hits, rank
from .index.dense import DenseIndex, Vectors, open_index
from .index.dense.exact import ExactIndex
from .manifest import Manifest, read_manifest
from .segment import Segment

# A k of millions on a small store would only fill RAM with padding.
_LARGEST_K = 100_000

Queries = str | Sequence[str] | NDArray[np.floating[Any]]


def _allow_open_files(count: int) -> None:
    """Raise this process's own limit where it could not open `count` more files; shells start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 1_024
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class Datastore:
    """One version of a store, open for reading. Safe for concurrent searches.

    The compressed index is in RAM, vectors and text stay on disk. The encoder is loaded when the first text
    query needs it.
    """

    def __init__(self, path: Path, manifest: Manifest, encoder: EncoderConfig | None) -> None:
        self.path = path
        self.manifest = manifest
        self._encoder_config = encoder or manifest.encoder_config
        self._encoder: Encoder | None = None
        self._encoder_lock = threading.Lock()
        self._closed = False
        _allow_open_files(2 * len(manifest.segments))
        self._segments = [
            Segment(path / "segments" / entry.id, entry, manifest.dimension) for entry in manifest.segments
        ]
        self._first_rows = np.array(
            [0, *accumulate(entry.rows for entry in manifest.segments)], dtype=np.int64
        )
        self._index = self._open_index()

    @classmethod
    def open(
        cls, path: str | Path, *, version: int | None = None, encoder: EncoderConfig | str | None = None
    ) -> Self:
        """Open a version of a store.

        Parameters
        ----------
        version
            Default: the current one.
        encoder
            Where to load the encoder from, if not from where the store was built with: a config, a hub name or
            a folder. It must be the same model.

        Raises
        ------
        NotFoundError
            If there is no store at `path`.
        IntegrityError
            If a file of the version is missing or malformed.
        """
        path = Path(path).expanduser()
        manifest = read_manifest(path, version)
        if isinstance(encoder, str):
            encoder = manifest.encoder_config.model_copy(update={"model": encoder})
        return cls(path, manifest, encoder)

    def _open_index(self) -> DenseIndex:
        if not self.manifest.indexes:
            return ExactIndex(
                Vectors([segment.vectors for segment in self._segments], "cosine", self.manifest.dimension)
            )
        if len(self.manifest.indexes) > 1:
            raise IntegrityError(
                "this version has several dense indexes", hint="pip install --upgrade compendia"
            )
        entry = self.manifest.indexes[0]
        if entry.segments != tuple(segment.id for segment in self.manifest.segments):
            raise IntegrityError(f"index {entry.id} does not cover the segments of version {self.version}")
        return open_index(entry.family, self.path / "indexes" / entry.id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it has open, and opened again there: in a worker process, a Ray task."""
        reopen = partial(type(self).open, version=self.version, encoder=self._encoder_config)
        return reopen, (self.path.absolute(),)  # a worker may run in another folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and index; the store cannot be searched afterwards."""
        self._segments, self._index, self._encoder, self._closed = (
            [],
            ExactIndex(Vectors([], "cosine", 1)),
            None,
            True,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self!r} is closed", hint="open it again: Datastore.open(path)")

    def __len__(self) -> int:
        """Number of passages."""
        return int(self._first_rows[-1])

    def __repr__(self) -> str:
        return f"Datastore({str(self.path)!r}, version={self.version}, passages={len(self)})"

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def ram_bytes(self) -> dict[str, int]:
        """Bytes that an open store holds in RAM, by component; the encoder's weights are not counted."""
        return {"index": self._index.ram_bytes, "rows": self._first_rows.nbytes}

    @property
    def encoder(self) -> Encoder:
        """The store's encoder, loaded on first use.

        Raises
        ------
        IntegrityError
            If it is not the encoder that made the store's vectors.
        """
        with self._encoder_lock:
            if self._encoder is None:
                encoder = load_encoder(self._encoder_config)
                expected, got = self.manifest.encoder.model_dump(), encoder.fingerprint.model_dump()
                # A model may be moved to another place; its weights, limits and arithmetic may not change.
                differing = [key for key in expected if key != "model" and expected[key] != got[key]]
                if differing:
                    details = ", ".join(
                        f"{key} {got[key]!r} instead of {expected[key]!r}" for key in differing
                    )
                    raise IntegrityError(
                        f"the encoder {self._encoder_config.model!r} is not the one that built {self.path}: {details}",
                        hint=f'Datastore.open(path, encoder="<the place of {self.manifest.encoder.model}>")',
                    )
                self._encoder = encoder
            return self._encoder

    # A str is a Sequence[str] too; the first form that fits decides, so the overlap is harmless.
    @overload
    def search(  # type: ignore[overload-overlap]
        self, queries: str, k: int = 10, *, candidates: int | None = None
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        queries: Sequence[str] | NDArray[np.floating[Any]],
        k: int = 10,
        *,
        candidates: int | None = None,
    ) -> Hits: ...
    def search(self, queries: Queries, k: int = 10, *, candidates: int | None = None) -> list[Hit] | Hits:
        """The k passages nearest to each query, by cosine of exact vectors.

        Parameters
        ----------
        queries
            One question: a list of Hit comes back. A list of questions, or (n, d) vectors: `Hits`.
        candidates
            Rows that the index proposes and exact vectors decide about; more raises recall. Default: 4 k, at
            least k + 30.

        Raises
        ------
        UsageError
            If k or candidates is not positive, a query is empty, or vectors have another shape or are not finite.
        """
        self._check_open()
        k = integer("k", k, at_least=1)
        if k > max(len(self), _LARGEST_K):
            raise UsageError(f"k must be at most {max(len(self), _LARGEST_K):,} for this store, got {k:,}")
        if candidates is not None and (candidates := integer("candidates", candidates, at_least=1)) < k:
            raise UsageError(f"candidates must be at least k = {k}, got {candidates}")
        # What cannot be asked is refused before seconds go into loading an encoder.
        texts = None if isinstance(queries, np.ndarray) else check_queries(queries)
        timings = {}
        started = time.perf_counter()
        if self._encoder is None and texts is not None:
            _ = self.encoder
            timings["load encoder"] = (time.perf_counter() - started) * 1e3
            started = time.perf_counter()
        vectors = self._unit_vectors(queries) if texts is None else self.encoder.encode_queries(texts)
        encoded = time.perf_counter()
        candidates = min(max(4 * k, k + 30) if candidates is None else candidates, max(len(self), 1))
        proposed = self._index.search(vectors, max(candidates, 1))
        searched = time.perf_counter()
        rows, scores = rank(proposed.ordinals, self._exact_scores(vectors, proposed.ordinals), k)
        timings["encode"] = (encoded - started) * 1e3
        timings["index"] = (searched - encoded) * 1e3
        timings["rescore"] = (time.perf_counter() - searched) * 1e3
        hits = Hits(self.version, rows, scores, self, timings)
        return hits[0] if isinstance(queries, str) else hits

    def _unit_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """Query vectors at length one."""
        vectors = np.asarray(queries, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.manifest.dimension:
            raise UsageError(f"expected vectors of shape (n, {self.manifest.dimension}), got {vectors.shape}")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise UsageError("a query vector is zero or not finite")
        unit: NDArray[np.float32] = vectors / lengths
        return unit

    def _exact_scores(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products with the exact vectors of each query's rows; -1 rows get -inf."""
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for query, candidates in enumerate(rows):
            found = np.flatnonzero(candidates >= 0)
            gathered = self.read_vectors(candidates[found]).astype(np.float32)
            scores[query, found] = gathered @ vectors[query]
        return scores

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Segment number and position of each row."""
        numbers = np.searchsorted(self._first_rows, rows, side="right") - 1
        return numbers, rows - self._first_rows[numbers]

    def read_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(m, d) float16 exact vectors of m rows, read from disk."""
        self._check_open()
        vectors = np.empty((len(rows), self.manifest.dimension), dtype=np.float16)
        numbers, positions = self._locate(rows)
        for number in np.unique(numbers):
            here = numbers == number
            vectors[here] = self._segments[number].vectors[positions[here]]
        return vectors

    def read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """The passages of m rows with their (m,) scores, in the order given."""
        self._check_open()
        numbers, positions = self._locate(rows)
        return [
            self._segments[number].read_hit(position, score)
            for number, position, score in zip(
                numbers.tolist(), positions.tolist(), scores.tolist(), strict=True
            )
        ]

    def read_column(self, name: str) -> list[Any]:
        """A column of `datastore.segment.PASSAGES` for all rows, in row order."""
        self._check_open()
        return [value for segment in self._segments for value in segment.read_column(name)]


def check_queries(queries: str | Sequence[str]) -> list[str]:
    """The queries as a list.

    Raises
    ------
    UsageError
        If one is empty or not a string.
    """
    texts = [queries] if isinstance(queries, str) else list(queries)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"query {position} is a {type(text).__name__}, not a string")
        if not text.strip():
            raise UsageError(
                f"query {position} is empty", hint="ask something, for example: how do I open a file?"
            )
    return texts
