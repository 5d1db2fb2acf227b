"""The build: recipe in, version of a store out. Everything that takes time can be interrupted and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xxhash

from datastore import UsageError
from datastore.changes.fold import fold, with_queries
from datastore.changes.write import SegmentCounts, commit_next, content_key, segment_entry
from datastore.encoders import EncoderFingerprint, load_encoder
from datastore.files import remove_folder, writer_lock
from datastore.machine import available_cores
from datastore.manifest import (
    FORMAT,
    Manifest,
    SegmentEntry,
    StoredEncoder,
    current_version,
    read_manifest,
)
from datastore.verify import remove_damaged

from .account import BuildReport, Clock, Funnels, SourceFunnel, nothing_left, write_account
from .deduplicate import Decision, decide
from .document import Reject
from .executors import Executor, ExecutorName, open_executor
from .progress import Progress, silent
from .recipe import Recipe, ShardConfig
from .sources import SourceConfig, Unit, reader_version, units
from .stages import ChunkTask, Draft, EmbedTask, ReadTask, Shard, chunk_shard, embed_segment, read_units

_OWN_NAMES = {
    "LOCK",
    "CURRENT",
    "work",
    "segments",
    "indexes",
    "deletes",
    "calibration",
    "builds",
    "versions",
}


def _is_ours(name: str) -> bool:
    """Whether a build makes files of this name in a store; what a killed one left half-written included."""
    return name in _OWN_NAMES or (name.startswith(".") and name.endswith(".tmp"))


def build(
    recipe: Recipe,
    out: Path | None = None,
    *,
    executor: ExecutorName = "serial",
    workers: int | None = None,
    replace: bool = False,
    repair: bool = False,
    progress: Progress = silent,
) -> BuildReport:
    """Build a store from a recipe, or bring it to the recipe's state.

    A build that was interrupted goes on where it stopped when called again. A store that holds the recipe's
    passages already is left alone.

    Parameters
    ----------
    out
        Folder of the store; default, the recipe's own.
    replace
        Allow a store that another recipe built to get a new version from this one.
    repair
        Compare all checksums first and make again what is damaged; missing and cut files are found without.

    Raises
    ------
    UsageError
        If no folder is named, or the store was built from another recipe and `replace` is false.
    CompendiaError
        If not one passage is left, or another process writes to the store.
    """
    named = out or recipe.out
    if named is None:
        raise UsageError("where should the store go?", hint="add --out FOLDER, or `out:` to the recipe")
    store = named.expanduser().resolve()  # workers may run in another folder
    _check_target(store, recipe, replace=replace)
    inputs = [
        (source, group)
        for source in recipe.rooted_sources()
        for group in _groups(units(source), recipe.shard)
    ]
    clock = Clock()
    fingerprint = load_encoder(recipe.encoder).fingerprint
    clock.lap("load encoder")
    store.mkdir(parents=True, exist_ok=True)
    with writer_lock(store), open_executor(executor, workers) as runner:
        _check_target(store, recipe, replace=replace)  # another build may have finished meanwhile
        work = store / "work"
        for folder in (
            work / "read",
            work / "passages",
            store / "segments",
            store / "indexes",
            store / "builds",
        ):
            folder.mkdir(parents=True, exist_ok=True)
        funnels = {source.name: SourceFunnel() for source in recipe.sources}
        shards, rejects = _read(work, recipe, inputs, runner, funnels, progress)
        clock.lap("read")
        decision = _decide(work, recipe, shards, funnels)
        clock.lap("deduplicate")
        known = _whole_segments(store, repair=repair)
        tasks = _chunk_tasks(work, recipe, fingerprint, shards, decision)
        drafts = _chunk(tasks, known, runner, funnels, progress)
        clock.lap("chunk")
        if not drafts:
            raise nothing_left(funnels)
        segments = _embed(store, work, recipe, drafts, known, runner, progress)
        clock.lap("embed")
        manifest = _with_index(store, recipe, segments)
        clock.lap("index")
        build_id = content_key(recipe.hash(), [entry.id for entry in segments])[:16]
        write_account(
            store / "builds" / build_id,
            recipe,
            executor,
            funnels,
            clock.seconds,
            [*rejects, *decision.rejects],
        )
        version = _version_of(store, recipe, manifest)
        changed = version is None
        if version is None:
            version = commit_next(
                store, manifest.model_copy(update={"build": build_id, "recipe_hash": recipe.hash()})
            ).version
        remove_folder(work)
    return BuildReport(named, version, changed, funnels, clock.seconds)


def _check_target(store: Path, recipe: Recipe, *, replace: bool) -> None:
    """Refuse to write over what is not ours to write over."""
    if store.is_file():
        raise UsageError(f"{store} is a file", hint="name a folder for the store")
    if current_version(store) is None:
        foreign = [path.name for path in store.iterdir() if not _is_ours(path.name)] if store.exists() else []
        if foreign:
            raise UsageError(
                f"{store} is not a datastore and not empty ({foreign[0]} …)",
                hint="name an empty or new folder",
            )
        return
    manifest = read_manifest(store)
    if manifest.recipe_hash == recipe.hash() or replace:
        return
    if manifest.recipe_hash is None:
        raise UsageError(
            f"{store} was changed by hand since it was built, or was never built from a recipe",
            hint="add --replace to make a new version from this recipe alone, or name another folder with --out",
        )
    try:
        before = json.loads((store / "builds" / f"{manifest.build}.json").read_bytes())["recipe"]
        changed = ", ".join(_changed_keys(before, recipe.content()))
    except (OSError, ValueError, KeyError):
        changed = f"unknown, since the account of build {manifest.build} cannot be read"
    raise UsageError(
        f"{store} was built from another recipe; changed: {changed}",
        hint="add --replace to make a new version from this recipe, or name another folder with --out",
    )


def _changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            key for name in keys for key in _changed_keys(old.get(name), new.get(name), f"{prefix}{name}.")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [key for i, pair in pairs for key in _changed_keys(*pair, f"{prefix}{i}.")]
    return [] if old == new else [prefix.rstrip(".")]


def _groups(units: Sequence[Unit], shard: ShardConfig) -> Iterator[tuple[Unit, ...]]:
    """Units that are read, and put into shards, together: small files must not become a segment each.

    A group ends when it holds a shard's worth, and behind names that their hash picks out, one in 128: so a file
    that is added or removed changes the groups up to the next such name, not all behind it.
    """
    group: list[Unit] = []
    size = 0
    for unit in units:
        group.append(unit)
        size += unit.bytes
        full = len(group) >= shard.documents or size >= shard.characters
        if full or xxhash.xxh3_64_intdigest(unit.name.encode()) % 128 == 0:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def _read(
    work: Path,
    recipe: Recipe,
    inputs: Sequence[tuple[SourceConfig, tuple[Unit, ...]]],
    runner: Executor,
    funnels: Funnels,
    progress: Progress,
) -> tuple[list[tuple[str, Shard]], list[tuple[str, Reject]]]:
    """Shards and rejects with their source, in the order of the recipe whatever order they were read in."""
    tasks = []
    for source, group in inputs:
        key = content_key(
            source.model_dump(mode="json"),
            group,
            reader_version(source),
            recipe.filters.model_dump(mode="json"),
            recipe.shard.model_dump(mode="json"),
        )
        tasks.append(ReadTask(str(work), key, source, group, recipe.filters, recipe.shard))
    results = {}
    with progress("reading", sum(len(task.units) for task in tasks), "inputs") as advance:
        for task, result in runner.map(read_units, tasks):
            results[task.key] = result
            advance(len(task.units))
    shards: list[tuple[str, Shard]] = []
    rejects: list[tuple[str, Reject]] = []
    for task in tasks:
        result, name = results[task.key], task.source.name
        funnels[name].add_read(result)
        shards += [(name, shard) for shard in result.shards]
        rejects += [(name, reject) for reject in result.rejects]
    return shards, rejects


def _decide(work: Path, recipe: Recipe, shards: Sequence[tuple[str, Shard]], funnels: Funnels) -> Decision:
    """Which documents stay, over the whole corpus."""
    limits = {source.name: source.limit for source in recipe.sources}
    decision = decide(work, shards, limits, exact_duplicates=recipe.deduplicate == "exact")
    for name, dropped in decision.dropped.items():
        funnels[name].dropped.update(dropped)
    return decision


def _whole_segments(store: Path, *, repair: bool) -> dict[str, SegmentEntry]:
    """The segments of the store's current version, by id; what is damaged is removed, to be made again."""
    if current_version(store) is None:
        return {}
    manifest = read_manifest(store)
    damaged = remove_damaged(store, manifest, checksums=repair)
    return {
        entry.id: entry.model_copy(update={"deletes": None})
        for entry in manifest.segments
        if entry.id not in damaged
    }


