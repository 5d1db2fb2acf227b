from __future__ import annotations

import ctypes
import os


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def return_freed_memory() -> None:
    """Have the C library give back to the system what was freed; it keeps a few megabytes after work on large arrays."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
