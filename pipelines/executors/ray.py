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


class RayExecutor:
    """Ray Core tasks; a lost worker's task is retried by Ray."""

    in_process = False

    def __init__(self, ray: Any, workers: int) -> None:
        self._ray = ray
        self._window = 2 * workers

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        remote = self._ray.remote(num_cpus=1, max_retries=2)(function)
        running: dict[Any, Task] = {}
        waiting = iter(tasks)
        while True:
            while len(running) < self._window and (task := next(waiting, None)) is not None:
                running[remote.remote(task)] = task
            if not running:
                return
            done, _ = self._ray.wait(list(running), num_returns=1)
            for reference in done:
                yield running.pop(reference), self._result(reference)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise CompendiaError(
                f"a Ray worker was lost: {type(error).__name__}",
                hint="run the same command again: it goes on from the last complete shard",
            ) from error


@contextmanager
def ray_tasks(workers: int) -> Iterator[RayExecutor]:
    """Tasks on the Ray that this process is connected to or RAY_ADDRESS names, else on a small one started here."""
    # A cluster of one machine, used by one process, needs no token; Ray warns about one otherwise.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray = optional_import("ray", extra="ingest")
    started = not ray.is_initialized()
    if started:
        # A cluster that RAY_ADDRESS names has its own size; these are for one that is started here.
        own = {"num_cpus": workers, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
        options = {} if os.environ.get("RAY_ADDRESS") else own
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        yield RayExecutor(ray, workers)
    finally:
        if started:
            ray.shutdown()
