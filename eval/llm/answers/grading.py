"""What an answer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...tasks.choices import likeliest
from ...tasks.task import Item, Task
from .asking import Answer

NATS = "nats"  # minus the log-likelihood of the right answer
TOKENS = "tokens"  # of that answer; only where every question has one reference, so that perplexities compare


class Grade(NamedTuple):
    """`parsed` is None where no answer was found in what the model wrote; `right` is None where none can be."""

    parsed: str | None
    right: bool | None
    metrics: Mapping[str, float]


def grade(task: Task, item: Item, answer: Answer) -> Grade:
    if answer.generation is not None:
        parsed = task.parse(answer.generation.text, item)
        metrics = {
            name: 0.0 if parsed is None else float(measure(parsed, item))
            for name, measure in task.metrics.items()
        }
        return Grade(parsed, parsed is not None and task.grade(parsed, item), metrics)
    if task.form == "likelihood":
        best = max(answer.scores, key=lambda score: score.nats)
        tokens = {TOKENS: float(best.tokens)} if len(answer.scores) == 1 else {}
        return Grade(None, None, {NATS: -best.nats, **tokens})
    chosen = likeliest(task, item, answer.scores, answer.unconditional)
    assert item.answer is not None
    return Grade(
        task.continuations(item)[chosen].strip(),
        chosen == item.answer,
        {NATS: -answer.scores[item.answer].nats},
    )
