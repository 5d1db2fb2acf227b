from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_HUGE_PAGE_BYTES = 2 << 20
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def has_bfloat16() -> bool:
    """Whether the processor is known to compute in bfloat16: x86 with AVX-512 BF16."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 (there is no public name)


def arithmetic(dtype: str, device: str | None) -> torch.dtype:
    """A model's `dtype` on a device (None: a GPU where there is one): float32 for bfloat16 on a CPU that lacks it.

    torch takes some twenty times as long there as in float32, and what comes out differs by the rounding of bfloat16.
    """
    import torch

    on_cpu = device == "cpu" or (device is None and not torch.cuda.is_available())
    lacking = dtype == "bfloat16" and on_cpu and not has_bfloat16()
    found: torch.dtype = torch.float32 if lacking else getattr(torch, dtype)
    return found


def return_freed_memory() -> None:
    """Have the C library give back to the system what was freed; it keeps a few megabytes after work on large arrays."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


def use_huge_pages(array: NDArray[Any]) -> None:
    """Have Linux hold the whole 2 MB blocks within an array as one page each, where it can.

    What is read here and there over 100 MB waits for the addresses of small pages as long as for the numbers.
    """
    start = -(-array.ctypes.data // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
    length = (array.ctypes.data + array.nbytes) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES - start
    if length <= 0 or not sys.platform.startswith("linux"):
        return
    madvise = ctypes.CDLL(None).madvise
    for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):  # the second does it at once, from Linux 6.1 on
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)


def allow_open_files(count: int) -> None:
    """Raise this process's own limit where it could not open `count` more files; shells start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 1_024
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
