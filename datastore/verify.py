"""Find every way in which a store's files are not what its manifest says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .catalog import open_exact_vectors
from .changes.fold import read_queries
from .encoders import load_encoder
from .errors import CompendiaError, IntegrityError, MissingPackageError, NotFoundError, UsageError
from .files import checksum
from .kinds import check_fingerprint
from .lookup import hash_ids
from .manifest import FileEntry, Manifest, read_manifest, versions
from .recall.calibration import RecallRow, recall_report
from .recall.calibration_queries import perturbed_rows
from .request import query_vectors
from .snapshot import hold_version
from .store import Datastore
from .vector_search import Request

_SELF_SEARCHES = 20
_SELF_CANDIDATES = 30
_PERTURBED_ROWS = 200


def verify(path: Path, *, on_note: Callable[[str], None] | None = None) -> list[str]:
    """One line a fault; empty when the current version is whole.

    Checked: the manifest of every version that is kept, each file's size and checksum, that passage ids are unique, that vectors have length one, that the
    index finds a sample of the store's own vectors, and that its encoders are those that made them. `on_note` is
    called with a line for each encoder that cannot be loaded here without the network, and is not checked therefore.

    Raises
    ------
    NotFoundError
        If there is no store.
    """
    manifest, hold = hold_version(path, None)  # a writer may go on, and prune what is read here
    try:
        faults = [*_manifest_faults(path, manifest.version), *_file_faults(path, manifest)]
        # What the files' contents say means nothing while the files themselves are wrong.
        faults = faults or list(_content_faults(path, manifest.version))
        return [*faults, *_encoder_faults(manifest, on_note)]
    finally:
        os.close(hold)


class RecallReport(NamedTuple):
    """What `verify_recall` measured."""

    source: str  # of the queries: `given`, or what the store was calibrated with
    queries: int
    rows: list[RecallRow]
    of: Literal[
        "search", "index"
    ]  # the index alone, by its own encoder, where a second one decides about searches


def verify_recall(
    path: Path,
    queries: NDArray[np.floating[Any]] | None = None,
    targets: Sequence[float] = (0.9, 0.95, 0.98, 0.99),
) -> RecallReport:
    """Recall@10 and @100 of the current version at each target, measured anew against a scan of all vectors.

    `queries` (n, d) say how it is for them; default, those that the store was calibrated with, else rows with noise.
    They are vectors of the index's encoder: of a store with two encoders it is the index that is measured, and a search,
    in which the second encoder decides, may find less of what that one puts first.

    Raises
    ------
    UsageError
        If the store is empty, or there is no query.
    """
    with Datastore.open(path) as store:
        snapshot = store.snapshot
        if not len(store):
            raise UsageError(f"{path} has no passages: there is no recall to measure", hint="add some first")
        if queries is not None:
            source, asked = "given", query_vectors(queries, store.manifest.dimension, store.manifest.metric)
        else:
            kept = read_queries(path, store.manifest)
            vectors = snapshot.sequential_vectors()
            source = store.manifest.calibration.source if store.manifest.calibration else "rows"
            asked = perturbed_rows(vectors, _PERTURBED_ROWS, seed=1) if kept is None else kept

        if not len(asked):
            raise UsageError("there is no query to measure recall with", hint="give one or more")

        def search(vectors: NDArray[np.float32], k: int, recall: float) -> NDArray[np.int64]:
            return snapshot.search(vectors, Request(k, recall), snapshot.mask(None)).rows

        def exact(vectors: NDArray[np.float32], k: int) -> NDArray[np.int64]:
            return search(vectors, k, 1.0)

        of: Literal["search", "index"] = "search" if store.manifest.exact_encoder is None else "index"
        return RecallReport(source, len(asked), recall_report(search, exact, asked, targets), of)


def remove_damaged(path: Path, manifest: Manifest, *, checksums: bool) -> set[str]:
    """Remove segments and indexes of a version that are not whole, so that a build makes them again; their ids.

    The caller holds the writer lock. Without `checksums` only what is missing or has another size is found.
    """
    damaged = set()
    for folder, files in _folders(manifest):
        if any(_file_fault(path / folder / name, file, checksums=checksums) for name, file in files.items()):
            shutil.rmtree(path / folder, ignore_errors=True)
            damaged.add(Path(folder).name)
    return damaged


def _manifest_faults(path: Path, current: int) -> Iterator[str]:
    """Of earlier versions, which `rollback` and `open(version=…)` would read."""
    for version in versions(path):
        if version >= current:  # beyond it, none was committed
            return
        try:
            read_manifest(path, version)
        except IntegrityError as error:
            if version in versions(path):  # it may be pruned meanwhile
                yield error.message


def _file_faults(path: Path, manifest: Manifest) -> Iterator[str]:
    for name, expected in _files(manifest):
        fault = _file_fault(path / name, expected)
        if fault:
            yield f"{name}: {fault}"


def _files(manifest: Manifest) -> Iterator[tuple[str, FileEntry]]:
    """Every file of a version, by its name in the store."""
    for folder, files in _folders(manifest):
        for name, file in files.items():
            yield f"{folder}/{name}", file
    for segment in manifest.segments:
        if segment.deletes is not None:
            yield f"deletes/{segment.id}/{segment.deletes.name}", segment.deletes
    if manifest.calibration is not None:
        yield f"calibration/{manifest.calibration.name}", manifest.calibration


def _folders(manifest: Manifest) -> Iterator[tuple[str, Mapping[str, FileEntry]]]:
    """The folders of a version that are written once, and what they hold."""
    for segment in manifest.segments:
        yield f"segments/{segment.id}", segment.files
        for feature, files in segment.features.items():
            yield f"features/{segment.id}/{feature}", files
    for index in manifest.all_indexes:
        yield f"indexes/{index.id}", index.files


def _file_fault(file: Path, expected: FileEntry, *, checksums: bool = True) -> str | None:
    if not file.is_file():
        return "is missing"
    if file.stat().st_size != expected.bytes:
        return f"has {file.stat().st_size} bytes instead of {expected.bytes}"
    if checksums and checksum(file) != expected.checksum:
        return "has another checksum than when it was written"
    return None


def _content_faults(path: Path, version: int) -> Iterator[str]:
    try:
        store = Datastore.open(path, version=version)
    except CompendiaError as error:
        yield error.message
        return
    hashes = [np.empty(0, dtype=np.uint64)]  # eight bytes a row, not its string
    for segment in store.snapshot.catalog.segments:
        ids = segment.read_column("passage_id")
        if len(ids) != segment.entry.rows:
            yield f"segments/{segment.entry.id}: {len(ids)} passages in text, {segment.entry.rows} in the manifest"
            return
        hashes.append(hash_ids(ids))
    live = store.live_rows()
    twice = len(live) - len(np.unique(np.concatenate(hashes)[live]))
    if twice:
        yield f"{twice} passage ids occur twice"
    if store.manifest.metric == "cosine":
        lengths = list(_length_faults(store))
        yield from lengths
        if lengths:
            return  # a search for such a vector proves nothing
    yield from _index_faults(store, live)
    for feature in store.manifest.features:
        try:
            store.snapshot.feature(feature.kind, feature.name)
        except CompendiaError as error:
            yield error.message


def _encoder_faults(manifest: Manifest, on_note: Callable[[str], None] | None) -> Iterator[str]:
    for feature in manifest.features:
        try:
            check_fingerprint(feature, fetch=False)
        except (NotFoundError, MissingPackageError) as error:
            if on_note is not None:
                on_note(f"what made the {feature.name} index is not checked: {error.message}")
        except CompendiaError as error:
            yield error.message
    for stored in (manifest.encoder, manifest.exact_encoder):
        if stored is None:
            continue
        name = stored.config.model
        try:
            encoder = load_encoder(stored.config, fetch=False)
        except (NotFoundError, MissingPackageError) as error:
            if on_note is not None:
                on_note(f"the encoder {name!r} is not checked: {error.message}")
            continue
        except UsageError as error:  # it has another dimension
            yield error.message
            continue
        differences = stored.fingerprint.differences(encoder.fingerprint)
        if differences:
            yield f"the encoder {name!r} is not the one that made the vectors: {differences}"


def _index_faults(store: Datastore, live: NDArray[np.int64]) -> Iterator[str]:
    """Each index must find its own vectors, or others that score as well."""
    snapshot = store.snapshot
    vectors = snapshot.sequential_vectors()
    exact = open_exact_vectors(snapshot.catalog, store.manifest, rescoring=False)
    for entry, part in zip(store.manifest.indexes, snapshot.parts, strict=True):
        rows = np.concatenate([np.arange(covered.start, covered.stop) for covered in part.ranges])
        own = rows[np.isin(rows, live)]
        if not len(own):
            continue
        sample = own[np.unique(np.linspace(0, len(own) - 1, _SELF_SEARCHES).astype(np.int64))]
        queries = vectors.take(sample)
        # With all the effort it takes: how much a search should is for `verify --recall` to say.
        candidates = _SELF_CANDIDATES if part.curve is None else part.curve.best(10).candidates
        efforts = part.index.efforts
        found = part.search(
            queries,
            min(max(_SELF_CANDIDATES, candidates), part.rows),
            snapshot.catalog.live,
            efforts[-1] if efforts else None,
        ).ordinals
        best = exact.scores(queries, found).max(axis=1)
        expected = exact.scores(queries, sample[:, None])[:, 0]
        tolerance = 0.01 * np.einsum("ij,ij->i", queries, queries)
        lost = int((best < expected - tolerance).sum())
        if lost:
            yield f"index {entry.id} does not find {lost} of {len(sample)} of the store's own vectors"


def _length_faults(store: Datastore) -> Iterator[str]:
    step = 65_536
    rows = store.snapshot.rows
    for start in range(0, rows, step):
        here = np.arange(start, min(start + step, rows))
        lengths = np.linalg.norm(store.read_vectors(here).astype(np.float32), axis=1)
        bad = np.flatnonzero(~(np.abs(lengths - 1.0) < 0.01))
        if len(bad):
            yield f"row {start + int(bad[0])} and {len(bad) - 1} more have vectors whose length is not one"
            return
