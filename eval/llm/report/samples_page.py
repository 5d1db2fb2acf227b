"""Questions that two arms answer differently, as HTML to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .charts import short

_PASSAGE_CHARACTERS = 900
_OUTPUT_CHARACTERS = 600


def samples(flips: Sequence[Mapping[str, Any]], form: str) -> str:
    """Both ways, an arm after the other."""
    ways = (
        {"gained": "became likelier", "lost": "became less likely"}
        if form == "likelihood"
        else {"gained": "wrong before, right now", "lost": "right before, wrong now"}
    )
    parts = []
    for flip in flips:
        for way, title in ways.items():
            if found := flip[way]:
                details = "".join(_sample(sample, flip["arm"], flip["baseline"]) for sample in found)
                parts.append(f"<h3>{escape(flip['arm'])}: {title}</h3>{details}")
    return f"<h2>Questions that changed</h2>{''.join(parts)}" if parts else ""


def _sample(sample: Mapping[str, Any], arm: str, baseline: str) -> str:
    options = "".join(
        f"<li{' class=right' if option in sample['answers'] else ''}>{escape(option)}</li>"
        for option in sample["options"]
    )
    answer = (
        f'<ol type="A">{options}</ol>'
        if options
        else f"<p>answer: <b>{escape(' / '.join(sample['answers'][:5]))}</b></p>"
    )
    passages = "".join(
        _passage(passage, rank, sample) for rank, passage in enumerate(sample["passages"], start=1)
    )
    removed = "".join(f"<li>{escape(name)}: “{escape(span)}”</li>" for name, span in sample["removed"])
    where = f"{sample['id']} · {sample['subject']}" if sample["subject"] else sample["id"]
    return (
        f"<details><summary>{escape(short(sample['question'], 140))}</summary>"
        f'<p class="soft">{escape(where)}</p><blockquote class="question">{escape(sample["question"])}</blockquote>{answer}'
        f"<table class=said><tr><td>{escape(arm)}</td><td>{_said(sample['arm'])}</td></tr>"
        f"<tr><td>{escape(baseline)}</td><td>{_said(sample['baseline'])}</td></tr></table>"
        f"{passages}{f'<p>removed before:</p><ul>{removed}</ul>' if removed else ''}</details>"
    )


def _said(answer: Mapping[str, Any]) -> str:
    output = answer["output"]
    if isinstance(output, str):
        parsed = (
            "no answer found" if answer["parsed"] is None else f"read as <b>{escape(answer['parsed'])}</b>"
        )
        return f"{escape(short(output, _OUTPUT_CHARACTERS))} <span class=soft>({parsed})</span>"
    nats = ", ".join(f"{score[0]:.2f}" for score in output)
    chosen = "" if answer["parsed"] is None else f"<b>{escape(answer['parsed'])}</b> "
    return f"{chosen}<span class=soft>nats {nats}</span>"


def _passage(passage: Mapping[str, Any], rank: int, sample: Mapping[str, Any]) -> str:
    score = "" if passage["score"] is None else f" · {passage['score']:.3f}"
    surfaced = " · <b>has the answer</b>" if sample["answer_rank"] == rank else ""
    head = (
        f"{rank} · {escape(passage['source'])} · {escape(passage['title'] or passage['id'])}{score}{surfaced}"
    )
    return f"<blockquote><span class=soft>{head}</span>\n{escape(short(passage['text'], _PASSAGE_CHARACTERS))}</blockquote>"
