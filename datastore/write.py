"""Making a version: segments that are on disk already, an index over them, the manifest last."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import xxhash

from .encoders import EncoderConfig, EncoderFingerprint
from .files import crash_point, published_folder
from .index.dense import Plan, Vectors, build_index, plan_index
from .manifest import IndexEntry, Manifest, SegmentEntry, commit, current_version
from .segment import Segment, describe_files


class SegmentCounts(NamedTuple):
    """What a segment holds, as the manifest keeps it."""

    documents: int
    tokens: int = 0  # of the encoder's inputs
    unread_tokens: int = 0  # beyond what the encoder reads


def publish_segment(
    store: Path, segment_id: str, counts: SegmentCounts, fill: Callable[[Path], int]
) -> SegmentEntry:
    """Write a segment through `fill(folder) -> rows` and give it its final name, all or nothing."""
    with published_folder(store / "segments" / segment_id) as folder:
        rows = fill(folder)
        entry = segment_entry(folder, segment_id, rows, counts)
        crash_point("before_segment_rename")
    crash_point("after_segment_fsync")
    return entry


def segment_entry(folder: Path, segment_id: str, rows: int, counts: SegmentCounts) -> SegmentEntry:
    """The manifest's entry of a segment whose files are in `folder`."""
    return SegmentEntry(id=segment_id, rows=rows, **counts._asdict(), files=describe_files(folder))


def content_key(*parts: object) -> str:
    """32 hex digits that name a thing by what it is made from; parts are anything that JSON can hold."""
    return xxhash.xxh3_128_hexdigest(
        json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
    )


def ensure_index(store: Path, segments: Sequence[SegmentEntry], dimension: int) -> tuple[IndexEntry, ...]:
    """The indexes that a version of these segments needs; one that is on disk already is used as it is."""
    rows = sum(entry.rows for entry in segments)
    plan = plan_index(rows)
    if plan is None:
        return ()
    ids = tuple(entry.id for entry in segments)
    index_id = f"dense-{plan.family}-{content_key(plan.family, dict(plan.parameters), ids)[:16]}"
    final = store / "indexes" / index_id
    if not final.exists():
        _build(store, segments, dimension, plan, final)
    return (
        IndexEntry(
            id=index_id,
            kind="dense",
            family=plan.family,
            parameters=dict(plan.parameters),
            segments=ids,
            rows=rows,
            files=describe_files(final),
        ),
    )


def _build(store: Path, segments: Sequence[SegmentEntry], dimension: int, plan: Plan, final: Path) -> None:
    parts = [Segment(store / "segments" / entry.id, entry, dimension).vectors for entry in segments]
    with published_folder(final) as folder:
        build_index(plan, Vectors(parts, "cosine", dimension), folder)
        crash_point("before_index_rename")


def commit_version(
    store: Path,
    segments: Sequence[SegmentEntry],
    indexes: Sequence[IndexEntry],
    *,
    build: str,
    recipe_hash: str,
    encoder_config: EncoderConfig,
    encoder: EncoderFingerprint,
) -> Manifest:
    """Make segments and indexes, which are on disk already, the store's next version.

    The caller holds the writer lock.
    """
    parent = current_version(store)
    manifest = Manifest(
        version=(parent or 0) + 1,
        parent=parent,
        build=build,
        recipe_hash=recipe_hash,
        metric="cosine",
        dimension=encoder.dimension,
        encoder_config=encoder_config,
        encoder=encoder,
        segments=tuple(segments),
        indexes=tuple(indexes),
    )
    commit(store, manifest)
    return manifest
