from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from . import Result, Task


class SerialExecutor:
    """One task after the other, here."""

    in_process = True

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        uses_gpu: bool = False,  # noqa: ARG002 (there is one task at a time: it has all there is)
    ) -> Iterator[tuple[Task, Result]]:
        for task in tasks:
            yield task, function(task)


@contextmanager
def serial() -> Iterator[SerialExecutor]:
    yield SerialExecutor()
