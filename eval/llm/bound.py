"""An evaluation with its questions, its store and its model: where each arm's passages come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from datastore import Datastore
from datastore.errors import UsageError
from retrievers import parse

from ..engines import Engine
from ..tasks import find_task
from .arms import Arm, controlled, expand
from .config import ArmConfig, Evaluation, FileArm, GoldArm, Options, OracleArm, RetrieverArm, WrongArm
from .passages.another import OfAnother
from .passages.finders import Finder, FromFile, Gold, Nothing, Search
from .passages.given import GivenPassages
from .passages.oracle import Oracle
from .questions import read_questions

ENGINE = "engine"  # what a chain calls the model that is asked


class Bound:
    """Close it: it holds files open. `engine` is needed by an oracle, and by a chain whose model is `ENGINE`."""

    def __init__(self, evaluation: Evaluation, store: Datastore | None, engine: Engine | None) -> None:
        """Raises UsageError if the questions are not such, or the arms make no sense; see `expand`."""
        self.evaluation = evaluation
        self.store = store
        self.questions = read_questions(evaluation, find_task(evaluation.task))
        self._engine = engine
        self._files: dict[tuple[Path, str | None], GivenPassages] = {}
        try:
            self.arms = expand(evaluation, self._sources)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for given in self._files.values():
            given.close()

    def finder(self, arm: Arm) -> Finder:
        """What finds the passages of an arm.

        Raises
        ------
        UsageError
            If the arm needs what is not there: a store, gold passages, another question.
        """
        config, options = arm.config, arm.options
        match config:
            case RetrieverArm():
                return self._search(config.retriever, options)
            case OracleArm():
                if self._engine is None:
                    raise UsageError(f"the arm {arm.name} needs the model that is asked")
                search = self._search(config.retriever, options.model_copy(update={"k": config.candidates}))
                return Oracle(search, self.questions, self._engine, options)
            case FileArm():
                return FromFile(self._file(config), options)
            case GoldArm():
                return self._gold(arm)
            case WrongArm():
                return self._of_another(arm, config)
            case _:
                return Nothing()

    def _search(self, retriever: str, options: Options) -> Search:
        if self.store is None:
            raise UsageError(
                f"{retriever} needs a store to search",
                hint="store: FOLDER, or corpus: with a recipe, in the evaluation",
            )
        models = {} if self._engine is None else {ENGINE: self._engine}
        return Search(self.store, parse(retriever, models), options)

    def _file(self, config: FileArm) -> GivenPassages:
        path = self.evaluation.rooted(config.path)
        if (path, config.score) not in self._files:
            self._files[path, config.score] = GivenPassages(path, config.score)
        return self._files[path, config.score]

    def _sources(self, config: ArmConfig) -> Sequence[str]:
        if isinstance(config, FileArm):
            return self._file(config).sources
        return self._store_sources if isinstance(config, RetrieverArm | OracleArm) else []

    @cached_property
    def _store_sources(self) -> Sequence[str]:
        return [] if self.store is None else sorted(set(self.store.read_column("source")))

    def _gold(self, arm: Arm) -> Gold:
        lacking = next((item for item in self.questions.items if not item.gold), None)
        if lacking is not None:
            raise UsageError(
                f"question {lacking.id!r} of {self.questions.task.name} has no gold passage: the arm {arm.name} "
                "cannot answer the same questions as the others",
                hint="leave the arm out; a `wrong` arm can show the passages `of` another arm",
            )
        return Gold(arm.options)

    def _of_another(self, arm: Arm, config: WrongArm) -> OfAnother:
        items = self.questions.items
        if len(items) < 2:
            raise UsageError(
                f"the arm {arm.name} needs two questions or more: it shows the passages of another"
            )
        named = controlled(config, self.arms)
        finder = self._gold(arm) if named is None else self.finder(arm._replace(config=named.config))
        return OfAnother(finder, items, derangement(len(items), self.evaluation.seed), arm.options)


def derangement(n: int, seed: int) -> list[int]:
    """A seeded permutation of n >= 2 positions that leaves none where it is: one cycle through all, in random order."""
    cycle = np.random.default_rng(seed).permutation(n)
    after = np.empty(n, dtype=np.int64)
    after[cycle] = np.roll(cycle, -1)
    return [int(position) for position in after]
