"""Questions that two arms answer differently, to read: what was asked, shown and said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..answers.grading import NATS
from ..arms import Arm
from ..folder import RunFolder
from ..log import read
from ..passages.surface import right_texts
from ..questions import Questions
from .outcomes import Outcomes

PER_DIRECTION = 5


def flips(arm: Outcomes, baseline: Outcomes, seed: int) -> dict[str, list[str]]:
    """Ids that the arm gains and loses against the baseline, a seeded few of each.

    Where nothing is right or wrong, those whose reference becomes likelier, and less likely, by the most nats.
    """
    if arm.graded and baseline.graded:
        change = arm["right"] - baseline["right"]
        rng = np.random.default_rng(seed)
        chosen = {
            "gained": rng.permutation(np.flatnonzero(change > 0))[:PER_DIRECTION],
            "lost": rng.permutation(np.flatnonzero(change < 0))[:PER_DIRECTION],
        }
    elif NATS in arm.metrics and NATS in baseline.metrics:
        saved = baseline.metrics[NATS] - arm.metrics[NATS]
        order = np.argsort(-saved, kind="stable")
        chosen = {
            "gained": order[:PER_DIRECTION][saved[order[:PER_DIRECTION]] > 0],
            "lost": order[::-1][:PER_DIRECTION][saved[order[::-1][:PER_DIRECTION]] < 0],
        }
    else:
        return {"gained": [], "lost": []}
    return {way: [arm.ids[number] for number in sorted(numbers)] for way, numbers in chosen.items()}


def samples(
    folder: RunFolder, arm: Arm, baseline: Arm, questions: Questions, ids: Sequence[str]
) -> list[dict[str, Any]]:
    """What a reader wants to see of some questions, in their order."""
    wanted = set(ids)
    items = {item.id: item for item in questions.items if item.id in wanted}
    shown = {row["id"]: row for row in read(folder.passages(arm)) if row["id"] in wanted}
    said, before = (
        {row["id"]: row for row in read(folder.samples(one)) if row["id"] in wanted}
        for one in (arm, baseline)
    )
    return [
        {
            "id": name,
            "subject": items[name].subject,
            "question": items[name].question,
            "options": list(items[name].options) if questions.task.form in ("letters", "cloze") else [],
            "answers": list(right_texts(questions.task, items[name])),
            "arm": _said(said[name]),
            "baseline": _said(before[name]),
            "passages": shown[name]["passages"],
            "removed": shown[name]["removed"],
            "answer_rank": shown[name]["answer_rank"],
        }
        for name in ids
    ]


def _said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("output", "parsed", "right", "metrics")}
