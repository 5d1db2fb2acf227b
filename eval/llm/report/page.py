"""The report of a run as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml

from .charts import COLOURS, Mark, forest, grouped, legend, sweep
from .page_tables import answers_table, number_of, retrieval_table, signed, title
from .samples_page import samples
from .style import STYLE

_MOST_SUBJECT_ARMS = COLOURS


def page(report: Mapping[str, Any]) -> str:
    """The page of a report as report.json holds it."""
    arms: Sequence[Mapping[str, Any]] = report["arms"]
    own = [arm for arm in arms if arm["generated_of"] is None]
    name = escape(report["name"])
    parts = [
        f"<h1>{name}</h1>",
        _about(report),
        _cautions(report),
        "<h2>Arms</h2>",
        *(_measure(measure, own, arms[0]["arm"]) for measure in _measures(own, report)),
        answers_table(own, arms[0]["arm"]),
        _sweeps(arms, report),
        _ablation(arms, report),
        _retrieval(arms, report),
        _subjects(own),
        samples(report["flips"], report["form"]),
        "<h2>How it was run</h2>",
        _times(report, arms),
        f"<details><summary>The evaluation</summary><pre>{escape(_yaml(report['evaluation']))}</pre></details>",
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _about(report: Mapping[str, Any]) -> str:
    engine, store, code = report["engine"], report["store"], report["code"]
    clusters = (
        f"intervals by {report['subjects']} subjects" if report["subjects"] > 1 else "intervals by questions"
    )
    shots = f"{report['examples']} examples" if report["examples"] else "zero-shot"
    lines = [
        (
            f"<b>{escape(report['task'])}</b>, {report['questions']:,} questions, {shots}, seed {report['seed']}; "
            f"95 % {clusters}, {report['resamples']:,} resamples"
        ),
        (
            f"model {escape(engine['model'])}, revision {escape(str(engine['revision']))}, {escape(engine['dtype'])}, "
            f"{engine['context_tokens']:,} tokens of context; {escape(engine['engine'])}"
        ),
    ]
    if store:
        recipe = (
            f"recipe {store['recipe_hash'][:12]}" if store["recipe_hash"] else "no recipe: changed by hand"
        )
        lines.append(
            f"store {escape(store['path'])}, version {store['version']}, {recipe}, contents {store['contents']}, "
            f"encoder {escape(store['encoder'])}"
        )
    lines.append(
        f"compendia {escape(code['version'])}"
        + (f", commit {escape(code['commit'])}" if code["commit"] else "")
    )
    return "".join(f'<p class="{"soft" if place else "lead"}">{line}</p>' for place, line in enumerate(lines))


def _cautions(report: Mapping[str, Any]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in report["cautions"])
    return f'<ul class="warn">{lines}</ul>' if lines else ""


def _measures(arms: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> list[str]:
    """All of them, that first which the task is known by: the charts with room for one show it."""
    known = list(dict.fromkeys(name for arm in arms for name in arm["measures"]))
    first = "macro accuracy" if report["aggregate"] == "macro" else "accuracy"
    return sorted(known, key=lambda name: (name != first, name != "perplexity"))


def _measure(measure: str, arms: Sequence[Mapping[str, Any]], baseline: str) -> str:
    number = number_of(measure)
    marks = [
        Mark(arm["arm"], arm["measures"][measure], place)
        for place, arm in enumerate(arms)
        if measure in arm["measures"]
    ]
    differences = [
        Mark(arm["arm"], found, place, f"p={found['p_value']:.4f}")
        for place, arm in enumerate(arms)
        if arm["difference"] and (found := arm["difference"].get(measure))
    ]
    second = (
        f"<h4>minus {escape(baseline)}, on the same questions</h4>{forest(differences, signed(number), zero=True)}"
        if differences
        else ""
    )
    return f"<h3>{escape(title(measure))}</h3>{forest(marks, number)}{second}"


def _sweeps(arms: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    measure = _measures(arms, report)[0]
    nothing = [(0, arm["measures"][measure]) for arm in arms if arm["kind"] == "none"][:1]
    swept = {arm["generated_of"] for arm in arms if arm["generated_of"] and arm["without"] is None}
    series = [
        (
            parent,
            nothing
            + [
                (arm["k"], arm["measures"][measure])
                for arm in arms
                if arm["arm"] == parent or (arm["generated_of"] == parent and arm["without"] is None)
            ],
        )
        for parent in dict.fromkeys(arm["arm"] for arm in arms)
        if parent in swept
    ]
    if not series:
        return ""
    return f"<h2>How many passages</h2><h3>{escape(title(measure))}</h3>{sweep(series, number_of(measure))}"


def _ablation(arms: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    measure = _measures(arms, report)[0]
    parts = []
    for parent in dict.fromkeys(arm["generated_of"] for arm in arms if arm["without"]):
        own = [arm for arm in arms if arm["generated_of"] == parent and arm["without"]]
        marks = [
            Mark(f"without {arm['without']}", found, 1, f"p={found['p_value']:.4f}")
            for arm in own
            if (found := arm["difference_to_parent"].get(measure))
        ]
        parts.append(
            f"<h3>{escape(parent)}: {escape(title(measure))}, minus that of all sources</h3>"
            + forest(marks, signed(number_of(measure)), zero=True)
        )
    return f"<h2>Each source left out</h2>{''.join(parts)}" if parts else ""


def _retrieval(arms: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    shown = [arm for arm in arms if arm["retrieval"]]
    if not shown:
        return ""
    parts = []
    for measure in _measures(arms, report):
        marks = [
            Mark(arm["arm"], found, 1, f"p={found['p_value']:.4f}")
            for arm in shown
            if not arm["generated_of"]
            and (found := (arm["retrieval"]["answer"]["difference"] or {}).get(measure))
        ]
        if marks:
            parts.append(
                f"<h3>Where the answer string was shown: {escape(title(measure))}, minus {escape(arms[0]['arm'])} on the "
                f"same questions</h3>{forest(marks, signed(number_of(measure)), zero=True)}"
            )
    return f"<h2>What was retrieved</h2>{retrieval_table(shown)}{''.join(parts)}"


def _subjects(arms: Sequence[Mapping[str, Any]]) -> str:
    shown = [arm for arm in arms if arm["subjects"]][:_MOST_SUBJECT_ARMS]
    if not shown:
        return ""
    graded = "accuracy" in shown[0]["measures"]
    groups = [
        (
            f"{subject.replace('_', ' ')} ({of['questions']})",
            [Mark(arm["arm"], arm["subjects"][subject]["value"], place) for place, arm in enumerate(shown)],
        )
        for subject, of in shown[0]["subjects"].items()
    ]
    return (
        f"<h2>By subject: {'accuracy' if graded else 'nats'}</h2>{legend([arm['arm'] for arm in shown])}"
        + grouped(groups, number_of("accuracy" if graded else "nats"))
    )


def _times(report: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    stages = ", ".join(f"{stage} {seconds:,.1f} s" for stage, seconds in report["seconds"].items())
    cached = sum(arm["cached"] for arm in arms)
    return (
        f'<p class="soft">Last call: {escape(stages)}. {cached:,} of {len(arms) * report["questions"]:,} answers came '
        "from the cache.</p>"
    )


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
