"""The store as an application sees it: open a version, ask, read the passages that answer, change them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from .changes import edit
from .changes import features as feature_changes
from .changes.batch import Metadata, check_ids
from .changes.prune import Pruned, prune
from .checks import integer, parse_bytes
from .encoders import Encoder, EncoderConfig, load_encoder
from .errors import CompendiaError, IntegrityError, OverBudgetError, UsageError
from .features import index_ram_bytes
from .hits import Hit, Hits
from .index.config import IndexConfig
from .index.dense.vectors import Metric, vector_array
from .kinds import check_names, declare, parse_config
from .manifest import Manifest, StoredEncoder, current_version, versions
from .planning.planner import indexes_ram_bytes, needed_and_allowed
from .planning.preference import check_parameters
from .request import check_request, check_rows, check_texts, is_text, query_vectors
from .segment import PASSAGES, StoredType
from .snapshot import Snapshot, hold_version

_DEFAULT_RECALL = 0.95
_LEAST_FLOAT16_DIMENSION = 16

Queries = str | Sequence[str] | Sequence[Sequence[float]] | NDArray[np.floating[Any]]


class Datastore:
    """A store with one of its versions open. Safe for concurrent searches, also while it is refreshed.

    The compressed index is in RAM, vectors and text stay on disk. The encoder is loaded when the first text
    query needs it. What this handle writes it sees at once; what others write, after `refresh`.
    """

    def __init__(self, path: Path, snapshot: Snapshot, encoder: EncoderConfig | None = None) -> None:
        self.path = path
        self._encoder_config = encoder
        self._start(snapshot)

    def _start(self, snapshot: Snapshot) -> None:
        """What does not survive a fork: maps with their advice, locks that another thread may hold."""
        self._snapshot: Snapshot | None = snapshot
        self._encoders: dict[str, Encoder] = {}
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._process = os.getpid()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        version: int | None = None,
        encoder: EncoderConfig | str | None = None,
        ram: int | str | None = None,
    ) -> Self:
        """Open a version of a store.

        Parameters
        ----------
        version
            Default: the current one.
        encoder
            Where to load the encoder from, if not from where the store was built with: a config, a hub name or
            a folder. It must be the same model.
        ram
            Bytes, or `"8GB"`, that the open store may take, its encoder not counted.

        Raises
        ------
        NotFoundError
            If there is no store at `path`.
        IntegrityError
            If a file of the version is missing or malformed.
        OverBudgetError
            If the store takes more than `ram`.
        """
        path = Path(path).expanduser()
        held = hold_version(path, version)
        manifest = held.manifest
        if ram is not None:
            try:
                _check_budget(path, manifest, parse_bytes(ram))
            except CompendiaError:
                os.close(held.hold)
                raise
        if isinstance(encoder, str):
            stored = manifest.encoder.config if manifest.encoder else EncoderConfig()
            encoder = stored.model_copy(update={"model": encoder})
        return cls(path, Snapshot(path, *held), encoder)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        dimension: int | None = None,
        encoder: EncoderConfig | str | None = None,
        metric: Metric = "cosine",
        vectors: StoredType | None = None,
        calibration_queries: NDArray[np.floating[Any]] | None = None,
        index: IndexConfig | None = None,
        features: Sequence[str | dict[str, Any]] = ("bm25",),
    ) -> Self:
        """A new, empty store: for vectors of one's own (`dimension`), or for texts that an encoder embeds.

        Parameters
        ----------
        metric
            `cosine`: vectors are stored at length one; `inner_product`; `l2`: scores are negative squared distances.
        vectors
            How exact vectors are stored: `float16` by default, `float32` below 16 dimensions. In so few, neighbours are
            nearer to each other than a float16 is exact (of 20,000 rows in 2 dimensions it gives .17 of the true ten). Under
            `cosine` directions nearer than 3.5e-4 get equal scores all the same: unit vectors in 2 or 3 dimensions belong
            in `l2`.
        calibration_queries
            (n, dimension) queries like those to come: the recall of an index is measured with them.
        index
            Budget and wanted recall of the index, or its family.
        features
            What the store can be searched by beside vectors: kinds of `add_index`, by name or with their options.

        Raises
        ------
        UsageError
            If there is something at `path` already, or an argument cannot be.
        """
        path = Path(path).expanduser()
        if (dimension is None) == (encoder is None):
            raise UsageError(
                "a store needs either a dimension, for vectors of your own, or an encoder",
                hint="Datastore.create(path, dimension=384)",
            )
        for name, value, known in (
            ("metric", metric, ("cosine", "inner_product", "l2")),
            ("vectors", vectors, (None, "float16", "float32")),
        ):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(filter(None, known))}, got {value!r}")
        stored = None
        if encoder is not None:
            config = EncoderConfig(model=encoder) if isinstance(encoder, str) else encoder
            stored = StoredEncoder(config=config, fingerprint=load_encoder(config).fingerprint)
            dimension = stored.fingerprint.dimension
        dimension = integer("dimension", dimension, at_least=1)
        if calibration_queries is not None:
            calibration_queries = query_vectors(calibration_queries, dimension, metric)
            if not len(calibration_queries):
                raise UsageError("calibration_queries are empty", hint="leave them out, or give some hundred")
        index = index or IndexConfig()
        check_parameters(index, dimension, metric)
        learns = (index.parameters.get("reduction") or {}).get("kind") == "leanvec"
        if learns and stored is None and calibration_queries is None:
            raise UsageError(
                "leanvec learns from queries, and none are given", hint="calibration_queries=…, or kind: pca"
            )
        configs = [*map(parse_config, features)]
        check_names(configs)
        manifest = edit.create(
            path,
            dimension=dimension,
            metric=metric,
            dtype=vectors or ("float16" if dimension >= _LEAST_FLOAT16_DIMENSION else "float32"),
            encoder=stored,
            index=index,
            calibration_queries=calibration_queries,
            features=[*map(declare, configs)],
        )
        return cls.open(path, version=manifest.version)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it has open, and opened again there: in a worker process, a Ray task."""
        reopen = partial(type(self).open, version=self.version, encoder=self._encoder_config)
        return reopen, (self.path.absolute(),)  # a worker may run in another folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and index; the store cannot be searched afterwards, but by hits that are still read."""
        self._snapshot = None
        self._encoders = {}

    @property
    def snapshot(self) -> Snapshot:
        """The version that is open: what it gives belongs together, also if the store is refreshed meanwhile."""
        snapshot = self._snapshot
        if snapshot is None:
            raise UsageError(f"{self!r} is closed", hint="open it again: Datastore.open(path)")
        if self._process != os.getpid():  # after a fork
            self._start(Snapshot.open(self.path, snapshot.version))
            return self.snapshot
        return snapshot

    def refresh(self) -> bool:
        """Move on to the store's current version; whether there was a newer one. Searches under way keep theirs."""
        _ = self.snapshot  # after a fork the lock is another
        with self._refreshing:
            old = self.snapshot
            if current_version(self.path) == old.version:
                return False
            self._snapshot = Snapshot.open(self.path, None, old)
            return True

    def versions(self) -> list[int]:
        """The versions that are there, ascending: `open` takes each, `rollback` each but the current one."""
        return [version for version in versions(self.path) if version <= (current_version(self.path) or 0)]

    def __len__(self) -> int:
        """Number of passages."""
        return sum(entry.live_rows for entry in self.manifest.segments)

    def __repr__(self) -> str:
        if self._snapshot is None:
            return f"Datastore({str(self.path)!r}, closed)"
        return f"Datastore({str(self.path)!r}, version={self.version}, passages={len(self)})"

    @property
    def manifest(self) -> Manifest:
        return self.snapshot.manifest

    @property
    def version(self) -> int:
        return self.snapshot.version

    @property
    def ram_bytes(self) -> dict[str, int]:
        """Bytes that an open store holds in RAM, by component; the encoder's weights are not counted."""
        return self.snapshot.ram_bytes

    @property
    def encoder(self) -> Encoder:
        """The store's encoder, loaded on first use.

        Raises
        ------
        UsageError
            If the store has none: its vectors come from elsewhere.
        IntegrityError
            If it is not the encoder that made the store's vectors.
        """
        return self._loaded("encoder", self.manifest.encoder, self._encoder_config)

    @property
    def exact_encoder(self) -> Encoder:
        """The encoder of the exact vectors: a second one where the store has one, else `encoder`."""
        stored = self.manifest.exact_encoder
        return self.encoder if stored is None else self._loaded("exact_encoder", stored, None)

    def _loaded(self, role: str, stored: StoredEncoder | None, config: EncoderConfig | None) -> Encoder:
        if stored is None:
            raise UsageError(
                f"{self.path} has no encoder: its vectors come from elsewhere",
                hint="search with vectors: store.search(numpy.array([[…]]))",
            )
        with self._lock:
            if role not in self._encoders:
                encoder = load_encoder(config or stored.config)
                differences = stored.fingerprint.differences(encoder.fingerprint)
                if differences:
                    name = (config or stored.config).model
                    raise IntegrityError(
                        f"the encoder {name!r} is not the one that built {self.path}: {differences}",
                        hint=f'Datastore.open(path, encoder="<the place of {stored.fingerprint.model}>")',
                    )
                self._encoders[role] = encoder
            return self._encoders[role]

    # A str is a Sequence[str] too; the first form that fits decides, so the overlap is harmless.
    @overload
    def search(  # type: ignore[overload-overlap]
        self,
        queries: str,
        k: int = 10,
        *,
        recall: float = _DEFAULT_RECALL,
        where: str | None = None,
        candidates: int | None = None,
        effort: int | None = None,
        fused: bool = False,
        timeout_s: float | None = None,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        queries: Sequence[str] | Sequence[Sequence[float]] | NDArray[np.floating[Any]],
        k: int = 10,
        *,
        recall: float = _DEFAULT_RECALL,
        where: str | None = None,
        candidates: int | None = None,
        effort: int | None = None,
        fused: bool = False,
        timeout_s: float | None = None,
    ) -> Hits: ...
    def search(
        self,
        queries: Queries,
        k: int = 10,
        *,
        recall: float = _DEFAULT_RECALL,
        where: str | None = None,
        candidates: int | None = None,
        effort: int | None = None,
        fused: bool = False,
        timeout_s: float | None = None,
    ) -> list[Hit] | Hits:
        """The k passages nearest to each query, by exact vectors.

        Parameters
        ----------
        queries
            One question: a list of Hit comes back. A list of questions, or (n, d) vectors: `Hits`.
        recall
            Share of the true k that the index must find, as measured when it was built; 1: compare with all vectors.
        where
            A condition in SQL over the columns of the metadata: `"source = 'wikipedia' AND year >= 2020"`.
        candidates, effort
            Set by hand, for study, what `recall` chooses: the rows that the index proposes, and its search effort.
        fused
            Of a store with two encoders: score by the mean of both, not by the exact one alone.
        timeout_s
            Seconds after which the search gives up, checked between its steps and while a filter is evaluated; without it
            a filter may take 30.

        Raises
        ------
        UsageError
            If a number is out of range, a query is empty, vectors have another shape or are not finite, or `where`
            is no condition over the store's columns.
        SearchTimeoutError
            If `timeout_s` is over.
        """
        snapshot = self.snapshot
        request = check_request(snapshot, k, recall, candidates, effort, fused, timeout_s)
        # What cannot be asked is refused before seconds go into loading an encoder.
        texts = None if isinstance(queries, np.ndarray) or not is_text(queries) else check_texts(queries)
        if texts == [] and snapshot.manifest.encoder is None:  # an empty list is of texts or of vectors
            texts, queries = None, np.empty((0, snapshot.manifest.dimension))
        timings: dict[str, float] = {}
        started = time.perf_counter()
        mask = snapshot.mask(where, request.deadline)
        if where is not None:
            timings["filter"] = (time.perf_counter() - started) * 1e3
            started = time.perf_counter()
        exact = None
        if texts is None:
            vectors = query_vectors(queries, snapshot.manifest.dimension, snapshot.manifest.metric)
            if snapshot.manifest.exact_encoder is not None:
                raise UsageError(f"{self.path} scores with two encoders: ask it with text")
        else:
            if "encoder" not in self._encoders:
                _ = self.encoder, self.exact_encoder
                timings["load encoder"] = (time.perf_counter() - started) * 1e3
                started = time.perf_counter()
            vectors = self.encoder.encode_queries(texts)
            if snapshot.manifest.exact_encoder is not None:
                exact = self.exact_encoder.encode_queries(texts)
        timings["encode"] = (time.perf_counter() - started) * 1e3
        request.check_time()
        found = snapshot.search(vectors, request, mask, exact)
        timings.update(found.timings_ms)
        hits = Hits(snapshot.version, found.rows, found.scores, snapshot, timings, found.route)
        return hits[0] if isinstance(queries, str) else hits

    @overload
    async def asearch(  # type: ignore[overload-overlap]  # as in `search`
        self,
        queries: str,
        k: int = 10,
        *,
        recall: float = _DEFAULT_RECALL,
        where: str | None = None,
        candidates: int | None = None,
        effort: int | None = None,
        fused: bool = False,
        timeout_s: float | None = None,
    ) -> list[Hit]: ...
    @overload
    async def asearch(
        self,
        queries: Sequence[str] | Sequence[Sequence[float]] | NDArray[np.floating[Any]],
        k: int = 10,
        *,
        recall: float = _DEFAULT_RECALL,
        where: str | None = None,
        candidates: int | None = None,
        effort: int | None = None,
        fused: bool = False,
        timeout_s: float | None = None,
    ) -> Hits: ...
    async def asearch(self, queries: Queries, k: int = 10, **options: Any) -> list[Hit] | Hits:
        """`search` on a thread of its own: the event loop goes on meanwhile."""
        return await asyncio.to_thread(partial(self.search, queries, k, **options))

    def get_by_ids(self, ids: Sequence[str]) -> list[Hit]:
        """The passages with these ids, in their order, without those that are not there; the score is not a number."""
        names = [ids] if isinstance(ids, str) else [*ids]
        for name in names:
            if not isinstance(name, str):
                raise UsageError(f"ids must be strings, got {name!r}", hint="get_by_ids([str(i) for i in …])")
        found = self.snapshot.catalog.find_passages(names)
        return [found[name][1] for name in names if name in found]

    def read_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """(m, d) exact vectors of m rows of the open version, as they are stored.

        Raises
        ------
        UsageError
            If the version has no such row.
        """
        snapshot = self.snapshot
        return snapshot.vectors.take(check_rows(snapshot, rows))

    def read_hits(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        """The passages of m rows of the open version with their (m,) scores, in the order given.

        Raises
        ------
        UsageError
            If the version has no such row.
        """
        snapshot = self.snapshot
        return snapshot.read_hits(check_rows(snapshot, rows), scores)

    def read_column(self, name: str) -> list[Any]:
        """A column of `datastore.segment.PASSAGES` for all rows, in row order, deleted ones included.

        Raises
        ------
        UsageError
            If there is no such column.
        """
        if name not in PASSAGES.names:
            raise UsageError(f"passages have no column {name!r}", hint=f"known: {', '.join(PASSAGES.names)}")
        return self.snapshot.catalog.read_column(name)

    def live_rows(self) -> NDArray[np.int64]:
        """The rows that are not deleted, ascending."""
        live = self.snapshot.catalog.live
        return np.arange(self.snapshot.rows) if live is None else np.flatnonzero(live)

    def add(
        self,
        vectors: NDArray[np.floating[Any]] | None = None,
        ids: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        metadata: Metadata | None = None,
    ) -> list[str]:
        """Add rows, and see them: the ids of the passages, those given or new ones.

        Parameters
        ----------
        vectors
            (n, d). Without them the store's encoder embeds the texts, each of which must fit into what it reads.
        metadata
            One record a row; `document_id`, `source`, `title` and `ordinal` in it become the passage's own.

        Raises
        ------
        UsageError
            If an id is there already, or a row cannot be stored: the error names the row, and nothing is added.
        CompendiaError
            If another process is writing.
        """
        return self._add(vectors, ids, texts, metadata, replace=False)

    def upsert(
        self,
        vectors: NDArray[np.floating[Any]] | None = None,
        ids: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
        metadata: Metadata | None = None,
    ) -> list[str]:
        """`add`, but rows whose id is there already take the place of the old ones."""
        return self._add(vectors, ids, texts, metadata, replace=True)

    def _add(
        self,
        vectors: NDArray[np.floating[Any]] | None,
        ids: Sequence[str] | None,
        texts: Sequence[str] | None,
        metadata: Metadata | None,
        *,
        replace: bool,
    ) -> list[str]:
        manifest = self.manifest
        if manifest.exact_encoder is not None:
            raise UsageError(
                "a store with two encoders is built, not added to", hint="compendia build RECIPE"
            )
        if ids is not None and not isinstance(ids, str):
            ids = [*ids]
        if texts is not None:
            if isinstance(texts, str):
                raise UsageError("texts must be a list of strings", hint="texts=[…]")
            texts = list(texts)
        if vectors is not None:
            rows = vector_array(vectors, manifest.dimension)
        elif texts is None:
            raise UsageError("add needs vectors, or texts for the store's encoder")
        elif manifest.encoder is None:
            raise UsageError(
                f"{self.path} has no encoder: its vectors come from elsewhere", hint="add(vectors=…, texts=…)"
            )
        else:
            ids = None if ids is None else check_ids(ids)  # before seconds go into embedding
            rows = self.encoder.encode_passages(check_texts(texts, "text"))
        # To make queries from the passages, with which recall is measured; once they are there they stay.
        draws = texts is not None and manifest.encoder is not None and manifest.calibration is None
        encoder = self.encoder if draws else None
        block = edit.Rows(rows, ids, texts, metadata)
        _, made = edit.add(self.snapshot.path, [block], replace=replace, encoder=encoder)
        self.refresh()
        return made if ids is None else [*map(str, ids)]  # NumPy's strings too

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        document_ids: Sequence[str] | None = None,
        where: str | None = None,
    ) -> int:
        """Delete by passage ids, document ids or a condition as in `search`; the number of rows that went.

        Once a fifth of the store is deleted, the rest is written anew and indexed again within the call.

        Raises
        ------
        NotFoundError
            If a passage id is not there, or none of the documents is; nothing is deleted then.
        """
        _, count = edit.delete(self.snapshot.path, ids=ids, document_ids=document_ids, where=where)
        self.refresh()
        return count

    def add_index(self, kind: str | dict[str, Any], *, on_rows: Callable[[int], None] | None = None) -> bool:
        """Make the store searchable in one more way; whether it was not before. `add` and `delete` keep it complete.

        Parameters
        ----------
        kind
            `bm25` …, or its options with it: `{"kind": "bm25", "language": "german"}`.
        on_rows
            Called with the number of rows of each segment that is done.

        Raises
        ------
        UsageError
            If there is no such kind or option, or another index of this name.
        """
        _, added = feature_changes.add_feature(self.snapshot.path, kind, on_rows=on_rows)
        self.refresh()
        return added

    def drop_index(self, name: str) -> None:
        """Undo `add_index`.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        """
        feature_changes.drop_feature(self.snapshot.path, name)
        self.refresh()

    def compact(self) -> Pruned:
        """Write what is live into few segments under one index, and free the disk of all earlier versions."""
        edit.compact(self.snapshot.path)  # which a closed store lacks, so that nothing changes
        self.refresh()
        return self.prune()

    def prune(self, *, keep: int = 1) -> Pruned:
        """Free the disk of all but the newest `keep` versions; those that a reader has open stay."""
        return prune(self.snapshot.path, keep=keep)

    def rollback(self, version: int) -> int:
        """Make the state of an earlier version the current one; the number that it has now."""
        manifest = edit.rollback(self.snapshot.path, version)
        self.refresh()
        return manifest.version


def _check_budget(path: Path, manifest: Manifest, budget_bytes: int) -> None:
    rows = sum(entry.rows for entry in manifest.segments)
    needed = indexes_ram_bytes(manifest.indexes, rows, manifest.dimension) + index_ram_bytes(manifest)
    if needed > budget_bytes:
        sizes = needed_and_allowed(needed, budget_bytes)
        raise OverBudgetError(
            f"{path} takes {sizes[0]} of RAM, {sizes[1]} are allowed",
            hint=f"compendia plan --passages {rows} --dimension {manifest.dimension} --ram {budget_bytes}  "
            "says what would fit",
        )
