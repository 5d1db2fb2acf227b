"""How every change ends: with features and indexes of all segments, and segments written anew where that pays."""

from __future__ import annotations

from pathlib import Path

from ..manifest import Manifest
from .compact import compacted, with_few_small
from .features import with_feature_indexes, with_features
from .fold import SMALLEST_INDEX, fold
from .write import commit_next

# Past this share the deleted rows cost more than writing the rest anew.
_MOST_DELETED = 0.2


def commit_folded(path: Path, manifest: Manifest) -> Manifest:
    """Commit with the indexes that the segments need; segments are written anew where many rows are deleted, or many
    segments are small.
    """
    manifest = with_few_small(path, compacted_if_worth(path, with_features(path, manifest)))
    return commit_next(path, with_indexes(path, manifest))


def with_indexes(path: Path, manifest: Manifest) -> Manifest:
    """The manifest with all indexes that its segments need, which are on disk then."""
    return with_feature_indexes(path, manifest.model_copy(update={"indexes": fold(path, manifest)}))


def compacted_if_worth(path: Path, manifest: Manifest) -> Manifest:
    """The manifest with its live rows written anew, where many are deleted; else itself."""
    rows = sum(entry.rows for entry in manifest.segments)
    deleted = rows - sum(entry.live_rows for entry in manifest.segments)
    if rows >= SMALLEST_INDEX and deleted >= _MOST_DELETED * rows:
        return compacted(path, manifest)
    return manifest
