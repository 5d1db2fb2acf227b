"""Two runs side by side: arms of one name on the same questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datastore.errors import UsageError

from ..folder import read_record
from .outcomes import Outcomes, check_same_questions, read_outcomes
from .score import differences, measures

SCHEMA = "compendia.eval.compare/1"


def compare(first: Path, second: Path, *, seed: int = 0) -> dict[str, Any]:
    """The second run minus the first, for each arm that both have, on the questions that both answered in all of them.

    Raises
    ------
    NotFoundError
        If one of the folders holds no run.
    UsageError
        If they are of different tasks or questions, share no arm, or one lacks more answers than it was allowed to.
    """
    records = [read_record(path) for path in (first, second)]
    before, after = records
    if before["task"] != after["task"]:
        raise UsageError(
            f"{first} is a run of {before['task']}, {second} of {after['task']}: they cannot be compared"
        )
    shared = [name for name in before["arms"] if name in after["arms"]]
    if not shared:
        raise UsageError(
            f"no arm has the same name in both: {', '.join(before['arms'])}; {', '.join(after['arms'])}",
            hint="give arms that should be compared one name",
        )
    found = {
        name: [_answered(path, record, name) for path, record in zip((first, second), records, strict=True)]
        for name in shared
    }
    left_out = {name for pair in found.values() for one in pair for name in one.failed}
    arms = []
    for name, pair in found.items():
        one, other = (outcomes.without(left_out) for outcomes in pair)
        if not one.ids:
            raise UsageError(f"no question was answered in the arm {name} of both {first} and {second}")
        check_same_questions({str(first): one, str(second): other})
        arms.append(
            {
                "arm": name,
                "first": measures(one, seed),
                "second": measures(other, seed),
                "difference": differences(other, one, seed),
            }
        )
    if before.get("items_hash") != after.get("items_hash"):
        raise UsageError(
            f"the questions of {first} and {second} have equal ids and are not the same",
            hint="give both runs the same data; if it was, run the older one again: its answers are kept",
        )
    return {
        "schema": SCHEMA,
        "task": before["task"],
        "questions": len(one.ids),
        "left_out": sorted(left_out),
        "seed": seed,
        "runs": [
            {
                "path": str(path),
                **{name: record[name] for name in ("name", "engine", "store", "code", "shots")},
            }
            for path, record in zip((first, second), records, strict=True)
        ],
        "arms": arms,
    }


def _answered(folder: Path, record: dict[str, Any], arm: str) -> Outcomes:
    file = record["arms"][arm]["file"]
    outcomes = read_outcomes(folder / "passages" / f"{file}.jsonl", folder / "samples" / f"{file}.jsonl")
    missing = record["questions"] - len(outcomes.ids)
    if missing > record.get("evaluation", {}).get("max_failed", 0):
        raise UsageError(
            f"{folder} lacks answers of the arm {arm}, to {missing} questions",
            hint="run its evaluation again: it goes on where it was stopped",
        )
    return outcomes
