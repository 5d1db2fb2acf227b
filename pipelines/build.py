"""The build: recipe in, version of a store out. Everything that takes time can be interrupted and goes on."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import xxhash

from datastore import CompendiaError, UsageError
from datastore.encoders import EncoderFingerprint, load_encoder
from datastore.files import write_durably, writer_lock
from datastore.manifest import FORMAT, SegmentEntry, current_version, read_manifest
from datastore.segment import describe_files
from datastore.write import commit_version, content_key, ensure_index

from .deduplicate import Decision, decide
from .document import Reject
from .executors import Executor, ExecutorName, available_cores, open_executor
from .progress import Progress, silent
from .recipe import Recipe, ShardConfig
from .sources import SourceConfig, Unit, reader_version, units
from .stages import ChunkResult, ChunkTask, EmbedTask, ReadTask, Shard, chunk_shard, embed_segment, read_units

SCHEMA = "compendia.build/1"


@dataclass
class SourceFunnel:
    """What became of one source. `records` is `documents` plus all that was dropped."""

    records: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    passages: int = 0
    tokens: int = 0
    unread_tokens: int = 0


@dataclass(frozen=True)
class BuildReport:
    """What a build did; `builds/<build>.json` of the store keeps it."""

    store: Path
    version: int
    changed: bool  # False: the store held exactly this already
    sources: dict[str, SourceFunnel]
    seconds: dict[str, float]  # per stage

    @property
    def passages(self) -> int:
        return sum(funnel.passages for funnel in self.sources.values())


def build(
    recipe: Recipe,
    out: Path | None = None,
    *,
    executor: ExecutorName = "serial",
    workers: int | None = None,
    replace: bool = False,
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

    Raises
    ------
    UsageError
        If no folder is named, or the store was built from another recipe and `replace` is false.
    CompendiaError
        If not one passage is left, or another process writes to the store.
    """
    store = out or recipe.out
    if store is None:
        raise UsageError("where should the store go?", hint="add --out FOLDER, or `out:` to the recipe")
    _check_target(store, recipe, replace=replace)
    inputs = [
        (source, group)
        for source in recipe.rooted_sources()
        for group in _groups(units(source), recipe.shard)
    ]
    clock = _Clock()
    fingerprint = load_encoder(recipe.encoder).fingerprint
    clock.lap("load encoder")
    store.mkdir(parents=True, exist_ok=True)
    with writer_lock(store), open_executor(executor, workers) as runner:
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
        decision = decide(
            work,
            shards,
            {source.name: source.limit for source in recipe.sources},
            exact_duplicates=recipe.deduplicate == "exact",
        )
        rejects += decision.rejects
        clock.lap("deduplicate")
        drafts = _chunk(work, recipe, fingerprint, shards, decision, runner, funnels, progress)
        clock.lap("chunk")
        if not drafts:
            raise _nothing_left(funnels)
        segments = _embed(store, work, recipe, drafts, runner, progress)
        clock.lap("embed")
        indexes = ensure_index(store, segments, fingerprint.dimension)
        clock.lap("index")
        version = _version_of(store, recipe, segments)
        changed = version is None
        if version is None:
            build_id = content_key(recipe.hash(), [entry.id for entry in segments])[:16]
            _write_account(store / "builds" / build_id, recipe, executor, funnels, clock.seconds, rejects)
            version = commit_version(
                store,
                segments,
                indexes,
                build=build_id,
                recipe_hash=recipe.hash(),
                encoder_config=recipe.encoder,
                encoder=fingerprint,
            ).version
        shutil.rmtree(work)
    return BuildReport(store, version, changed, funnels, clock.seconds)


