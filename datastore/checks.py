"""Arguments, checked where they enter."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral

from .errors import UsageError


def integer(name: str, value: object, *, at_least: int) -> int:
    """`value` as an int.

    Raises
    ------
    UsageError
        If it is not a whole number, or below `at_least`.
    """
    if type(value) is int and value >= at_least:  # the usual case, and where microseconds count
        return value
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise UsageError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


_UNITS: dict[str, int] = {
    "": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t", "p"))},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate(("k", "m", "g", "t", "p"), start=1)},
}


def parse_bytes(size: str | int) -> int:
    """`"8GB"` (decimal), `"512MiB"` (binary), `"1.5 TB"`, or a number of bytes; rounded down.

    Raises
    ------
    UsageError
        If it is not a size, or less than one byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?i?b)?\s*", str(size), re.IGNORECASE | re.ASCII)
    unit = (match[2] or "").lower() if match else None
    if match is None or unit not in _UNITS:
        raise UsageError(f"{size!r} is not a size", hint="for example 8GB, 512MiB or 1.5TB")
    count = math.floor(Decimal(match[1]) * _UNITS[unit])
    if count < 1:
        raise UsageError(f"a size must be at least one byte, got {size!r}")
    return count
