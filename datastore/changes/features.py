"""Features of a store's segments, kept complete: whoever adds segments, or a feature, ends with `with_features`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ..catalog import Catalog
from ..errors import NotFoundError, UsageError
from ..features import covered, feature_folder
from ..files import content_key, crash_point, fsync, published_folder, writer_lock
from ..kinds import check_fingerprint, config_of, declare, kind_module, write_feature
from ..machine import available_cores
from ..manifest import FeatureEntry, IndexEntry, Manifest, SegmentEntry, read_manifest
from ..segment import Segment, describe_files
from .fold import folded
from .write import commit_next

OnRows = Callable[[int], None]


def publish_features(
    store: Path,
    segment: SegmentEntry,
    features: Sequence[FeatureEntry],
    *,
    threads: int = 1,
    on_rows: OnRows | None = None,
) -> SegmentEntry:
    """The segment's entry with all of `features`; those it lacks are on disk when this returns.

    Raises
    ------
    IntegrityError
        If a feature's encoder is not the one that made what the store has of it.
    """
    found = {}
    for feature in features:
        folder = feature_folder(store, segment.id, feature)
        known = segment.features.get(feature.id)
        if not folder.exists():
            known = None  # what is made again, after damage, need not be the same to the bit
            check_fingerprint(feature)
            config = config_of(feature)
            passages = Segment(store / "segments" / segment.id, segment).read_passages()
            _publish(folder, lambda to, c=config, p=passages: write_feature(to, c, p, threads=threads))  # type: ignore[misc]
            if on_rows is not None:
                on_rows(segment.rows)
        found[feature.id] = known or describe_files(folder)
    return segment.model_copy(update={"features": found})


def _publish(final: Path, fill: Callable[[Path], None]) -> None:
    with published_folder(final) as folder:
        fill(folder)
        crash_point("before_feature_rename")
    fsync(final.parent.parent)  # the segment's folder in it
    crash_point("after_feature_fsync")


def merged_features(
    store: Path,
    features: Sequence[FeatureEntry],
    segment: SegmentEntry,
    sources: Sequence[tuple[SegmentEntry, NDArray[np.int64]]],
) -> SegmentEntry:
    """The entry of a segment that was written from rows of others, with the features that all of those have."""
    found = {}
    for feature in features:
        if not all(feature.id in entry.features for entry, _ in sources):
            continue
        parts = [(feature_folder(store, entry.id, feature), entry.rows, live) for entry, live in sources]
        folder = feature_folder(store, segment.id, feature)
        module, config = kind_module(feature.kind), config_of(feature)
        if not folder.exists():
            _publish(folder, lambda to, m=module, c=config, p=parts: m.merge(to, p, c))  # type: ignore[misc]
        found[feature.id] = describe_files(folder)
    return segment.model_copy(update={"features": found})


def with_features(store: Path, manifest: Manifest, on_rows: OnRows | None = None) -> Manifest:
    """The manifest with every feature of every segment on disk.

    The caller holds the writer lock.
    """
    segments = tuple(
        publish_features(store, entry, manifest.features, threads=available_cores(), on_rows=on_rows)
        for entry in manifest.segments
    )
    return manifest.model_copy(update={"segments": segments})


def check_features(store: Path, manifest: Manifest, features: Iterable[FeatureEntry]) -> None:
    """Refuse features whose options name what the manifest's segments do not hold.

    Raises
    ------
    UsageError
        If one does: what, and in which line of which file.
    """
    for feature in features:
        module = kind_module(feature.kind)
        if hasattr(module, "check"):
            module.check(config_of(feature), Catalog(store, manifest))


def with_feature_indexes(store: Path, manifest: Manifest) -> Manifest:
    """The manifest with the indexes that its features need, which are on disk then; the dense ones are there already.

    The caller holds the writer lock.
    """
    features = []
    for feature in manifest.features:
        indexes: tuple[IndexEntry, ...] = ()
        if hasattr(kind_module(feature.kind), "build_index"):
            indexes = folded(
                feature.indexes,
                manifest.segments,
                lambda segments, f=feature: _index(store, manifest, f, segments),  # type: ignore[misc]
                least_rows=1,
                whole=getattr(kind_module(feature.kind), "whole_index", False),
            )
        features.append(feature.model_copy(update={"indexes": indexes}))
    return manifest.model_copy(update={"features": tuple(features)})


def _index(
    store: Path, manifest: Manifest, feature: FeatureEntry, segments: Sequence[SegmentEntry]
) -> list[IndexEntry]:
    module, config = kind_module(feature.kind), config_of(feature)
    rows = sum(entry.rows for entry in segments)
    parameters = module.index_parameters(config, rows) if rows else None
    if parameters is None:
        return []
    ids = tuple(entry.id for entry in segments)
    # One over everything is made of what is live: the same segments with other deletes are another index.
    whole = getattr(module, "whole_index", False)
    deletes = [entry.deletes and entry.deletes.checksum for entry in segments] if whole else []
    index_id = f"{feature.id}-{content_key(parameters, ids, deletes)[:16]}"
    final = store / "indexes" / index_id
    if not final.exists():
        given = covered(store, manifest, feature, segments)
        _publish(final, lambda to: module.build_index(to, given, config, parameters))
    return [
        IndexEntry(
            id=index_id,
            kind=feature.kind,
            family=feature.kind,
            parameters=parameters,
            segments=ids,
            rows=rows,
            files=describe_files(final),
        )
    ]


def add_feature(
    path: Path, given: str | dict[str, Any] | BaseModel, *, on_rows: OnRows | None = None
) -> tuple[Manifest, bool]:
    """A version with one more feature, and whether it is new; an interrupted call goes on where it stopped.

    Raises
    ------
    UsageError
        If there is another one of this name, or the kind has no such option.
    """
    with writer_lock(path):
        manifest = read_manifest(path)
        feature = declare(given)
        for known in manifest.features:
            if known.name == feature.name and known.id == feature.id:
                return manifest, False
            if known.name == feature.name:
                raise UsageError(
                    f"{path} has an index {feature.name!r} with other settings already",
                    hint=f"give this one another --name, or compendia index drop {path} {feature.name}",
                )
        check_features(path, manifest, [feature])
        changed = manifest.model_copy(update={"features": (*manifest.features, feature)})
        changed = with_feature_indexes(path, with_features(path, changed, on_rows))
        return commit_next(path, changed), True


def drop_feature(path: Path, name: str) -> Manifest:
    """A version without a feature; `prune` frees its disk.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    """
    with writer_lock(path):
        manifest = read_manifest(path)
        kept = tuple(feature for feature in manifest.features if feature.name != name)
        if len(kept) == len(manifest.features):
            names = ", ".join(feature.name for feature in manifest.features) or "none"
            raise NotFoundError(f"{path} has no index {name!r}", hint=f"it has: {names}")
        ids = {feature.id for feature in kept}
        segments = tuple(
            entry.model_copy(
                update={"features": {key: value for key, value in entry.features.items() if key in ids}}
            )
            for entry in manifest.segments
        )
        return commit_next(path, manifest.model_copy(update={"features": kept, "segments": segments}))
