"""Arguments, checked where they enter."""

from __future__ import annotations

from numbers import Integral

from .errors import UsageError


def integer(name: str, value: object, *, at_least: int) -> int:
    """`value` as an int.

    Raises
    ------
    UsageError
        If it is not a whole number, or below `at_least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise UsageError(f"{name} must be at least {at_least}, got {value}")
    return int(value)
