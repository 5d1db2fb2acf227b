"""Progress: a bar with rate and time left on a terminal, one line per interval in a log, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
Progress = Callable[[str, int | None, str], AbstractContextManager[Advance]]
"""`with progress(stage, total, unit) as advance:`; `advance(n)` says that n more units are done.

`total` is what is to be done now: what an earlier run did is not counted, and a stage with nothing to do is silent.
"""


@contextmanager
def silent(stage: str, total: int | None, unit: str) -> Iterator[Advance]:  # noqa: ARG001 (the Progress signature)
    yield lambda _: None


def console(interval_s: float = 10.0) -> Progress:
    """On stderr: bars on a terminal, else a line every `interval_s` and one at the end of a stage."""
    return _bars if sys.stderr.isatty() else _lines(interval_s)


@contextmanager
def _bars(stage: str, total: int | None, unit: str) -> Iterator[Advance]:
    if total == 0:
        with silent(stage, total, unit) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.progress import Task as BarTask
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: BarTask) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f} {unit}/s", style="dim")

    bars = Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bars:
        task = bars.add_task(stage, total=total)
        yield lambda count: bars.update(task, advance=count)


def _lines(interval_s: float) -> Progress:
    @contextmanager
    def lines(stage: str, total: int | None, unit: str) -> Iterator[Advance]:
        started = last = time.monotonic()
        done = 0

        def line() -> None:
            seconds = time.monotonic() - started
            rate = done / seconds if seconds > 0 else 0.0
            of = f"/{total:,}" if total else ""
            left = f", {(total - done) / rate:,.0f} s left" if total and rate and done < total else ""
            print(f"{stage}: {done:,}{of} {unit}, {rate:,.0f}/s, {seconds:.1f} s{left}", file=sys.stderr)  # noqa: T201

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            if time.monotonic() - last >= interval_s:
                last = time.monotonic()
                line()

        yield advance
        if total != 0:
            line()

    return lines
