"""A corpus through all stages, to the next version of a store: each stage does what no earlier run has done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import CompendiaError
from datastore.changes.features import publish_features
from datastore.changes.write import segment_entry
from datastore.decontamination import Matcher
from datastore.encoders import load_encoder
from datastore.features import feature_folder
from datastore.files import content_key
from datastore.machine import available_cores
from datastore.manifest import FORMAT, FeatureEntry, SegmentEntry

from .account import BuildReport, Clock, funnels_of, keep_models, nothing_left, write_account, write_leaks
from .corpus import Corpus
from .decide import Decision, decide
from .document import FAILURES_ALLOWED
from .executors import Executor, ExecutorName
from .filters import score_settings
from .near import near_copies
from .progress import Progress
from .recipe import Recipe
from .stages.chunk import LEAKS_FILE, ChunkTask, Draft, chunk_shard
from .stages.embed import EmbedTask, embed_segment
from .stages.read import Shard
from .stages.score import ScoredShard, ScoreTask, score_shard
from .stages.tables import read_table
from .sync import Missing, compare, write_present
from .version import StartingPoint, build_of, commit_if_changed, passages_by_source
from .workarea import Keep, tidy


class Site(NamedTuple):
    """Where a build works, and with what."""

    store: Path
    recipe: Recipe
    runner: Executor
    progress: Progress
    need_texts: Callable[[Sequence[tuple[Shard, int]]], None]
    """Makes the texts of so many documents of shards readable, where they were not kept; or raises."""

    @property
    def work(self) -> Path:
        return self.store / "work"


def bring(
    site: Site,
    corpus: Corpus,
    clock: Clock,
    matcher: Matcher | None,
    executor: ExecutorName,
    *,
    repair: bool,
    missing: Missing,
    keep: Keep,
) -> BuildReport:
    """Bring the store to the documents of a corpus."""
    store, recipe = site.store, site.recipe
    shards = _score(site, corpus)
    clock.lap("score")
    decision = _decide(site, shards)
    _refuse_repeated_ids(recipe, decision)
    clock.lap("decide")
    settings = _passage_settings(recipe, matcher)
    start = StartingPoint(store, recipe, settings, repair=repair)
    kept = decision.kept()
    changes = compare(
        shards,
        kept,
        start.present,
        settings,
        corpus.units.keys(),
        {(source, damaged.unit) for source, damaged in corpus.damaged},
        {source.name for source in recipe.sources},
        missing=missing,
    )
    tasks = _chunk_tasks(site, shards, changes.added, settings, matcher)
    drafts = _chunk(site, tasks)
    clock.lap("chunk")
    entries = _embed(site, [draft for draft in drafts if draft.passages], start.manifest.features)
    clock.lap("embed")
    manifest = start.next_manifest(changes.deleted, entries)
    clock.lap("index")
    funnels = funnels_of(recipe, corpus, decision, changes)
    for task, draft in zip(tasks, drafts, strict=True):
        funnels[task.shard.source].add_draft(draft)
    for source, passages in passages_by_source(store, manifest).items():
        funnels[source].passages = passages
    if not any(entry.live_rows for entry in manifest.segments):
        raise nothing_left(funnels)
    build = build_of(store, manifest)
    keep_models(store / "builds" / build, recipe)
    if matcher is not None:
        leaks = [read_table(site.work / "passages" / draft.key / LEAKS_FILE) for draft in drafts]
        stays = start.present.settings == settings and start.present.table.num_rows > 0
        write_leaks(store, build, leaks, changes.deleted, stays=stays)
    write_present(store, build, settings, shards, kept, changes.vanished)
    rejects = [*corpus.rejects, *decision.rejects(site.work)]
    write_account(store / "builds" / build, recipe, executor, funnels, clock.seconds, rejects, corpus.key)
    corpus.save(site.work)
    version, changed = commit_if_changed(store, manifest, build)
    tidy(site.work, corpus, shards, keep)
    return BuildReport(store, version, changed, funnels, clock.seconds)


def _score(site: Site, corpus: Corpus) -> list[ScoredShard]:
    """All shards with their scores, in order; what an earlier run scored alike is not scored again."""
    recipe, shards = site.recipe, corpus.shards
    near = recipe.near
    filters = {source.name: recipe.filters_of(source.name) for source in recipe.sources}
    settings = {
        name: content_key(score_settings(of_one), near.signature_key() if near else None)
        for name, of_one in filters.items()
    }
    tasks = [
        ScoreTask(
            *(str(site.work), content_key(settings[shard.source], shard.key), shard),
            *(filters[shard.source], near),
        )
        for shard in shards
    ]
    missing = [task for task in tasks if not (site.work / "scored" / task.key).exists()]
    site.need_texts([(task.shard, task.shard.documents) for task in missing])
    with site.progress("scoring", sum(task.shard.documents for task in missing), "documents") as advance:
        for task, _ in site.runner.map(score_shard, missing):
            advance(task.shard.documents)
    return [ScoredShard(site.work / "scored" / task.key, task.shard) for task in tasks]


def _decide(site: Site, shards: Sequence[ScoredShard]) -> Decision:
    recipe = site.recipe

    def copies(passing: NDArray[np.int64]) -> NDArray[np.int64]:
        return near_copies(
            site.work,
            shards,
            passing,
            recipe.near_duplicates,
            site.runner,
            lambda: site.need_texts([(scored.shard, scored.shard.documents) for scored in shards]),
        )

    return decide(
        shards,
        {source.name: recipe.filters_of(source.name) for source in recipe.sources},
        {source.name: source.limit for source in recipe.sources},
        exact_duplicates=recipe.deduplicate != "none",
        near_duplicates=copies if recipe.near is not None else None,
    )


def _refuse_repeated_ids(recipe: Recipe, decision: Decision) -> None:
    """Of files that number their records each from the start, all but the first would be lost."""
    for source, by_reason in decision.totals("documents").items():
        repeated, total = by_reason.get("repeated_id", 0), sum(by_reason.values())
        if repeated > FAILURES_ALLOWED and repeated > recipe.max_failure_share * total:
            raise CompendiaError(
                f"source {source}: {repeated:,} of {total:,} documents have the id of another one, whose text differs",
                hint=f"--set sources.{source}.ids=file tells the same id in two files apart; or name another field as the id, "
                f"or leave them out: --set max_failure_share={math.ceil(100 * repeated / total) / 100:g}",
            )


def _passage_settings(recipe: Recipe, matcher: Matcher | None) -> str:
    """Names all but the documents that passages and their vectors depend on."""
    encoders = [encoder for encoder in (recipe.encoder, recipe.exact_encoder) if encoder is not None]
    return content_key(
        FORMAT,
        recipe.chunk.model_dump(mode="json"),
        [[load_encoder(one).fingerprint.model_dump(mode="json"), one.batch_size] for one in encoders],
        matcher.key if matcher else None,
    )


def _chunk_tasks(
    site: Site,
    shards: Sequence[ScoredShard],
    added: Sequence[NDArray[np.int64]],
    settings: str,
    matcher: Matcher | None,
) -> list[ChunkTask]:
    """One for each shard that has documents to come; the key is the id of the segment it leads to."""
    tasks = []
    for scored, positions in zip(shards, added, strict=True):
        if len(positions):
            keys = scored.hashes("key")[positions].tobytes().hex()
            tasks.append(
                ChunkTask(
                    str(site.work),
                    content_key(settings, scored.shard.source, keys),
                    str(scored.folder),
                    scored.shard,
                    positions,
                    site.recipe.chunk,
                    site.recipe.encoder,
                    matcher.folder if matcher else None,
                    site.recipe.near,
                )
            )
    return tasks


def _chunk(site: Site, tasks: Sequence[ChunkTask]) -> list[Draft]:
    """Passages of each task, in order."""
    missing = [task for task in tasks if not (site.work / "passages" / task.key).exists()]
    site.need_texts([(task.shard, len(task.chosen)) for task in missing])
    drafts = {}
    with site.progress("chunking", sum(len(task.chosen) for task in tasks), "documents") as advance:
        for task, draft in site.runner.map(chunk_shard, tasks):
            drafts[task.key] = draft
            advance(len(task.chosen))
    return [drafts[task.key] for task in tasks]


def _embed(site: Site, drafts: Sequence[Draft], features: tuple[FeatureEntry, ...]) -> list[SegmentEntry]:
    """The segments of all drafts, in order, with features; what is on disk already is not made again."""
    recipe, runner = site.recipe, site.runner
    entries: dict[str, SegmentEntry] = {}
    tasks = []
    for draft in drafts:
        folder = site.store / "segments" / draft.key
        if folder.exists() and all(
            feature_folder(site.store, draft.key, feature).exists() for feature in features
        ):
            entry = segment_entry(folder, draft.key, draft.passages, draft.counts)
            entries[draft.key] = publish_features(site.store, entry, features)
            continue
        threads = available_cores() if runner.in_process else 1
        truncate = recipe.chunk.mode == "document"
        tasks.append(
            EmbedTask(
                *(str(site.store), str(site.work), draft, truncate),
                *(recipe.encoder, recipe.exact_encoder, features, threads),
            )
        )
    with site.progress("embedding", sum(task.draft.passages for task in tasks), "passages") as advance:
        function = partial(embed_segment, on_batch=advance) if runner.in_process else embed_segment
        for task, entry in runner.map(function, tasks, uses_gpu=True):
            entries[task.draft.key] = entry
            if not runner.in_process:
                advance(entry.rows)
    return [entries[draft.key] for draft in drafts]
