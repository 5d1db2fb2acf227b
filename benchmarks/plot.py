"""Recall against queries/s as an SVG without any library: one panel for each number of rows and batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 470, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 34, 44
_TICKS = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)  # recall, on a scale of log(1 - recall)
_LINE = 17
# Blues for ours, drawn thick; others in hues that stay apart from them and from each other.
_OWN = ("#08306b", "#2171b5", "#6baed6", "#41b6c4", "#225ea8", "#7fcdbb")
_OTHERS = (
    "#d62728", "#ff7f0e", "#8c564b", "#e377c2", "#bcbd22", "#7f7f7f",
    "#9467bd", "#2ca02c", "#a63603", "#dd1c77", "#000000", "#b8860b", "#5ab4ac", "#762a83",
)  # fmt: skip
_MARKERS = ("circle", "square", "diamond")


def plot_peers(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The SVG of results by number of rows, then engine, as benchmarks/peers.py keeps them."""
    sizes = sorted(
        (size for size in rows if any("points" in result for result in rows[size].values())), key=int
    )
    names = sorted({name for size in sizes for name, result in rows[size].items() if "points" in result})
    own = {name for size in sizes for name, result in rows[size].items() if result.get("ours")}
    styles = dict(_styles(names, own))
    legend_top = len(sizes) * _HEIGHT + 10
    height = legend_top + (len(names) + 1) // 2 * _LINE + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for line, size in enumerate(sizes):
        for column, batch in enumerate((1, 64)):
            parts.append(f'<g transform="translate({column * _WIDTH},{line * _HEIGHT})">')
            parts.extend(_panel(rows[size], f"{int(size):,} vectors, one core, batch {batch}", batch, styles))
            parts.append("</g>")
    for number, name in enumerate(names):
        x = _LEFT + number % 2 * _WIDTH
        y = legend_top + number // 2 * _LINE
        colour, thick, marker = styles[name]
        measured = ", ".join(
            f"{rows[size][name]['ram_bytes_per_vector']:.0f}"
            for size in sizes
            if "points" in rows[size].get(name, {})
        )
        parts.append(
            f'<line x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="{thick}"/>'
            f"{_marker(marker, x + 13, y, colour)}"
            f'<text x="{x + 34}" y="{y + 4}">{escape(name)} ({measured} bytes/vector)</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _styles(names: list[str], own: set[str]) -> Iterator[tuple[str, tuple[str, float, str]]]:
    """Colour, width of line and marker of each engine."""
    for hues, thick, group in (
        (_OWN, 2.6, [name for name in names if name in own]),
        (_OTHERS, 1.2, [name for name in names if name not in own]),
    ):
        for number, name in enumerate(group):
            yield name, (hues[number % len(hues)], thick, _MARKERS[number % len(_MARKERS)])


def _marker(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if kind == "diamond" else ""
    return f'<rect x="{x - 2.8:.1f}" y="{y - 2.8:.1f}" width="5.6" height="5.6" fill="{colour}"{turned}/>'


def _panel(
    results: Mapping[str, Any], title: str, batch: int, styles: Mapping[str, tuple[str, float, str]]
) -> Iterator[str]:
    key = f"queries_per_s_batch_{batch}"
    lines = {
        name: sorted(
            (point["recall@10"], point[key]) for point in result["points"] if point["recall@10"] >= _TICKS[0]
        )
        for name, result in results.items()
        if "points" in result
    }
    speeds = [speed for line in lines.values() for _, speed in line] or [1.0]
    low, high = math.floor(math.log10(min(speeds))), math.ceil(math.log10(max(speeds)))
    if high == low:
        high += 1

    def across(recall: float) -> float:
        worst, best = 1 - _TICKS[0], 1 - _TICKS[-1]
        share = math.log(worst / max(1 - recall, best)) / math.log(worst / best)
        return float(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def down(speed: float) -> float:
        share = (math.log10(speed) - low) / (high - low)
        return float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))

    yield f'<text x="{_LEFT}" y="20" font-weight="bold">{escape(title)}</text>'
    for recall in _TICKS:
        x = across(recall)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#ddd"/>'
        label = f"{recall:g}" if recall < _TICKS[-1] else f"≥ {recall:g}"
        yield f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{label}</text>'
    for power in range(int(low), int(high) + 1):
        y = down(10.0**power)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>'
    yield (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">recall@10</text>'
        f'<text transform="translate(12,{_HEIGHT / 2}) rotate(-90)" text-anchor="middle">queries/s</text>'
    )
    for name, line in lines.items():
        colour, thick, marker = styles[name]
        places = [(across(recall), down(speed)) for recall, speed in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>'
        yield from (_marker(marker, x, y, colour) for x, y in places)
