"""Passages and prompts of all questions, on disk and known to fit, before the model is asked the first of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from datastore.errors import IntegrityError

from ...engines import Engine
from ...tasks.task import Item, Passage, Prompt
from ..arms import Arm
from ..log import Log, read
from ..questions import Questions
from .context import render
from .finders import Finder, Found
from .fit import count_fitting
from .surface import answer_rank, right_texts

Advance = Callable[[int], None]


class Prepared(NamedTuple):
    """A question as an arm asks it."""

    item: Item
    passages: list[Passage]  # best first
    row: dict[str, Any]  # as the log has it


class Seconds(NamedTuple):
    find: float = 0.0
    prompts: float = 0.0


def prepare(
    arm: Arm,
    finder: Finder,
    questions: Questions,
    engine: Engine,
    path: Path,
    batch: int,
    advance: Advance,
) -> Seconds:
    """Find the passages of an arm, from where an earlier run ended; one row a question goes to the log at `path`.

    Raises
    ------
    UsageError
        If a prompt does not fit the model's context.
    """
    log = Log(path)
    find_s = prompts_s = 0.0
    try:
        known = sum(1 for _ in read(path))
        advance(known)
        for start in range(known, len(questions.items), batch):
            items = questions.items[start : start + batch]
            started = time.perf_counter()
            found = finder.find(items, start)
            between = time.perf_counter()
            log.append(_rows(arm, items, found, questions, engine))
            find_s += between - started
            prompts_s += time.perf_counter() - between
            advance(len(items))
    finally:
        log.close()
    return Seconds(find_s, prompts_s)


def make_prompt(arm: Arm, questions: Questions, item: Item, passages: Sequence[Passage]) -> Prompt:
    return questions.task.prompt(
        item,
        questions.shots_of(item),
        render(passages, arm.options).text,
        position=arm.options.position,
    )


def read_prepared(path: Path, questions: Questions) -> Iterator[Prepared]:
    """What `prepare` wrote, a question at a time, in their order."""
    for item, row in zip(questions.items, read(path), strict=True):
        if row["id"] != item.id:
            raise IntegrityError(
                f"{path} has the passages of {row['id']!r} where those of {item.id!r} should be",
                hint="--restart makes the run anew",
            )
        yield Prepared(item, passages_of(row), row)


def passages_of(row: dict[str, Any]) -> list[Passage]:
    return [
        Passage(**{**passage, "score": math.nan if passage["score"] is None else passage["score"]})
        for passage in row["passages"]
    ]


def prompt_hash(prompt: Prompt) -> str:
    """xxh3-64, 16 hex digits; of a chat, of its roles and texts."""
    text = prompt if isinstance(prompt, str) else repr([tuple(message) for message in prompt])
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


def _rows(
    arm: Arm, items: Sequence[Item], found: Sequence[Found], questions: Questions, engine: Engine
) -> list[dict[str, Any]]:
    prompts = [
        make_prompt(arm, questions, item, one.passages) for item, one in zip(items, found, strict=True)
    ]
    tokens = count_fitting(engine, questions.task, items, prompts, arm.name)
    return [
        {
            "id": item.id,
            "prompt": prompt_hash(prompt),
            "prompt_tokens": count,
            "passages": [_passage(passage) for passage in one.passages],
            "removed": [list(removed) for removed in one.removed],
            "cut": render(one.passages, arm.options).cut,
            "answer_rank": answer_rank(
                right_texts(questions.task, item), one.passages, arm.options.characters
            ),
            "gold_rank": one.gold_rank,
        }
        for item, one, prompt, count in zip(items, found, prompts, tokens, strict=True)
    ]


def _passage(passage: Passage) -> dict[str, Any]:
    return {**passage._asdict(), "score": passage.score if math.isfinite(passage.score) else None}