class _Clock:
    """Seconds per stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _check_target(store: Path, recipe: Recipe, *, replace: bool) -> None:
    """Refuse to write over what is not ours to write over."""
    if store.is_file():
        raise UsageError(f"{store} is a file", hint="name a folder for the store")
    if current_version(store) is None:
        foreign = (
            [path.name for path in store.iterdir() if path.name not in _OWN_NAMES] if store.exists() else []
        )
        if foreign:
            raise UsageError(
                f"{store} is not a datastore and not empty ({foreign[0]} …)",
                hint="name an empty or new folder",
            )
        return
    manifest = read_manifest(store)
    if manifest.recipe_hash == recipe.hash() or replace:
        return
    account = json.loads((store / "builds" / f"{manifest.build}.json").read_bytes())
    changed = _changed_keys(account["recipe"], recipe.content())
    raise UsageError(
        f"{store} was built from another recipe; changed: {', '.join(changed)}",
        hint="add --replace to make a new version from this recipe, or name another folder with --out",
    )


_OWN_NAMES = {"LOCK", "work", "segments", "indexes", "builds", "versions", "CURRENT"}


def _changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            key for name in keys for key in _changed_keys(old.get(name), new.get(name), f"{prefix}{name}.")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            key
            for i, pair in enumerate(zip(old, new, strict=True))
            for key in _changed_keys(*pair, f"{prefix}{i}.")
        ]
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
    funnels: dict[str, SourceFunnel],
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
        funnels[name].records += result.records
        funnels[name].dropped.update(result.dropped)
        shards += [(name, shard) for shard in result.shards]
        rejects += [(name, reject) for reject in result.rejects]
    return shards, rejects


def _chunk(
    work: Path,
    recipe: Recipe,
    fingerprint: EncoderFingerprint,
    shards: Sequence[tuple[str, Shard]],
    decision: Decision,
    runner: Executor,
    funnels: dict[str, SourceFunnel],
    progress: Progress,
) -> list[ChunkResult]:
    """Passages of each shard that has any document left, in order."""
    for name, dropped in decision.dropped.items():
        funnels[name].dropped.update(dropped)
    tasks = []
    for (name, shard), kept in zip(shards, decision.kept, strict=True):
        if not len(kept):
            continue
        key = content_key(
            FORMAT,
            name,
            shard.key,
            kept.tolist(),
            recipe.chunk.model_dump(mode="json"),
            fingerprint.model_dump(mode="json"),
            recipe.encoder.batch_size,
        )
        tasks.append(ChunkTask(str(work), key, name, shard, kept, recipe.chunk, recipe.encoder))
    results = {}
    with progress("chunking", sum(len(task.kept) for task in tasks), "documents") as advance:
        for task, result in runner.map(chunk_shard, tasks):
            results[task.key] = result
            advance(len(task.kept))
    for task in tasks:
        funnel, result = funnels[task.source], results[task.key]
        funnel.documents += result.documents
        funnel.passages += result.passages
        funnel.tokens += result.tokens
        funnel.unread_tokens += result.unread_tokens
    return [results[task.key] for task in tasks]


def _embed(
    store: Path,
    work: Path,
    recipe: Recipe,
    drafts: Sequence[ChunkResult],
    runner: Executor,
    progress: Progress,
) -> list[SegmentEntry]:
    """The segments of all drafts, in order; one that the store has already is not embedded again."""
    version = current_version(store)
    known = {} if version is None else {entry.id: entry for entry in read_manifest(store).segments}
    entries: dict[str, SegmentEntry] = {}
    tasks = []
    for draft in drafts:
        folder = store / "segments" / draft.key
        if draft.key in known:
            entries[draft.key] = known[draft.key]
        elif folder.exists():
            entries[draft.key] = SegmentEntry(
                id=draft.key, rows=draft.passages, documents=draft.documents, files=describe_files(folder)
            )
        else:
            threads = available_cores() if runner.in_process else 1
            truncate = recipe.chunk.mode == "document"
            tasks.append(
                EmbedTask(
                    str(store), str(work), draft.key, draft.documents, truncate, recipe.encoder, threads
                )
            )
    total = sum(draft.passages for draft in drafts)
    with progress("embedding", total, "passages") as advance:
        advance(sum(entry.rows for entry in entries.values()))
        function = partial(embed_segment, on_batch=advance) if runner.in_process else embed_segment
        for task, entry in runner.map(function, tasks):
            entries[task.key] = entry
            if not runner.in_process:
                advance(entry.rows)
    return [entries[draft.key] for draft in drafts]


def _version_of(store: Path, recipe: Recipe, segments: Sequence[SegmentEntry]) -> int | None:
    """The store's current version, if it is exactly this recipe's segments."""
    if current_version(store) is None:
        return None
    current = read_manifest(store)
    same = current.recipe_hash == recipe.hash() and current.segments == tuple(segments)
    return current.version if same else None


def _nothing_left(funnels: dict[str, SourceFunnel]) -> CompendiaError:
    reasons: Counter[str] = Counter()
    for funnel in funnels.values():
        reasons.update(funnel.dropped)
    records = sum(funnel.records for funnel in funnels.values())
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return CompendiaError(
        f"no passage is left of {records} records ({listed or 'nothing was read'})",
        hint="look at the input, or loosen the filters, for example --set filters.length.min_words=1",
    )


def _write_account(
    stem: Path,
    recipe: Recipe,
    executor: ExecutorName,
    funnels: dict[str, SourceFunnel],
    seconds: dict[str, float],
    rejects: Sequence[tuple[str, Reject]],
) -> None:
    """<stem>.json and <stem>.rejects.jsonl: what is worth knowing of a build and not part of the content."""
    lines = [
        json.dumps({"source": source, **reject._asdict()}, ensure_ascii=False) for source, reject in rejects
    ]
    write_durably(
        stem.with_name(f"{stem.name}.rejects.jsonl"), "".join(f"{line}\n" for line in lines).encode()
    )
    account = {
        "schema": SCHEMA,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": executor,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": seconds,
        "sources": {name: vars(funnel) for name, funnel in funnels.items()},
        "recipe": recipe.content(),
    }
    write_durably(
        stem.with_name(f"{stem.name}.json"), json.dumps(account, ensure_ascii=False, indent=1).encode()
    )
