"""Changing a store: each function makes one new version from the current one, or leaves the store as it was.

The caller's own open stores keep their version until they are refreshed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..catalog import Catalog
from ..encoders import Encoder
from ..errors import NotFoundError, UsageError
from ..files import content_key, writer_lock
from ..filters import MaskCache, mask_of
from ..index.config import IndexConfig
from ..index.dense.vectors import Metric
from ..lookup import hash_ids
from ..manifest import (
    FeatureEntry,
    Manifest,
    SegmentEntry,
    StoredEncoder,
    current_version,
    next_version,
    read_manifest,
    versions,
)
from ..segment import StoredType, write_passages
from .batch import Batch, Metadata, batches, check_ids, check_rows
from .compact import compacted
from .deletes import mark_deleted
from .finish import commit_folded, with_indexes
from .fold import with_queries, write_queries
from .write import SegmentCounts, commit_next, publish_segment


def create(
    path: Path,
    *,
    dimension: int,
    metric: Metric,
    dtype: StoredType,
    encoder: StoredEncoder | None,
    index: IndexConfig,
    calibration_queries: NDArray[np.float32] | None,
    features: Sequence[FeatureEntry] = (),
) -> Manifest:
    """An empty store in a new or empty folder.

    Raises
    ------
    UsageError
        If there is something at `path` already.
    """
    if path.exists() and (not path.is_dir() or any(_not_of_creation(file) for file in path.iterdir())):
        what = "is a datastore already" if path.is_dir() and current_version(path) else "is not empty"
        raise UsageError(f"{path} {what}", hint=f"Datastore.open({str(path)!r}), or name a new folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError) as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}", hint="name a new folder") from error
    with writer_lock(path):
        entry = None
        if calibration_queries is not None:
            entry = write_queries(path, calibration_queries, "given")
        manifest = Manifest(
            version=1,
            parent=None,
            metric=metric,
            dimension=dimension,
            dtype=dtype,
            encoder=encoder,
            calibration=entry,
            index=index,
            segments=(),
            indexes=(),
            features=tuple(features),
        )
        return commit_next(path, manifest)


def _new_names(catalog: Catalog, version: int, rows: range) -> list[str]:
    """Ids for the new rows of a version, none of which is in the store: a user's own may look like them."""
    for attempt in count():
        names = [f"{version}-{row}" if not attempt else f"{version}.{attempt}-{row}" for row in rows]
        if not catalog.rows_of_passages(names):
            break
    return names


def _not_of_creation(file: Path) -> bool:
    """Whether a creation that was killed cannot have left this file behind."""
    return file.name not in ("LOCK", "calibration", "versions") and not file.match(".CURRENT.*.tmp")


class Rows(NamedTuple):
    """Rows to add; lists of one length."""

    vectors: NDArray[np.floating[Any]]  # (n, d)
    ids: Sequence[str] | None = None  # None: new ones are made
    texts: Sequence[str] | None = None
    metadata: Metadata | None = None


def add(
    path: Path, blocks: Iterable[Rows], *, replace: bool, encoder: Encoder | None = None, **changes: Any
) -> tuple[Manifest, list[str]]:
    """Add rows; with `replace`, those whose id is there already take the place of the old ones. Also gives new ids.

    Blocks are read one at a time. `encoder` is the store's, to make queries that recall is measured with; `changes`
    go into the manifest.

    Raises
    ------
    UsageError
        If a row cannot be stored, or its id is there already and `replace` is false; nothing is added then.
    """
    with writer_lock(path):
        manifest = read_manifest(path)
        catalog = Catalog(path, manifest)
        number = next_version(path)
        made: list[str] = []
        added: list[SegmentEntry] = []
        replaced: list[int] = []
        seen: list[NDArray[np.uint64]] = []
        for block in blocks:
            names = block.ids
            if names is None:
                first = sum(entry.rows for entry in added)
                names = _new_names(catalog, number, range(first, first + len(np.atleast_1d(block.vectors))))
                made += names
            names = check_ids(names)
            check_rows(block.vectors, names, block.texts, block.metadata, manifest.dimension)
            known = catalog.rows_of_passages(names)
            if known and not replace:
                raise UsageError(
                    f"{len(known)} of the ids are in the store already, first {next(iter(known))!r}",
                    hint="upsert(…) replaces them",
                )
            replaced += known.values()
            seen.append(hash_ids(names))
            rows = batches(
                block.vectors,
                names,
                block.texts,
                block.metadata,
                metric=manifest.metric,
                dtype=manifest.dtype,
            )
            for batch in rows:
                added.append(_publish(path, batch, number, len(added)))
        if not added:
            return manifest, made
        if len(seen) > 1 and len(np.unique(np.concatenate(seen))) < sum(map(len, seen)):
            raise UsageError("an id occurs in two blocks of rows")
        old_rows = np.array(sorted(replaced), dtype=np.int64)
        segments = (*mark_deleted(path, manifest, catalog, old_rows), *added)
        changed = manifest.model_copy(update={"segments": segments, "recipe_hash": None, **changes})
        if encoder is not None:
            changed = with_queries(path, changed, encoder)
        return commit_folded(path, changed), made


