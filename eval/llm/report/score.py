"""What the outcomes of an arm say, each number with its interval; and what two arms' say of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...paired import mcnemar, questions_needed
from ...statistics import (
    Difference,
    Losses,
    interval,
    paired_difference,
    perplexity,
    perplexity_difference,
)
from ..answers.grading import NATS, TOKENS
from .outcomes import Outcomes

PERPLEXITY = "perplexity"
_SUBJECT_RESAMPLES = 2_000


def measures(outcomes: Outcomes, seed: int) -> dict[str, Any]:
    """Accuracy, micro and macro, and every other measure; intervals by whole subjects where there are several."""
    clusters = outcomes.clusters
    found: dict[str, Any] = {}
    if outcomes.graded:
        found["accuracy"] = interval(outcomes["right"], clusters=clusters, seed=seed).to_json()
        if clusters is not None:
            found["macro accuracy"] = interval(_by_subject(outcomes, outcomes["right"]), seed=seed).to_json()
    for name, values in _other_measures(outcomes).items():
        found[name] = interval(values, clusters=clusters, seed=seed).to_json()
    if (losses := _losses(outcomes)) is not None:
        found[PERPLEXITY] = perplexity(losses, clusters=clusters, seed=seed).to_json()
    return found


def differences(arm: Outcomes, baseline: Outcomes, seed: int) -> dict[str, Any]:
    """`arm` minus `baseline` in every measure, on the same questions, with how many it would take to see it."""
    clusters = arm.clusters
    n = len(arm.ids)
    found: dict[str, Any] = {}

    def note(name: str, difference: Difference) -> None:
        found[name] = {**difference.to_json(), "questions_needed": questions_needed(difference, n)}

    if arm.graded and baseline.graded:
        note("accuracy", paired_difference(arm["right"], baseline["right"], clusters=clusters, seed=seed))
        found["accuracy"]["mcnemar"] = mcnemar(
            (arm["right"] > 0).tolist(), (baseline["right"] > 0).tolist()
        ).to_json()
        if clusters is not None:
            one, other = (_by_subject(outcomes, outcomes["right"]) for outcomes in (arm, baseline))
            note("macro accuracy", paired_difference(one, other, seed=seed))
    theirs = _other_measures(baseline)
    for name, values in _other_measures(arm).items():
        if name in theirs:
            note(name, paired_difference(values, theirs[name], clusters=clusters, seed=seed))
    losses, before = _losses(arm), _losses(baseline)
    if losses is not None and before is not None and np.array_equal(losses.tokens, before.tokens):
        note(PERPLEXITY, perplexity_difference(losses, before, clusters=clusters, seed=seed))
    return found


def subjects(outcomes: Outcomes, seed: int) -> dict[str, Any]:
    """Each subject's questions, accuracy (or nats) and unparsed answers; intervals by questions."""
    if outcomes.clusters is None:
        return {}
    values = outcomes["right"] if outcomes.graded else outcomes.metrics.get(NATS)
    if values is None:
        return {}
    names = np.array(outcomes.subjects)
    found = {}
    for subject in dict.fromkeys(outcomes.subjects):
        own = names == subject
        found[subject] = {
            "questions": int(own.sum()),
            "value": interval(values[own], seed=seed, resamples=_SUBJECT_RESAMPLES).to_json(),
            "unparsed": int(outcomes["unparsed"][own].sum()),
        }
    return found


def few_passages(outcomes: Outcomes, k: int) -> dict[str, int]:
    """Questions that were shown no passage, and those that were shown some but fewer than k."""
    shown = outcomes["passages"]
    return {"none": int((shown == 0).sum()), "fewer": int(((shown > 0) & (shown < k)).sum())}


def diagnostics(outcomes: Outcomes, baseline: Outcomes, k: int, seed: int) -> dict[str, Any] | None:
    """What was shown, whether the answer was in it and where; None for an arm that shows nothing.

    `difference` is to the baseline, on the questions alone whose answer was shown.
    """
    if not outcomes["passages"].any():
        return None
    ranks = outcomes["answer_rank"]
    values = outcomes["right"] if outcomes.graded else outcomes.metrics.get(NATS)
    there = ranks > 0
    with_gold = outcomes["gold_rank"] > 0
    return {
        "passages": float(outcomes["passages"].mean()),
        "removed": {"passages": int(outcomes["removed"].sum()), "questions": _some(outcomes["removed"])},
        "cut": {"characters": int(outcomes["cut"].sum()), "questions": _some(outcomes["cut"])},
        "gold_shown": float(with_gold.mean()),
        "answer": {
            "measure": "accuracy" if outcomes.graded else NATS,
            "shown": interval(there.astype(np.float64), clusters=outcomes.clusters, seed=seed).to_json(),
            "questions_by_rank": [int((ranks == rank).sum()) for rank in range(1, k + 1)],
            "when_shown": _of_some(outcomes, values, there, seed),
            "when_not": _of_some(outcomes, values, ~there, seed),
            "difference": differences(outcomes.only(there), baseline.only(there), seed)
            if there.any()
            else None,
        },
    }


def _some(column: NDArray[np.float64]) -> int:
    return int((column > 0).sum())


def _of_some(
    outcomes: Outcomes, values: NDArray[np.float64] | None, chosen: NDArray[np.bool_], seed: int
) -> dict[str, Any] | None:
    if values is None or not chosen.any():
        return None
    own = [subject for subject, there in zip(outcomes.subjects, chosen, strict=True) if there]
    clusters = own if len(set(own)) > 1 else None
    return {
        "questions": int(chosen.sum()),
        **interval(values[chosen], clusters=clusters, seed=seed).to_json(),
    }


def _by_subject(outcomes: Outcomes, values: NDArray[np.float64]) -> list[float]:
    names = np.array(outcomes.subjects)
    return [float(values[names == subject].mean()) for subject in dict.fromkeys(outcomes.subjects)]


def _other_measures(outcomes: Outcomes) -> dict[str, NDArray[np.float64]]:
    return {
        name: values
        for name, values in outcomes.metrics.items()
        if name != TOKENS and not np.isnan(values).any()
    }


def _losses(outcomes: Outcomes) -> Losses | None:
    nats, tokens = outcomes.metrics.get(NATS), outcomes.metrics.get(TOKENS)
    if nats is None or tokens is None or np.isnan(tokens).any():
        return None
    return Losses(nats, tokens)


def mean_seconds(outcomes: Outcomes) -> float | None:
    """Of the questions that were asked, not those from the cache."""
    asked: Sequence[float] = outcomes["seconds"][outcomes["cached"] == 0]
    return float(np.mean(asked)) if len(asked) else None
