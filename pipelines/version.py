"""The version that a build leads to: what it starts from, and whether anything is different in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from datastore.catalog import read_deletes
from datastore.changes.features import check_features
from datastore.changes.sync import with_documents
from datastore.changes.write import commit_next
from datastore.encoders import load_encoder
from datastore.files import content_key
from datastore.kinds import declare
from datastore.manifest import (
    FeatureEntry,
    Manifest,
    SegmentEntry,
    StoredEncoder,
    current_version,
    read_manifest,
)
from datastore.verify import remove_damaged

from .recipe import Recipe
from .sync import nothing_present, read_present


def _empty(recipe: Recipe) -> Manifest:
    """A manifest without segments, as the recipe wants it."""
    encoder, exact = load_encoder(recipe.encoder), recipe.exact_encoder
    return Manifest(
        version=1,  # until it is committed
        parent=None,
        recipe_hash=recipe.hash(),
        metric="cosine",
        dimension=encoder.fingerprint.dimension,
        encoder=StoredEncoder(config=recipe.encoder, fingerprint=encoder.fingerprint),
        exact_encoder=None
        if exact is None
        else StoredEncoder(config=exact, fingerprint=load_encoder(exact).fingerprint),
        index=recipe.index,
        segments=(),
        indexes=(),
        features=tuple(map(declare, recipe.rooted_features())),
    )


def _with_known_indexes(
    features: Sequence[FeatureEntry], before: Manifest, damaged: set[str]
) -> tuple[FeatureEntry, ...]:
    known = {
        feature.id: tuple(index for index in feature.indexes if index.id not in damaged)
        for feature in before.features
    }
    return tuple(one.model_copy(update={"indexes": known.get(one.id, ())}) for one in features)


class StartingPoint:
    """The manifest that a build changes, and the documents in it."""

    def __init__(self, store: Path, recipe: Recipe, settings: str, *, repair: bool) -> None:
        """What is damaged is removed from the store, to be made again."""
        self.store = store
        self.manifest = _empty(recipe)
        self.present = nothing_present(settings)
        self._encoder = load_encoder(recipe.encoder)
        self._order: tuple[str, ...] = ()  # of the segments that there were
        self._features_before: set[str] = set()
        if current_version(store) is None:
            return
        before = read_manifest(store)
        damaged = remove_damaged(store, before, checksums=repair)
        self._features_before = {feature.id for feature in before.features}
        # Those that were added by hand stay.
        names = {feature.name for feature in self.manifest.features}
        features = *self.manifest.features, *(one for one in before.features if one.name not in names)
        self.manifest = self.manifest.model_copy(
            update={"features": _with_known_indexes(features, before, damaged)}
        )
        if before.encoder == self.manifest.encoder and before.index == self.manifest.index:
            indexes = tuple(index for index in before.indexes if index.id not in damaged)
            self.manifest = self.manifest.model_copy(
                update={"indexes": indexes, "calibration": before.calibration}
            )
        present = read_present(store, before)
        if present is None:
            return
        self.present = present
        if present.settings != settings:
            return  # not one passage can stay as it is
        self._order = tuple(entry.id for entry in before.segments)
        whole = tuple(entry for entry in before.segments if entry.id not in damaged)
        self.manifest = self.manifest.model_copy(update={"segments": whole})
        if len(whole) < len(before.segments):
            self.present = present._replace(table=_in_segments(store, present.table, whole))

    def next_manifest(
        self, deleted: Mapping[str, Sequence[str]], entries: Sequence[SegmentEntry]
    ) -> Manifest:
        """The manifest without the documents deleted and with new segments; those made again are where they were."""
        manifest = with_documents(
            self.store,
            self.manifest,
            deleted=deleted,
            added=entries,
            order=self._order,
            encoder=self._encoder,
        )
        new = [feature for feature in manifest.features if feature.id not in self._features_before]
        check_features(self.store, manifest, new)
        return manifest


def build_of(store: Path, manifest: Manifest) -> str:
    """The name under which the account of this version is kept: that of the current one, if it is the same."""
    current = read_manifest(store) if current_version(store) is not None else None
    if current is not None and current.build is not None and _is_same(current, manifest):
        return current.build
    entries = [entry.model_dump(mode="json") for entry in manifest.segments]
    return content_key(manifest.recipe_hash, entries)[:16]


def commit_if_changed(store: Path, manifest: Manifest, build: str) -> tuple[int, bool]:
    """The version that the store has then, and whether it is a new one."""
    if current_version(store) is not None and _is_same(current := read_manifest(store), manifest):
        return current.version, False
    return commit_next(store, manifest.model_copy(update={"build": build})).version, True


def _is_same(current: Manifest, manifest: Manifest) -> bool:
    numbers = {"version": current.version, "parent": current.parent, "build": current.build}
    return current == manifest.model_copy(update=numbers)


def passages_by_source(store: Path, manifest: Manifest) -> Counter[str]:
    """Passages of the version that are not deleted."""
    found: Counter[str] = Counter()
    for entry in manifest.segments:
        column = _read(store, entry, ["source"]).column("source")
        live = np.ones(entry.rows, dtype=np.bool_)
        live[read_deletes(store, entry)] = False
        for counted in column.filter(pa.array(live)).value_counts().to_pylist():
            found[counted["values"]] += counted["counts"]
    return found


def _in_segments(store: Path, table: pa.Table, segments: Sequence[SegmentEntry]) -> pa.Table:
    """The documents that have passages in these segments."""
    found = {
        _document_hash(source, name)
        for entry in segments
        for source, name in zip(
            *_read(store, entry, ["source", "document_id"]).to_pydict().values(), strict=True
        )
    }
    rows = zip(table.column("source").to_pylist(), table.column("id").to_pylist(), strict=True)
    return table.filter(
        pa.array([_document_hash(source, name) in found for source, name in rows], pa.bool_())
    )


def _document_hash(source: str, name: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{source}\0{name}".encode())


def _read(store: Path, entry: SegmentEntry, columns: list[str]) -> pa.Table:
    return pq.read_table(store / "segments" / entry.id / "metadata.parquet", columns=columns)
