"""The build: recipe in, version of a store out. Everything that takes time can be interrupted and goes on."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

from datastore import UsageError
from datastore.decontamination import Question
from datastore.files import writer_lock
from datastore.manifest import read_manifest

from .account import BuildReport, Clock
from .check import faults
from .corpus import changed_inputs, find_inputs, kept_corpus, read_again, read_corpus
from .decontaminate import prepare_matcher
from .executors import ExecutorName, open_executor
from .progress import Progress, silent
from .recipe import Recipe, make_recipe
from .run import Site, bring
from .stages.read import Shard
from .target import (
    changed_keys,
    check_is_built,
    check_target,
    corpus_key_of,
    recipe_differences,
    recipe_of,
)
from .workarea import Keep, make_folders


def build(
    recipe: Recipe,
    out: Path | None = None,
    *,
    executor: ExecutorName = "serial",
    workers: int | None = None,
    address: str | None = None,
    replace: bool = False,
    repair: bool = False,
    reread: bool = False,
    prune_missing: bool = False,
    keep: Keep = "stages",
    questions: Iterable[Question] = (),
    progress: Progress = silent,
) -> BuildReport:
    """Build a store from a recipe, or bring it to the state of the recipe's inputs, document by document.

    A build that was interrupted goes on where it stopped when called again. A store that holds the inputs' passages
    already is left alone.

    Parameters
    ----------
    out
        Folder of the store; default, the recipe's own.
    address
        Of a Ray cluster that runs already; see `open_executor`.
    replace
        Allow a store that another recipe built to get a new version from this one.
    repair
        Compare all checksums first and make again what is damaged; missing and cut files are found without.
    reread
        Read all inputs again, also those whose size and time are as they were.
    prune_missing
        Delete documents whose input is gone; default, they stay and are listed.
    questions
        What the passages must not give away, where the recipe asks for decontamination.

    Raises
    ------
    UsageError
        If no folder is named, or the store was built from another recipe and `replace` is false.
    CompendiaError
        If not one passage is left, too many records cannot be read, or another process writes to the store.
    """
    named = out or recipe.out
    if named is None:
        raise UsageError("where should the store go?", hint="add --out FOLDER, or `out:` to the recipe")
    store = named.expanduser().resolve()  # workers may run in another folder
    check_target(store, recipe, replace=replace)
    clock = Clock()
    for fault in faults(recipe):
        raise fault
    clock.lap("load encoder")
    inputs = find_inputs(store / "work", recipe, reread=reread)
    store.mkdir(parents=True, exist_ok=True)
    with writer_lock(store), open_executor(executor, workers, address) as runner:
        recipe_changes, input_changes = recipe_differences(store, recipe), changed_inputs(store, inputs.tasks)
        check_target(store, recipe, replace=replace)  # another build may have finished meanwhile
        if reread:
            shutil.rmtree(store / "work" / "read", ignore_errors=True)
        make_folders(store)
        matcher = prepare_matcher(recipe, questions, store / "work")
        corpus = read_corpus(store / "work", inputs, runner, progress, recipe.max_failure_share)
        clock.lap("read")
        by_key = {task.key: task for task in inputs.tasks}
        site = Site(
            store, recipe, runner, progress, lambda shards: read_again(corpus, by_key, shards, runner)
        )
        report = bring(
            *(site, corpus, clock, matcher, executor),
            repair=repair,
            missing="prune" if prune_missing else "keep",
            keep=keep,
        )
    return dataclasses.replace(
        report, store=named, recipe_changes=recipe_changes, input_changes=input_changes
    )


def refilter(
    store: Path,
    settings: Sequence[str],
    *,
    executor: ExecutorName = "serial",
    workers: int | None = None,
    address: str | None = None,
    questions: Iterable[Question] = (),
    progress: Progress = silent,
) -> BuildReport:
    """Decide anew which documents of a store's last build stay, from what it kept; no input is read.

    `settings` change filters and the choice among duplicates (`filters.length.min_words=20`). What falls out is
    deleted, what comes back is cut and embedded. Also the recipe of the store changes.

    Raises
    ------
    NotFoundError
        If the build kept nothing.
    UsageError
        If a setting is none of the filters', documents would come back whose texts were not kept, or the current
        version is not of the last build's inputs: it was changed by hand, or the store rolled back.
    """
    store = store.expanduser().resolve()
    with writer_lock(store), open_executor(executor, workers, address) as runner:
        check_is_built(store, read_manifest(store))
        corpus = kept_corpus(store, corpus_key_of(store))
        before = recipe_of(store).model_dump(mode="json")
        recipe = make_recipe(deepcopy(before), settings, environment={}, origin="the store's recipe")
        others = [
            key
            for key in changed_keys(before, recipe.model_dump(mode="json"))
            if not re.match(r"filters|deduplicate|near_duplicates|sources\.\d+\.filters", key)
        ]
        if others:
            raise UsageError(
                f"refilter changes filters and duplicates alone, not {', '.join(others)}",
                hint="compendia build --replace with the changed recipe",
            )
        make_folders(store)
        site = Site(store, recipe, runner, progress, partial(_refuse_missing, store))
        keep: Keep = (
            "stages" if all((site.work / shard.file).exists() for shard in corpus.shards) else "scores"
        )
        matcher = prepare_matcher(recipe, questions, site.work)
        return bring(site, corpus, Clock(), matcher, executor, repair=False, missing="keep all", keep=keep)


def _refuse_missing(store: Path, wanted: Sequence[tuple[Shard, int]]) -> None:
    lost = sum(documents for shard, documents in wanted if not (store / "work" / shard.file).exists())
    if lost:
        raise UsageError(
            f"this needs the texts of {lost:,} documents, which were not kept",
            hint="run compendia build --replace with the changed recipe: it reads the input again",
        )
