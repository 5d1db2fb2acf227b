"""Passages and prompts of all questions, on disk and known to fit, before the model is asked the first of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from datastore.errors import CompendiaError, IntegrityError

from ...engines import Engine, RequestsFailedError
from ...tasks.task import Item, Passage, Prompt
from ..arms import Arm
from ..log import Log, Row, read
from ..questions import Questions
from .context import render
from .finders import Finder, Found
from .fit import SHORTER, count_fitting
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
    *,
    batch: int,
    max_failed: int,
    advance: Advance,
) -> Seconds:
    """Find the passages of an arm, from where an earlier run ended; one row a question goes to the log at `path`.

    Raises
    ------
    UsageError
        If a prompt does not fit the model's context.
    CompendiaError
        If a server fails on more than `max_failed` questions, to count their tokens or to rank their passages.
    """
    log = Log(path)
    known = ["error" in row for row in read(path)]
    preparing = _Preparing(arm, finder, questions, engine, max_failed, failed=sum(known))
    try:
        advance(len(known))
        for start in range(len(known), len(questions.items), batch):
            for rows in preparing.rows(questions.items[start : start + batch], start):
                log.append(rows)
                advance(len(rows))
    finally:
        log.close()
    return preparing.seconds


class _Preparing:
    """An arm on its way; `seconds` are those spent so far."""

    def __init__(
        self,
        arm: Arm,
        finder: Finder,
        questions: Questions,
        engine: Engine,
        max_failed: int,
        *,
        failed: int,
    ) -> None:
        self._arm = arm
        self._finder = finder
        self._questions = questions
        self._engine = engine
        self._max_failed = max_failed
        self._failed = failed
        self.seconds = Seconds()

    def rows(self, items: Sequence[Item], first: int) -> Iterator[list[Row]]:
        """The rows of a batch, all at once; where a server fails on some, each question is tried alone."""
        try:
            rows = self._found(items, first)
        except RequestsFailedError:
            yield from self._alone(items, first)
        else:
            yield rows

    def _alone(self, items: Sequence[Item], first: int) -> Iterator[list[Row]]:
        for number, item in enumerate(items, start=first):
            try:
                yield self._found([item], number)
            except RequestsFailedError as error:
                yield [self._failure(item, error)]

    def _found(self, items: Sequence[Item], first: int) -> list[Row]:
        started = time.perf_counter()
        found = self._finder.find(items, first)
        between = time.perf_counter()
        rows = _rows(self._arm, items, found, self._questions, self._engine)
        self.seconds = Seconds(
            self.seconds.find + between - started, self.seconds.prompts + time.perf_counter() - between
        )
        return rows

    def _failure(self, item: Item, error: RequestsFailedError[Any]) -> Row:
        self._failed += 1
        reason = next(iter(error.failures.values()))
        if self._failed > self._max_failed:
            raise CompendiaError(
                f"the server fails on question {item.id!r} in the arm {self._arm.name}: {reason}",
                hint=f"if it is too long, {SHORTER}; else run the same command again, it goes on from there, or allow "
                f"for it: --set max_failed={self._failed}",
            ) from error
        return {"id": item.id, "error": reason}


def make_prompt(arm: Arm, questions: Questions, item: Item, passages: Sequence[Passage]) -> Prompt:
    return questions.task.prompt(
        item,
        questions.shots_of(item),
        render(passages, arm.options).text,
        position=arm.options.position,
    )


def read_prepared(path: Path, questions: Questions) -> Iterator[Prepared]:
    """What `prepare` wrote, a question at a time, in their order, without those that a server failed on."""
    for item, row in zip(questions.items, read(path), strict=True):
        if row["id"] != item.id:
            raise IntegrityError(
                f"{path} has the passages of {row['id']!r} where those of {item.id!r} should be",
                hint="--restart makes the run anew",
            )
        if "error" not in row:
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
) -> list[Row]:
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
