"""The report of a run as plain data: what JSON holds and the page shows."""

from __future__ import annotations

from typing import Any

from datastore.errors import CompendiaError

from ...statistics import RESAMPLES
from ..arms import Arm
from ..run import Done
from .cautions import cautions
from .flips import flips, samples
from .outcomes import Outcomes, check_same_questions, read_outcomes
from .score import diagnostics, differences, few_passages, mean_seconds, measures, subjects

SCHEMA = "compendia.eval.llm/2"

Report = dict[str, Any]


def make_report(done: Done) -> Report:
    """Every arm beside the first, on the questions that all of them answered."""
    folder, asked, questions, arms = done.folder, done.asked, done.questions, done.arms
    seed = asked["seed"]
    outcomes = {arm.name: read_outcomes(folder.passages(arm), folder.samples(arm)) for arm in arms}
    left_out = {name for one in outcomes.values() for name in one.failed}
    compared = {name: one.without(left_out) for name, one in outcomes.items()}
    if not all(one.ids for one in compared.values()):
        raise CompendiaError("no question was answered in every arm", hint="run the same command again")
    check_same_questions(compared)
    first = arms[0]
    report: Report = {
        "schema": SCHEMA,
        **{
            name: asked[name]
            for name in ("name", "task", "shots", "seed", "engine", "store", "code", "evaluation")
        },
        "form": questions.task.form,
        "examples": max(len(questions.shots_of(item)) for item in questions.items),
        "aggregate": questions.task.aggregate,
        "questions": len(compared[first.name].ids),
        "left_out": sorted(left_out),
        "subjects": len(set(compared[first.name].subjects)),
        "resamples": RESAMPLES,
        "retries": done.retries,
        "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
        "arms": [_arm(arm, outcomes[arm.name], compared, first, seed) for arm in arms],
        "flips": [],
    }
    report["cautions"] = cautions(report, questions, arms)
    for arm in arms[1:]:
        if arm.parent:
            continue
        ids = flips(compared[arm.name], compared[first.name], seed)
        report["flips"].append(
            {
                "arm": arm.name,
                "baseline": first.name,
                **{way: samples(folder, arm, first, questions, ids[way]) for way in ("gained", "lost")},
            }
        )
    return report


def _arm(
    arm: Arm, everything: Outcomes, compared: dict[str, Outcomes], first: Arm, seed: int
) -> dict[str, Any]:
    own = compared[arm.name]
    return {
        "arm": arm.name,
        "kind": arm.config.kind,
        "generated_of": arm.parent or None,
        "k": arm.options.k if arm.config.kind != "none" else None,
        "without": arm.without,
        "options": arm.options.model_dump(mode="json"),
        "measures": measures(own, seed),
        "difference": None if arm is first else differences(own, compared[first.name], seed),
        "difference_to_parent": differences(own, compared[arm.parent], seed) if arm.parent else None,
        "unparsed": int(own["unparsed"].sum()) if own.graded else None,
        "failed": len(everything.failed),
        "subjects": subjects(own, seed),
        "retrieval": diagnostics(own, compared[first.name], arm.options.k, seed),
        "few_passages": few_passages(own, arm.options.k) if arm.config.kind != "none" else None,
        "prompt_tokens": {
            "mean": float(own["prompt_tokens"].mean()),
            "most": int(own["prompt_tokens"].max()),
        },
        "answer_tokens": float(own["tokens"].mean()),
        "seconds_per_question": mean_seconds(own),
        "cached": int(own["cached"].sum()),
    }
