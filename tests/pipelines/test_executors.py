from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from pipelines.executors.process import _interrupts_held_back


def test_an_interrupt_waits_until_a_worker_has_been_started():
    # Another thread is there to take the signal: the mask of this one alone would not hold it back.
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    before = signal.getsignal(signal.SIGINT)
    done: list[str] = []

    def start_a_worker() -> None:
        with _interrupts_held_back():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            done.append("started")

    try:
        with pytest.raises(KeyboardInterrupt):
            start_a_worker()
    finally:
        stop.set()
        other.join()

    assert done == ["started"]
    assert signal.getsignal(signal.SIGINT) is before
