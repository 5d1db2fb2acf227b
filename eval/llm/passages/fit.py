"""Whether prompts fit the model's context, asked before any of them is."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.errors import CompendiaError, UsageError

from ...engines import Engine, RequestsFailedError
from ...tasks.task import Item, Prompt, Task

_SHORTER = (
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
    CompendiaError
        If a server cannot count one: some refuse what is too long.
    """
    room = engine.fingerprint.context_tokens
    try:
        counts = engine.count_tokens(prompts)
    except RequestsFailedError as error:
        number, reason = next(iter(error.failures.items()))
        raise CompendiaError(
            f"the server does not count the tokens of question {items[number].id!r} in the arm {arm}: {reason}",
            hint=f"if it is too long, {_SHORTER}; else run the same command again, it goes on from there",
        ) from error
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
                hint=_SHORTER,
            )
    return counts
