"""The parameters of chains: checked once where they enter, and written back in one form."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import fields
from numbers import Real
from typing import TYPE_CHECKING

from datastore import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def number(name: str, value: object) -> float:
    """`value` as a float, so that 1 and 1.0 print alike.

    Raises
    ------
    UsageError
        If it is not a finite number.
    """
    with suppress(OverflowError):  # of a whole number that no float can hold
        if not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value):
            return float(value)
    raise UsageError(f"{name} must be a finite number, got {value!r:.80}")


def check_name(name: object, parameter: str = "name") -> None:
    """Raise UsageError where `name`, of an index of the store, is neither None nor a name."""
    if name is not None and (not isinstance(name, str) or not name):
        raise UsageError(f"{parameter} must be that of an index, got {name!r}")


def written(name: str, chain: DataclassInstance, *arguments: object) -> str:
    """`name(argument, parameter=value)` without parameters at their default; the bare name if nothing is left.

    A chain's fields are its parameters, except `arms`, which are its arguments.
    """
    parameters = [
        f"{field.name}={getattr(chain, field.name)!r}"
        for field in fields(chain)
        if field.name != "arms" and getattr(chain, field.name) != field.default
    ]
    inside = ", ".join([*map(str, arguments), *parameters])
    return f"{name}({inside})" if inside else name
