"""Measuring searches fairly: a process of its own, one core and one thread, repeats of all rivals interleaved."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

K = 10

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""(m, d) queries -> (m, 10) rows, best first."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "LANCE_CPU_THREADS",
)


class FailedError(RuntimeError):
    """What a measuring process died of."""


@contextmanager
def _cores(count: int, threads: int) -> Iterator[None]:
    """Processes started inside get `count` cores, and `threads` in every library that reads the environment."""
    affinity, environment = os.sched_getaffinity(0), dict(os.environ)
    os.sched_setaffinity(0, sorted(affinity)[:count])
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        yield
    finally:
        os.sched_setaffinity(0, affinity)
        os.environ.clear()
        os.environ.update(environment)


def _run(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some engines log on stdout
    try:
        connection.send((function(*arguments), None))
    except BaseException:  # noqa: BLE001 (the parent decides; a panic in Rust is not an Exception)
        connection.send((None, traceback.format_exc()))


def isolated(
    function: Callable[..., Any],
    *arguments: Any,
    cores: int = 1,
    threads: int | None = None,
    limit_s: float | None = None,
) -> Any:
    """What a module-level function returns in a fresh process on `cores` cores; each library gets as many threads.

    Raises
    ------
    FailedError
        If it raised, died, or took longer than `limit_s`.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, function, arguments))
    with _cores(cores, threads or cores):
        process.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            raise FailedError(f"took longer than {limit_s:g} s")
        result, error = receiver.recv()
    except EOFError:
        process.join()
        raise FailedError(f"the process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if error is not None:
        raise FailedError(error)
    return result


def resident_bytes() -> int:
    """Physical memory of this process, mapped files included; the code of libraries, which a first call reads, not."""
    kilobytes, counted = 0, True
    for line in Path("/proc/self/smaps").read_text().splitlines():
        field, *values = line.split()
        if not field.endswith(":"):
            counted = ".so" not in values[-1]
        elif field == ("Rss:" if counted else "Anonymous:"):
            kilobytes += int(values[0])
    return kilobytes * 1024


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """recall@10: the share of the true ten that are among the ten found."""
    shared = [len(set(a) & set(b)) for a, b in zip(found[:, :K].tolist(), truth[:, :K].tolist(), strict=True)]
    return float(np.mean(shared)) / K


def search_all(search: Search, queries: NDArray[np.float32], batch: int = 64) -> NDArray[np.int64]:
    """(nq, 10) rows of all queries, asked `batch` at a time."""
    parts = [search(queries[start : start + batch]) for start in range(0, len(queries), batch)]
    return np.concatenate(parts)


class Rate(NamedTuple):
    per_second: tuple[
        float, ...
    ]  # of each round, by its median call: what other processes take away is not counted
    sustained: float  # by the time of all calls
    call_seconds: tuple[float, ...]  # of every call, all rounds together

    @property
    def median(self) -> float:
        return float(np.median(self.per_second))


def interleaved_rates(
    searches: Mapping[str, Search], queries: NDArray[np.float32], batch: int, *, rounds: int, round_s: float
) -> dict[str, Rate]:
    """Queries a second of each search: each round gives every search `round_s` seconds, one after the other."""
    batches = [queries[start : start + batch] for start in range(0, len(queries) - batch + 1, batch)]
    rates: dict[str, list[float]] = {name: [] for name in searches}
    calls: dict[str, list[float]] = {name: [] for name in searches}
    endless = {name: cycle(batches) for name in searches}
    for name, search in searches.items():
        search(next(endless[name]))  # caches that the first call fills
    for _ in range(rounds):
        for name, search in searches.items():
            seconds: list[float] = []
            began = now = time.perf_counter()
            while now - began < round_s:
                asked = next(endless[name])
                started = time.perf_counter()
                search(asked)
                now = time.perf_counter()
                seconds.append(now - started)
            rates[name].append(batch / float(np.median(seconds)))
            calls[name].extend(seconds)
    return {
        name: Rate(tuple(rates[name]), batch * len(seconds) / sum(seconds), tuple(seconds))
        for name, seconds in calls.items()
    }
