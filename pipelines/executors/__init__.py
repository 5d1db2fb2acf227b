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

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], *, uses_gpu: bool = False
    ) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, as they complete; at most a few tasks a worker are in flight.

        With `uses_gpu` a task has a GPU to itself, where the executor's machines have any.

        Raises
        ------
        CompendiaError
            If a worker dies. An exception of the function itself comes through as it is.
        """


def open_executor(
    name: ExecutorName, workers: int | None = None, address: str | None = None
) -> AbstractContextManager[Executor]:
    """An executor, closed on exit.

    Parameters
    ----------
    workers
        Processes or Ray workers of this machine; default, one a core.
    address
        Of a Ray cluster that runs already; its machines must see the store's folder and the inputs under the same
        paths. Default: the one that RAY_ADDRESS names, else one is started here for the time being.
    """
    workers = workers or available_cores()
    if name == "serial":
        from .serial import serial

        return serial()
    if name == "process":
        from .process import process

        return process(workers)
    from .ray import ray_tasks

    return ray_tasks(workers, address)