def _publish(path: Path, batch: Batch, version: int, number: int) -> SegmentEntry:
    documents = len({(passage.source, passage.document_id) for passage in batch.passages})
    digest = xxhash.xxh3_64_hexdigest(np.ascontiguousarray(batch.vectors).data)
    # The same rows, added again after a crash, lead to the same folder.
    key = content_key(version, number, digest, batch.passages)

    def fill(folder: Path) -> int:
        np.save(folder / "vectors.npy", batch.vectors)
        return write_passages(folder, batch.passages)

    return publish_segment(path, key, SegmentCounts(documents), fill)


def delete(
    path: Path,
    *,
    ids: Sequence[str] | None = None,
    document_ids: Sequence[str] | None = None,
    where: str | None = None,
) -> tuple[Manifest, int]:
    """Delete by passage ids, document ids or a predicate, and count the rows that went.

    Raises
    ------
    NotFoundError
        If a passage id is not in the store, or none of the documents is; nothing is deleted then.
    """
    if sum(given is not None for given in (ids, document_ids, where)) != 1:
        raise UsageError(
            "delete takes one of ids, document_ids and where", hint="delete(where=\"source = 'wikipedia'\")"
        )
    with writer_lock(path):
        manifest = read_manifest(path)
        catalog = Catalog(path, manifest)
        if ids is not None:
            names = check_ids(_distinct(ids))
            known = catalog.rows_of_passages(names)
            missing = [name for name in names if name not in known]
            if missing:
                raise NotFoundError(
                    f"{len(missing)} of the ids are not in the store, first {missing[0]!r}",
                    hint="leave them out; a condition is given as where, a document's id as document_ids",
                )
            rows = np.array(sorted(known.values()), dtype=np.int64)
        elif document_ids is not None:
            rows = np.sort(catalog.rows_of_documents(check_ids(_distinct(document_ids))))
            if not len(rows) and len(document_ids):
                raise NotFoundError(
                    f"none of the documents is in the store, first {_distinct(document_ids)[0]!r}",
                    hint="a passage's id is given as ids, a condition as where",
                )
        else:
            assert where is not None
            rows = _matching(catalog, where)
        if not len(rows):
            return manifest, 0
        segments = tuple(mark_deleted(path, manifest, catalog, rows))
        changed = manifest.model_copy(update={"segments": segments, "recipe_hash": None})
        return commit_folded(path, changed), len(rows)


def _distinct(ids: str | Sequence[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))


def _matching(catalog: Catalog, where: str) -> NDArray[np.int64]:
    mask = mask_of(where, catalog.metadata_files, MaskCache(0))
    return np.flatnonzero(mask if catalog.live is None else mask & catalog.live)


def compact(path: Path) -> Manifest:
    """Write live rows into few segments and one index, as a new version. Disk is freed by `prune`."""
    with writer_lock(path):
        current = read_manifest(path)
        manifest = compacted(path, current)
        if manifest is current and all(
            len(indexes) <= 1
            for indexes in (current.indexes, *(feature.indexes for feature in current.features))
        ):
            return current
        # One index over everything, in place of those that were folded one after the other.
        return commit_next(path, with_indexes(path, manifest.without_indexes()))


def rollback(path: Path, version: int) -> Manifest:
    """Make the state of an earlier version the current one, under a new number.

    Raises
    ------
    NotFoundError
        If the version is not there any more.
    """
    with writer_lock(path):
        current = read_manifest(path).version
        # One beyond the current was never committed: the next writer uses its number, and the names of its files.
        committed = [known for known in versions(path) if known <= current]
        if version not in committed:
            kept = ", ".join(map(str, committed))
            raise NotFoundError(f"{path} has no version {version}", hint=f"versions that are kept: {kept}")
        return commit_next(path, read_manifest(path, version))
