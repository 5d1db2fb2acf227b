"""Executors: who runs the stages. One file each; a stage does not know which one runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeVar

from datastore.machine import available_cores

Task = TypeVar("Task")
Result = TypeVar("Result")
ExecutorName = Literal["serial", "process", "ray"]


class Executor(Protocol):
    """Runs a picklable function over tasks."""

    @property
    def in_process(self) -> bool:
        """Whether the function runs in this process: then it may report progress, and have all threads."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as they complete; at most a few tasks a worker are in flight.

        Raises
        ------
        CompendiaError
            If a worker dies. An exception of the function itself comes through as it is.
        """


def open_executor(name: ExecutorName, workers: int | None = None) -> AbstractContextManager[Executor]:
    """An executor, closed on exit. `workers`: processes or Ray workers; default, one a core."""
    workers = workers or available_cores()
    if name == "serial":
        from .serial import serial

        return serial()
    if name == "process":
        from .process import process

        return process(workers)
    from .ray import ray_tasks

    return ray_tasks(workers)
