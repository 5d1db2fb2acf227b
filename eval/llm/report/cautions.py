"""What a reader of a report's numbers has to know before they are believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datastore.decontamination import DecontaminationConfig
from datastore.decontamination.folding import folded_words

from ..arms import Arm, controlled
from ..config import WrongArm
from ..questions import Questions, query_of

_FEW_SUBJECTS = 10  # clusters below which a cluster bootstrap's intervals are known to be too narrow


def cautions(report: Mapping[str, Any], questions: Questions, arms: Sequence[Arm]) -> list[str]:
    """Sentences, the gravest first; none is the rule."""
    found = []
    if left := report["left_out"]:
        found.append(
            f"{len(left):,} questions were not answered in some arm and are left out of all: {', '.join(left[:5])}"
        )
    if 1 < report["subjects"] < _FEW_SUBJECTS:
        found.append(
            f"intervals by {report['subjects']} subjects are too narrow: so few do not show how much subjects differ"
        )
    found += [
        f"{arm.name}: {few}"
        for arm, told in zip(arms, report["arms"], strict=True)
        if (few := _few_passages(arm, arms, told["few_passages"]))
    ]
    found += [
        f"{arm['arm']}: {cut['characters']:,} characters of passages cut off, in {cut['questions']:,} questions"
        for arm in report["arms"]
        if arm["retrieval"] and not arm["generated_of"] and (cut := arm["retrieval"]["cut"])["characters"]
    ]
    for arm in arms:
        if arm.parent or arm.config.kind not in ("retriever", "file") or not arm.options.decontaminate:
            continue
        least = DecontaminationConfig().min_question_words
        short = sum(len(folded_words(query_of(item, arm.options))) < least for item in questions.items)
        if short:
            found.append(
                f"{arm.name}: {short:,} queries have fewer than {least} words, too few to tell whether a passage gives "
                "them away"
            )
    if report["retries"]:
        found.append(f"{report['retries']:,} requests were sent again")
    return found


def _few_passages(arm: Arm, arms: Sequence[Arm], counts: Mapping[str, int] | None) -> str:
    """Gold passages are as many as there are: fewer than k are no lack."""
    if counts is None:
        return ""
    source = controlled(arm.config, arms) if isinstance(arm.config, WrongArm) else arm
    gold = source is None or source.config.kind == "gold"
    parts = [f"no passage before {counts['none']:,} questions"] if counts["none"] else []
    if counts["fewer"] and not gold:
        parts.append(f"fewer than {arm.options.k} before {counts['fewer']:,} questions")
    return ", ".join(parts)
