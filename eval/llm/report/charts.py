"""Charts of estimates as inline SVG: no script, no font, nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

Estimate = Mapping[str, Any]
"""`value`, `low`, `high`; the bounds are None where there is no interval."""

Number = Callable[[float], str]

COLOURS = 6  # classes c0 … c5 of the page's style
_ROW = 24
_WIDTH = 900


class Mark(NamedTuple):
    """A value with its interval, drawn as a dot on a line."""

    label: str
    estimate: Estimate
    colour: int = 0
    note: str = ""


def forest(marks: Sequence[Mark], number: Number, *, zero: bool = False, label_width: int = 240) -> str:
    """A row a mark, over one axis. `zero`: these are differences, and the axis shows where there is none."""
    left, right = label_width, _WIDTH - 260
    axis = _Axis([mark.estimate for mark in marks], left, right, zero=zero)
    height = len(marks) * _ROW + 26
    parts = [axis.grid(number, height - 22)]
    for row, mark in enumerate(marks):
        middle = row * _ROW + 14
        parts += [
            (
                f'<text x="{left - 14}" y="{middle + 4}" text-anchor="end">{escape(short(mark.label, 40))}'
                f"<title>{escape(mark.label)}</title></text>"
            ),
            axis.mark(mark.estimate, middle, mark.colour, f"{mark.label}: {spelt(mark.estimate, number)}"),
            (
                f'<text x="{right + 16}" y="{middle + 4}" class="number">{spelt(mark.estimate, number)}'
                f"{f' {escape(mark.note)}' if mark.note else ''}</text>"
            ),
        ]
    return _svg(height, parts, "estimates with their 95 % intervals")


def grouped(groups: Sequence[tuple[str, Sequence[Mark]]], number: Number, *, label_width: int = 300) -> str:
    """A row a group, in it a dot a mark: how arms compare within each subject."""
    left, right = label_width, _WIDTH - 30
    axis = _Axis([mark.estimate for _, marks in groups for mark in marks], left, right)
    step = max(7, min(10, 26 // max(1, max((len(marks) for _, marks in groups), default=1))))
    heights = [max(20, len(marks) * step + 8) for _, marks in groups]
    height = sum(heights) + 26
    bands: list[str] = []
    parts = [axis.grid(number, height - 22)]
    top = 4
    for place, ((label, marks), size) in enumerate(zip(groups, heights, strict=True)):
        if place % 2:
            bands.append(f'<rect class="band" x="0" y="{top}" width="{_WIDTH}" height="{size}"/>')
        parts.append(
            f'<text x="{left - 14}" y="{top + size / 2 + 4}" text-anchor="end">{escape(short(label, 44))}'
            f"<title>{escape(label)}</title></text>"
        )
        first = top + size / 2 - (len(marks) - 1) * step / 2
        for number_of, mark in enumerate(marks):
            title = f"{label}, {mark.label}: {spelt(mark.estimate, number)}"
            parts.append(axis.mark(mark.estimate, first + number_of * step, mark.colour, title, small=True))
        top += size
    return _svg(height, [*bands, *parts], "estimates by group")


def sweep(series: Sequence[tuple[str, Sequence[tuple[int, Estimate]]]], number: Number) -> str:
    """A line a series: estimates over a whole number."""
    top, bottom, left, right = 14, 250, 64, _WIDTH - 240
    xs = sorted({x for _, points in series for x, _ in points})
    axis = _Axis([estimate for _, points in series for _, estimate in points], bottom, top)
    place = {x: left + (right - left) * (i + 0.5) / len(xs) for i, x in enumerate(xs)}
    parts = []
    for tick in axis.ticks:
        y = axis.at(tick)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="soft" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    parts += [
        f'<text class="soft" x="{place[x]:.1f}" y="{bottom + 20}" text-anchor="middle">{x}</text>' for x in xs
    ]
    parts.append(
        f'<text class="soft" x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">passages in the prompt</text>'
    )
    for colour, (label, points) in enumerate(series):
        shift = 5 * (colour - (len(series) - 1) / 2)
        spots = [(place[x] + shift, estimate) for x, estimate in sorted(points, key=lambda point: point[0])]
        path = " ".join(f"{x:.1f},{axis.at(estimate['value']):.1f}" for x, estimate in spots)
        parts.append(f'<polyline class="line c{colour % COLOURS}" points="{path}"/>')
        for x, estimate in spots:
            y = axis.at(estimate["value"])
            whisker = ""
            if estimate["low"] is not None:
                low, high = axis.at(estimate["low"]), axis.at(estimate["high"])
                whisker = f'<line class="whisker c{colour % COLOURS}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            parts.append(
                f"<g><title>{escape(label)}: {spelt(estimate, number)}</title>{whisker}"
                f'<circle class="dot c{colour % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/></g>'
            )
        parts.append(
            f'<circle class="dot c{colour % COLOURS}" cx="{right + 22}" cy="{20 + 20 * colour}" r="4.5"/>'
            f'<text x="{right + 34}" y="{24 + 20 * colour}">{escape(short(label, 30))}</text>'
        )
    return _svg(bottom + 46, parts, "estimates over the number of passages")


def legend(labels: Sequence[str]) -> str:
    keys = "".join(
        f'<span><svg class="key" viewBox="0 0 10 10"><circle class="dot c{place % COLOURS}" cx="5" cy="5" r="4.5"/></svg>'
        f"{escape(label)}</span>"
        for place, label in enumerate(labels)
    )
    return f'<p class="legend">{keys}</p>'


def spelt(estimate: Estimate, number: Number) -> str:
    if estimate["low"] is None:
        return number(estimate["value"])
    return f"{number(estimate['value'])} [{number(estimate['low'])},\u00a0{number(estimate['high'])}]"


class _Axis:
    """Values to places between `start` and `end`."""

    def __init__(
        self, estimates: Sequence[Estimate], start: float, end: float, *, zero: bool = False
    ) -> None:
        known: list[float] = [
            value
            for one in estimates
            for value in (one["value"], one["low"], one["high"])
            if value is not None
        ] + ([0.0] if zero else [])
        low, high = min(known), max(known)
        if math.isclose(low, high, abs_tol=1e-12):
            low, high = low - 0.05, high + 0.05
        self.step = _step((high - low) / 5)
        self._low = math.floor(low / self.step) * self.step
        self._high = math.ceil(high / self.step) * self.step
        self._start, self._end = start, end
        self._zero = zero
        count = round((self._high - self._low) / self.step)
        self.ticks = [self._low + i * self.step for i in range(count + 1)]

    def at(self, value: float) -> float:
        return self._start + (value - self._low) / (self._high - self._low) * (self._end - self._start)

    def grid(self, number: Number, bottom: float) -> str:
        lines = []
        for tick in self.ticks:
            x = self.at(tick)
            style = "zero" if self._zero and abs(tick) < self.step / 2 else "grid"
            lines.append(
                f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}"/>'
                f'<text class="soft" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{number(tick + 0.0)}</text>'
            )
        return "".join(lines)

    def mark(self, estimate: Estimate, y: float, colour: int, title: str, *, small: bool = False) -> str:
        x = self.at(estimate["value"])
        whisker = ""
        if estimate["low"] is not None:
            low, high = self.at(estimate["low"]), self.at(estimate["high"])
            whisker = f'<line class="whisker c{colour % COLOURS}" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        return (
            f"<g><title>{escape(title)}</title>{whisker}"
            f'<circle class="dot c{colour % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="{3.2 if small else 5}"/></g>'
        )


def _step(rough: float) -> float:
    """The next of 1, 2, 5, 10 … at or above."""
    power = math.pow(10, math.floor(math.log10(rough)))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg></div>"
    )