def _chunk_tasks(
    work: Path,
    recipe: Recipe,
    fingerprint: EncoderFingerprint,
    shards: Sequence[tuple[str, Shard]],
    decision: Decision,
) -> list[ChunkTask]:
    """One for each shard that has any document left, in order; the key is the id of the segment it leads to."""
    tasks = []
    for (name, shard), kept in zip(shards, decision.kept, strict=True):
        if len(kept):
            key = content_key(
                FORMAT,
                name,
                shard.key,
                kept.tolist(),
                recipe.chunk.model_dump(mode="json"),
                fingerprint.model_dump(mode="json"),
                recipe.encoder.batch_size,
                *_exact_key(recipe),
            )
            tasks.append(ChunkTask(str(work), key, name, shard, kept, recipe.chunk, recipe.encoder))
    return tasks


def _exact_key(recipe: Recipe) -> list[object]:
    """What the second encoder, if there is one, adds to the name of a segment."""
    if recipe.exact_encoder is None:
        return []
    fingerprint = load_encoder(recipe.exact_encoder).fingerprint
    return [fingerprint.model_dump(mode="json"), recipe.exact_encoder.batch_size]


def _chunk(
    tasks: Sequence[ChunkTask],
    known: dict[str, SegmentEntry],
    runner: Executor,
    funnels: Funnels,
    progress: Progress,
) -> list[Draft]:
    """Passages of each shard, in order; what the store knows already is not cut again."""
    drafts = {
        entry.id: Draft(
            entry.id, entry.rows, SegmentCounts(entry.documents, entry.tokens, entry.unread_tokens)
        )
        for entry in known.values()
    }
    missing = [task for task in tasks if task.key not in known]
    with progress("chunking", sum(len(task.kept) for task in missing), "documents") as advance:
        for task, draft in runner.map(chunk_shard, missing):
            drafts[task.key] = draft
            advance(len(task.kept))
    for task in tasks:
        funnels[task.source].add_draft(drafts[task.key])
    return [drafts[task.key] for task in tasks]


