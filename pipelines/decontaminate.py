"""Passages that give away evaluation questions, while documents are cut into passages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import UsageError
from datastore.decontamination import (
    DecontaminationConfig,
    Leak,
    Matcher,
    Question,
    build_matcher,
    open_matcher,
)

from .recipe import Recipe

REPORT = pa.schema(
    [
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("span", pa.string(), nullable=False),  # what is common, as the document has it
        pa.field("words", pa.int64(), nullable=False),  # of the span, those in common
        pa.field("value", pa.float64(), nullable=False),  # what the rule compares
    ]
)


class Contaminated(NamedTuple):
    """For each document which of its passages are contaminated, and why."""

    passages: list[NDArray[np.bool_]]
    leaks: list[Leak]


def prepare_questions(questions: Iterable[Question], config: DecontaminationConfig, work: Path) -> Matcher:
    """Questions as a folder of the work area that all workers open; named after what is in it."""
    matcher = build_matcher(questions, config)
    folder = work / "questions" / matcher.key
    return open_matcher(folder) if folder.exists() else matcher.save(folder)


def prepare_matcher(recipe: Recipe, questions: Iterable[Question], work: Path) -> Matcher | None:
    """The questions that no passage of a recipe's store may give away.

    Raises
    ------
    UsageError
        If there is none, and the recipe asks for decontamination.
    """
    if recipe.decontaminate is None:
        return None
    rule = DecontaminationConfig.model_validate(recipe.decontaminate.model_dump(exclude={"questions"}))
    matcher = prepare_questions(questions, rule, work)
    if not len(matcher.names):
        raise UsageError(
            "the recipe asks for decontamination, and there is no question to compare with",
            hint="give build(…, questions=…) what decontaminate.questions names",
        )
    return matcher


@lru_cache(maxsize=1)
def prepared_questions(folder: Path) -> Matcher:
    """`open_matcher`, once in a worker."""
    return open_matcher(folder)


def contaminated(
    texts: Sequence[str], ranges: Sequence[Sequence[tuple[int, int]]], matcher: Matcher
) -> Contaminated:
    """The contaminated passages of some documents.

    Parameters
    ----------
    texts
        Whole texts: a question that is cut by the end of a passage is seen.
    ranges
        For each text the characters [start, end) of its passages.
    """
    leaks = matcher.leaks(texts, ranges)
    passages = [np.zeros(len(of_text), dtype=np.bool_) for of_text in ranges]
    for leak in leaks:
        passages[leak.text][leak.passage] = True
    return Contaminated(passages, leaks)


def report(leaks: Sequence[Leak], passage_ids: Sequence[Sequence[str]]) -> pa.Table:
    """Leaks as rows of `REPORT`; `passage_ids` as the ranges that they were found in."""
    rows = [
        {"passage_id": passage_ids[leak.text][leak.passage]}
        | {name: getattr(leak, name) for name in REPORT.names[1:]}
        for leak in leaks
    ]
    return pa.Table.from_pylist(rows, schema=REPORT)
