"""The oracle of CompactDS: of a hundred passages those that help the model most, by what it makes of the right answer."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.errors import UsageError

from ...engines import Engine
from ...tasks.task import Item
from ..config import Options
from ..questions import Questions
from .context import render
from .finders import Found, Search
from .fit import count_fitting


class Oracle:
    """Ranks what a chain finds by the gain in log-probability of the right answer with the passage alone before the
    question (Lyu et al., 2025). It knows the answer: an upper bound, not a retriever.
    """

    def __init__(self, search: Search, questions: Questions, engine: Engine, options: Options) -> None:
        """`search` finds the candidates; `options` say how a passage is shown, and how many are kept."""
        self._search = search
        self._questions = questions
        self._engine = engine
        self._options = options

    def find(self, items: Sequence[Item], first: int) -> list[Found]:
        """Raises RequestsFailedError if a server fails on one."""
        found = self._search.find(items, first)
        return [self._ranked(item, candidates) for item, candidates in zip(items, found, strict=True)]

    def _ranked(self, item: Item, found: Found) -> Found:
        task, shots = self._questions.task, self._questions.shots_of(item)
        contexts = ["", *(render([passage], self._options).text for passage in found.passages)]
        prompts = [task.prompt(item, shots, context, position=self._options.position) for context in contexts]
        count_fitting(self._engine, task, [item] * len(prompts), prompts, f"oracle({self._search.chain})")
        without, *scores = self._engine.log_likelihoods(
            prompts, [_right_answer(self._questions, item)] * len(prompts)
        )
        ranked = sorted(
            (
                passage._replace(score=score.nats - without.nats)
                for passage, score in zip(found.passages, scores, strict=True)
            ),
            key=lambda passage: -passage.score,
        )[: self._options.k]
        gold = found.gold_rank and found.passages[found.gold_rank - 1].id
        ids = [passage.id for passage in ranked]
        rank = ids.index(gold) + 1 if gold in ids else None
        return found._replace(passages=ranked, gold_rank=rank)


def _right_answer(questions: Questions, item: Item) -> str:
    task = questions.task
    if item.answer is not None and task.form in ("letters", "cloze"):
        return task.continuations(item)[item.answer]
    if task.form == "likelihood":
        return task.continuations(item)[0]
    if not item.references:
        raise UsageError(f"question {item.id!r} has no reference answer that an oracle could look for")
    return f" {item.references[0]}"