def _embed(
    store: Path,
    work: Path,
    recipe: Recipe,
    drafts: Sequence[Draft],
    known: dict[str, SegmentEntry],
    runner: Executor,
    progress: Progress,
) -> list[SegmentEntry]:
    """The segments of all drafts, in order; one that is on disk already is not embedded again."""
    entries = dict(known)
    tasks = []
    for draft in drafts:
        folder = store / "segments" / draft.key
        if draft.key in entries:
            continue
        if folder.exists():
            entries[draft.key] = segment_entry(folder, draft.key, draft.passages, draft.counts)
            continue
        threads = available_cores() if runner.in_process else 1
        truncate = recipe.chunk.mode == "document"
        tasks.append(
            EmbedTask(str(store), str(work), draft, truncate, recipe.encoder, recipe.exact_encoder, threads)
        )
    with progress("embedding", sum(task.draft.passages for task in tasks), "passages") as advance:
        function = partial(embed_segment, on_batch=advance) if runner.in_process else embed_segment
        for task, entry in runner.map(function, tasks):
            entries[task.draft.key] = entry
            if not runner.in_process:
                advance(entry.rows)
    return [entries[draft.key] for draft in drafts]


def _with_index(store: Path, recipe: Recipe, segments: Sequence[SegmentEntry]) -> Manifest:
    """The version to be, with its indexes on disk; those of the current version are used where they can be."""
    encoder, exact = load_encoder(recipe.encoder), recipe.exact_encoder
    manifest = Manifest(
        version=1,  # until it is committed
        parent=None,
        metric="cosine",
        dimension=encoder.fingerprint.dimension,
        encoder=StoredEncoder(config=recipe.encoder, fingerprint=encoder.fingerprint),
        exact_encoder=None
        if exact is None
        else StoredEncoder(config=exact, fingerprint=load_encoder(exact).fingerprint),
        index=recipe.index,
        segments=tuple(segments),
        indexes=(),
    )
    if current_version(store) is not None:
        before = read_manifest(store)
        if before.index == manifest.index and before.encoder == manifest.encoder:
            damaged = remove_damaged(store, before, checksums=False)
            kept = tuple(index for index in before.indexes if index.id not in damaged)
            manifest = manifest.model_copy(update={"indexes": kept, "calibration": before.calibration})
    manifest = with_queries(store, manifest, encoder)
    return manifest.model_copy(update={"indexes": fold(store, manifest)})


def _version_of(store: Path, recipe: Recipe, manifest: Manifest) -> int | None:
    """The store's current version, if it is exactly what this recipe leads to."""
    if current_version(store) is None:
        return None
    current = read_manifest(store)
    same = (
        current.recipe_hash == recipe.hash()
        and current.segments == manifest.segments
        and current.indexes == manifest.indexes
    )
    return current.version if same else None
