"""The account of a build as one HTML page that needs nothing else: the funnel of each source, times, rejects to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml

_SAMPLES_PER_REASON = 3
_SAMPLE_CHARACTERS = 300
_NAMES_SHOWN = 20
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d8dde3;--keep:#2f7d5b;--drop:#c4673a;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--line:#353c45;--keep:#58b58a;--drop:#e08a5c;
--back:#14171b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:62rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem;border-top:1px solid var(--line);
padding-top:1rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
p.soft,td.soft,figcaption{color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:right;padding:.2rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft)}
.scroll{overflow-x:auto}
svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
.keep{fill:var(--keep)}.drop{fill:var(--drop)}.rest{fill:var(--line)}
details{margin:.4rem 0}summary{cursor:pointer}blockquote{margin:.4rem 0 .8rem;padding:.3rem .8rem;
border-left:3px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem}
pre{overflow-x:auto;font-size:.85rem;border:1px solid var(--line);padding:.8rem}
"""


def page(account: Mapping[str, Any], rejects: Sequence[Mapping[str, Any]]) -> str:
    """The page of an account as `builds/<build>.json` holds it, with its rejects."""
    sources: Mapping[str, Any] = account["sources"]
    name = escape(account["recipe"]["name"])
    records = sum(source["records"] for source in sources.values())
    kept = sum(source["documents"] for source in sources.values())
    passages = sum(source["passages"] for source in sources.values())
    parts = [
        f"<h1>{name}</h1>",
        f"<p>{records:,} records became {kept:,} documents in {passages:,} passages.</p>",
        f'<p class="soft">{escape(account["finished"])}, {escape(account["executor"])} on {account["cores"]} cores</p>',
        f'<p class="soft">at most {account["peak_rss_bytes"] / 1e6:,.0f} MB of RAM in the driver</p>',
        _times(account["seconds"]),
        *(_source(name, source, rejects) for name, source in sources.items()),
        "<h2>Recipe</h2>",
        f"<pre>{escape(yaml.safe_dump(account['recipe'], sort_keys=False, allow_unicode=True))}</pre>",
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _times(seconds: Mapping[str, float]) -> str:
    """A bar a stage."""
    longest = max(seconds.values(), default=0.0) or 1.0
    bars = [(stage, value, f"{value:,.1f} s") for stage, value in seconds.items()]
    return f"<h2>Time</h2>{_bars([(*bar, 'keep') for bar in bars], longest)}"


def _source(name: str, source: Mapping[str, Any], rejects: Sequence[Mapping[str, Any]]) -> str:
    steps = [
        *((reason, count, "drop") for reason, count in source["set_aside"].items()),
        *((reason, size["documents"], "drop") for reason, size in source["drops"].items()),
        ("kept", source["documents"], "keep"),
    ]
    most = max([source["records"], 1])
    share = [(label, count, f"{count:,} ({count / most:.1%})", style) for label, count, style in steps]
    changes = ", ".join(f"{count:,} {what}" for what, count in source["changes"].items())
    return "".join(
        [
            f"<h2>{escape(name)}</h2>",
            f"<p>{source['records']:,} records, {source['passages']:,} passages"
            + (f", {source['contaminated']:,} left out as contaminated" if source["contaminated"] else "")
            + (f'</p><p class="soft">documents: {changes}</p>' if changes else "</p>"),
            _inputs(source),
            _bars(share, most),
            _funnel(source),
            _samples(name, rejects),
        ]
    )


def _inputs(source: Mapping[str, Any]) -> str:
    """Files that were not read, or not to their end."""
    parts = []
    if broken := source["broken"]:
        names = ", ".join(f"{name} ({reason})" for name, reason in [*broken.items()][:_NAMES_SHOWN])
        more = " …" if len(broken) > _NAMES_SHOWN else ""
        parts.append(
            f"<p><b>{len(broken):,} files are broken or cannot be read:</b> {escape(names)}{more}</p>"
        )
    if skipped := source["skipped"]:
        listed = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(skipped.items()))
        parts.append(f'<p class="soft">without a reader: {escape(listed)}</p>')
    return "".join(parts)


def _funnel(source: Mapping[str, Any]) -> str:
    """Documents, words and bytes into and out of each rule, in the order in which they decide."""
    left = dict(source["read"])
    rows = [("read", left, left)]
    if source["edited"] != source["read"]:
        rows.append(("edits", left, source["edited"]))
        left = dict(source["edited"])
    for reason, size in source["drops"].items():
        after = {key: left[key] - size[key] for key in left}
        rows.append((reason, left, after))
        left = after
    cells = "".join(
        f"<tr><td>{escape(rule)}</td>"
        + "".join(
            f"<td>{before[key]:,}</td><td>{after[key]:,}</td>" for key in ("documents", "words", "bytes")
        )
        + "</tr>"
        for rule, before, after in rows[1:]
    )
    if not cells:
        return ""
    head = "".join(f"<th>{key} in</th><th>out</th>" for key in ("documents", "words", "bytes"))
    return (
        f'<h3>Rule by rule</h3><div class="scroll"><table><tr><th>rule</th>{head}</tr>{cells}</table></div>'
    )


def _samples(name: str, rejects: Sequence[Mapping[str, Any]]) -> str:
    """The first rejects of each reason."""
    by_reason: dict[str, list[Mapping[str, Any]]] = {}
    for reject in rejects:
        if reject["source"] == name:
            by_reason.setdefault(reject["reason"], []).append(reject)
    parts = []
    for reason, found in by_reason.items():
        quotes = "".join(
            f"<blockquote><b>{escape(reject['location'])}</b> {escape(reject['detail'])}\n"
            f"{escape(reject['sample'][:_SAMPLE_CHARACTERS])}</blockquote>"
            for reject in found[:_SAMPLES_PER_REASON]
        )
        parts.append(f"<details><summary>{escape(reason)} ({len(found)} kept)</summary>{quotes}</details>")
    return f"<h3>Set aside, to read</h3>{''.join(parts)}" if parts else ""


def _bars(bars: Sequence[tuple[str, float, str, str]], longest: float) -> str:
    """Horizontal bars of (label, value, text, class)."""
    height, left, width = 22, 250, 380
    rows = []
    for number, (label, value, text, style) in enumerate(bars):
        top = number * height
        length = max(1.0, value / longest * width)
        rows.append(
            f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>'
            f'<rect class="rest" x="{left}" y="{top + 4}" width="{width}" height="14" opacity=".35"/>'
            f'<rect class="{style}" x="{left}" y="{top + 4}" width="{length:.1f}" height="14"/>'
            f'<text x="{left + width + 8}" y="{top + 15}">{escape(text)}</text>'
        )
    total = max(1, len(bars)) * height
    return f'<svg viewBox="0 0 760 {total}" role="img" style="max-width:760px">{"".join(rows)}</svg>'
