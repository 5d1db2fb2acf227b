"""Tables of the report, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .charts import Number, spelt


def number_of(measure: str) -> Number:
    """How a measure is written: shares with three digits, nats and perplexities with two."""
    return (
        (lambda value: f"{value:.2f}")
        if measure in ("nats", "perplexity")
        else (lambda value: f"{value:.3f}")
    )


def signed(number: Number) -> Number:
    return lambda value: f"{'+' if value > 0 else ''}{number(value)}"


def title(measure: str) -> str:
    return {
        "nats": "nats of the right answer (lower is better)",
        "perplexity": "perplexity of the right answer (lower is better)",
        "accuracy": "accuracy",
        "macro accuracy": "accuracy, the mean of the subjects' means",
    }.get(measure, measure)


def answers_table(arms: Sequence[Mapping[str, Any]], baseline: str) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "arm", f"only it is right, only {escape(baseline)}", "McNemar's p", "questions needed", "unparsed", "failed",
            "prompt tokens, mean and most", "s a question",
        )
    )  # fmt: skip
    rows = []
    for arm in arms:
        found = (arm["difference"] or {}).get("accuracy") or _first(arm["difference"])
        mcnemar = (found or {}).get("mcnemar")
        needed = (found or {}).get("questions_needed")
        tokens, seconds = arm["prompt_tokens"], arm["seconds_per_question"]
        cells = [
            escape(arm["arm"]),
            f"{mcnemar['only_arm']:,}, {mcnemar['only_baseline']:,}" if mcnemar else "-",
            f"{mcnemar['p_value']:.4f}" if mcnemar else "-",
            f"{needed:,}" if needed else "-",
            "-" if arm["unparsed"] is None else f"{arm['unparsed']:,}",
            f"{arm['failed']:,}",
            f"{tokens['mean']:,.0f}, {tokens['most']:,}",
            "-" if seconds is None else f"{seconds:.3f}",
        ]
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    note = "Questions needed: to see this difference at 5 % with a power of 80 %. Unparsed answers count as not right."
    return (
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div><p class="soft">{note}</p>'
    )


def _first(differences: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return next(iter((differences or {}).values()), None)


def retrieval_table(arms: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for arm in arms:
        if (found := arm["retrieval"]) is None:
            continue
        answer, removed = found["answer"], found["removed"]
        cells = [
            escape(arm["arm"]),
            f"{found['passages']:.2f}",
            f"{removed['passages']:,} in {removed['questions']:,}",
            spelt(answer["shown"], number_of("")),
            ", ".join(map(str, answer["questions_by_rank"])),
            _part(answer, "when_shown"),
            _part(answer, "when_not"),
            f"{found['gold_shown']:.3f}" if found["gold_shown"] else "-",
        ]
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    if not rows:
        return ""
    measure = next(arm["retrieval"]["answer"]["measure"] for arm in arms if arm["retrieval"])
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "arm", "passages", "removed, questions", "answer string shown", "first at rank 1, 2 …", f"{measure} then",
            f"{measure} otherwise", "gold passage shown",
        )
    )  # fmt: skip
    return (
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
        '<p class="soft">Removed: passages that give the question away (13 words in a row, or all but a few of its words '
        "in order); the next best took their places. In parentheses: questions.</p>"
    )


def _part(answer: Mapping[str, Any], name: str) -> str:
    found = answer[name]
    return f"{spelt(found, number_of(answer['measure']))} ({found['questions']:,})" if found else "-"
