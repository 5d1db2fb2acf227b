from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from datastore import CompendiaError
from datastore.errors import optional_import

from . import Result, Task

# Results are a few hundred bytes; what is large goes through files.
_OBJECT_STORE_BYTES = 200_000_000
_TRIES_BEYOND_THE_FIRST = 4
_WAIT_S = 1.0


class RayExecutor:
    """Ray Core tasks. Those of a worker or a machine that is lost run again elsewhere."""

    in_process = False

    def __init__(self, ray: Any, workers: int) -> None:
        self._ray = ray
        self._workers = workers

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], *, uses_gpu: bool = False
    ) -> Iterator[tuple[Task, Result]]:
        gpus = 1 if uses_gpu and self._ray.cluster_resources().get("GPU", 0) else 0
        # Stages publish whole folders under names of their content: one that ran twice has done the same.
        remote = self._ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_TRIES_BEYOND_THE_FIRST)(function)
        running: dict[Any, Task] = {}
        waiting = iter(tasks)
        try:
            while True:
                while len(running) < self._window() and (task := next(waiting, None)) is not None:
                    running[remote.remote(task)] = task
                if not running:
                    return
                # Not for ever: machines that join meanwhile widen the window.
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=_WAIT_S)
                for reference in done:
                    yield running.pop(reference), self._result(reference)
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _window(self) -> int:
        """Two tasks a core, of all machines that are there."""
        cores = self._ray.cluster_resources().get("CPU", self._workers)
        return 2 * max(1, int(cores))

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise CompendiaError(
                f"a Ray worker was lost {_TRIES_BEYOND_THE_FIRST + 1} times: {type(error).__name__}",
                hint="run the same command again: it goes on from the last complete shard",
            ) from error


@contextmanager
def ray_tasks(workers: int, address: str | None = None) -> Iterator[RayExecutor]:
    """Tasks on the Ray that this process is connected to, else at an address, else on a small one started here."""
    # A cluster of one machine, used by one process, needs no token; Ray warns about one otherwise.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray = optional_import("ray", extra="ingest")
    started = not ray.is_initialized()
    if started:
        # A cluster that runs already has its own size; these are for one that is started here.
        own = {
            "address": "local",  # else Ray would join what a build that was killed has left behind for a moment
            "num_cpus": workers,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        place = address or os.environ.get("RAY_ADDRESS")
        try:
            ray.init(
                log_to_driver=False, logging_level=logging.ERROR, **({"address": place} if place else own)
            )
        except ConnectionError as error:
            raise CompendiaError(
                f"there is no Ray cluster at {place}: {error}",
                hint="start one with `ray start --head`, or leave the address out",
            ) from error
    try:
        yield RayExecutor(ray, workers)
    finally:
        if started:
            ray.shutdown()
