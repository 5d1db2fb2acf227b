from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from datastore import CompendiaError

from . import Result, Task


class ProcessExecutor:
    """Spawned worker processes of this machine."""

    in_process = False

    def __init__(self, pool: ProcessPoolExecutor, workers: int) -> None:
        self._pool = pool
        self._window = 2 * workers

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        uses_gpu: bool = False,  # noqa: ARG002 (the processes share what the machine has)
    ) -> Iterator[tuple[Task, Result]]:
        running: dict[Future[Result], Task] = {}
        waiting = iter(tasks)
        try:
            while True:
                while len(running) < self._window and (task := next(waiting, None)) is not None:
                    with _interrupts_held_back():
                        running[self._pool.submit(function, task)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise CompendiaError(
                "a worker process died (killed, or out of memory)",
                hint="run the same command again: it goes on from the last complete shard; a script calls build under "
                '`if __name__ == "__main__":`, since each worker imports it',
            ) from error


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until here ends. Workers started meanwhile never see one: this process ends them.

    The mask is what a worker inherits. It does not protect this thread, since another thread may take the signal
    and Python raises KeyboardInterrupt in the main one all the same; hence the handler, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
    if held:
        signal.raise_signal(signal.SIGINT)


def _die_with_parent(parent: int) -> None:
    """A worker whose parent was killed must not linger, nor write beside the next run (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


@contextmanager
def process(workers: int) -> Iterator[ProcessExecutor]:
    # Spawned, not forked: a fork of a process with running threads (torch, Arrow) can deadlock.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_die_with_parent,
        initargs=(os.getpid(),),
    )
    try:
        yield ProcessExecutor(pool, workers)
    except BaseException:
        # What they are doing will be done again; waiting for it could take minutes.
        for worker in list(pool._processes.values()):  # noqa: SLF001 (public only from Python 3.14 on)
            worker.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
