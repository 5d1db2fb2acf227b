"""Whether prompts fit the model's context, asked before any of them is."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.errors import UsageError

from ...engines import Engine
from ...tasks.task import Item, Prompt, Task

SHORTER = (
    "give fewer or shorter passages (options.k, options.characters), fewer examples (shots), or a model with a longer "
    "context (engine)"
)


def count_fitting(
    engine: Engine, task: Task, items: Sequence[Item], prompts: Sequence[Prompt], arm: str
) -> list[int]:
    """The tokens of each prompt, once all are known to leave room for the answer.

    Raises
    ------
    UsageError
        If one does not: it names the question. A continuation counts with the special tokens that it would have as a
        text of its own.
    RequestsFailedError
        If a server cannot count one: some refuse what is too long.
    """
    room = engine.fingerprint.context_tokens
    counts = engine.count_tokens(prompts)
    # To score texts, servers read them as a prompt and write one token behind it.
    own = 0 if task.form == "generate" else 1
    wanted = [("",) if task.form == "generate" else task.continuations(item) for item in items]
    distinct = list(dict.fromkeys(text for texts in wanted for text in texts if text))
    answers = dict(zip(distinct, engine.count_tokens(distinct) if distinct else (), strict=True))
    for item, count, texts in zip(items, counts, wanted, strict=True):
        more = max((answers.get(text, task.max_tokens) for text in texts), default=0)
        if count + more + own > room:
            raise UsageError(
                f"question {item.id!r} does not fit in the arm {arm}: its prompt has {count:,} tokens and its answer "
                f"up to {more:,}, the context of {engine.fingerprint.model} {room:,}",
                hint=SHORTER,
            )
    return counts
