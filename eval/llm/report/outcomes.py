"""The logs of an arm as arrays: one number a question, so that a run of any size fits in RAM."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datastore.errors import UsageError

from ..log import read

_SHOWN = ("answer_rank", "gold_rank", "removed", "cut", "passages", "prompt_tokens")
_ASKED = ("right", "unparsed", "tokens", "seconds", "cached")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What an arm came to, (n,) arrays in the order of the questions.

    Attributes
    ----------
    columns
        right (nan where nothing is right or wrong), unparsed, tokens, seconds, cached; answer_rank and gold_rank
        (0: in no passage), removed, cut, passages, prompt_tokens.
    metrics
        Whatever else was measured, by name.
    failed
        Ids of the questions that were not answered; they are in no array.
    """

    ids: Sequence[str]
    subjects: Sequence[str]
    columns: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, NDArray[np.float64]]
    failed: Sequence[str]

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        return self.columns[column]

    @property
    def clusters(self) -> Sequence[str] | None:
        """The subjects; None where there is one: questions then stand for themselves."""
        return self.subjects if len(set(self.subjects)) > 1 else None

    @property
    def graded(self) -> bool:
        return len(self.ids) > 0 and not bool(np.isnan(self["right"]).any())

    def without(self, left_out: Collection[str]) -> Outcomes:
        """These, without some questions."""
        return self.only(np.array([name not in left_out for name in self.ids], dtype=np.bool_))

    def only(self, chosen: NDArray[np.bool_]) -> Outcomes:
        """Those questions for which (n,) `chosen` is true."""
        return Outcomes(
            [name for name, there in zip(self.ids, chosen, strict=True) if there],
            [subject for subject, there in zip(self.subjects, chosen, strict=True) if there],
            {name: column[chosen] for name, column in self.columns.items()},
            {name: column[chosen] for name, column in self.metrics.items()},
            self.failed,
        )


def read_outcomes(passages: Path, samples: Path) -> Outcomes:
    """The outcomes of an arm, from its two logs."""
    answered: dict[str, list[float]] = {}
    subjects: dict[str, str] = {}
    metrics: dict[str, dict[str, float]] = {}
    for row in read(samples):
        if "error" in row:
            continue
        answered[row["id"]] = [
            np.nan if row["right"] is None else float(row["right"]),
            float(row["parsed"] is None and row["right"] is not None),
            *(float(row[name]) for name in ("tokens", "seconds", "cached")),
        ]
        subjects[row["id"]] = row["subject"]
        metrics[row["id"]] = row["metrics"]
    ids, failed, lines = [], [], []
    for row in read(passages):
        if row["id"] not in answered:
            failed.append(row["id"])
            continue
        ids.append(row["id"])
        ranks = [row["answer_rank"] or 0, row["gold_rank"] or 0]
        shown = [len(row["removed"]), row["cut"], len(row["passages"]), row["prompt_tokens"]]
        lines.append([*ranks, *shown, *answered[row["id"]]])
    table = np.array(lines, dtype=np.float64).reshape(len(ids), len(_SHOWN) + len(_ASKED)).T
    names = sorted({name for measured in metrics.values() for name in measured})
    return Outcomes(
        ids,
        [subjects[name] for name in ids],
        dict(zip((*_SHOWN, *_ASKED), table, strict=True)),
        {name: np.array([metrics[i].get(name, np.nan) for i in ids], dtype=np.float64) for name in names},
        failed,
    )


def check_same_questions(arms: Mapping[str, Outcomes]) -> None:
    """A comparison means something only on the same questions.

    Raises
    ------
    UsageError
        If an arm answers others than the first one; it names a question.
    """
    (first, expected), *others = arms.items()
    for name, outcomes in others:
        if list(outcomes.ids) != list(expected.ids):
            odd = sorted(set(outcomes.ids) ^ set(expected.ids)) or ["in another order"]
            raise UsageError(
                f"{first} answers {len(expected.ids)} questions and {name} {len(outcomes.ids)}, not the same: "
                f"{json.dumps(odd[0])} for example; they cannot be compared"
            )
