r"""Quantities of the package siunitx: `\SI{5}{\kilo\metre\per\hour}` is `5 kilometre/hour`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .commands import SYMBOLS


class Quantity(NamedTuple):
    """What stands in the arguments of a command, each in its braces."""

    numbers: int
    has_unit: bool


QUANTITIES = {
    **dict.fromkeys(("SI", "qty", "SIlist", "qtylist"), Quantity(1, has_unit=True)),
    **dict.fromkeys(("SIrange", "qtyrange"), Quantity(2, has_unit=True)),
    **dict.fromkeys(("si", "unit"), Quantity(0, has_unit=True)),
    **dict.fromkeys(("num", "numlist", "ang"), Quantity(1, has_unit=False)),
    "numrange": Quantity(2, has_unit=False),
}
_PREFIXES = frozenset(
    (
        "pico",
        "nano",
        "micro",
        "milli",
        "centi",
        "deci",
        "deca",
        "hecto",
        "kilo",
        "mega",
        "giga",
        "tera",
        "peta",
    )
)
_POWERS = {"squared": "^2", "cubed": "^3"}
_POWERS_BEFORE = {"square": "^2", "cubic": "^3"}
_SIGNS = {"percent": "%", "degreeCelsius": "\u00b0C", "celsius": "\u00b0C", "degree": "\u00b0"}
_UNIT_TOKEN = re.compile(r"\\tothe\s*+\{([^{}]*)\}|\\([a-zA-Z]+)\s*+|\\.|([^\\]+)", re.DOTALL)
_ANGLE_SIGNS = "\u00b0\u2032\u2033"  # degrees, minutes, seconds


def quantity_text(name: str, arguments: Sequence[str]) -> str:
    """What a command of `QUANTITIES` shows, given as many arguments as it takes."""
    numbers = [_number(argument) for argument in arguments[: QUANTITIES[name].numbers]]
    if name == "ang":
        shown = "".join(
            part + sign for part, sign in zip(numbers[0].split(";"), _ANGLE_SIGNS, strict=False) if part
        )
    else:
        shown = " to ".join(numbers).replace(";", ", ")
    unit = _unit(arguments[-1]) if QUANTITIES[name].has_unit else ""
    return f"{shown} {unit}".strip()


def _number(source: str) -> str:
    even = re.sub(r"[\s{}]|\\[,;:!]", "", re.sub(r"\\pm(?![a-zA-Z])|\+-", "\u00b1", source))
    return re.sub(
        r"(?<=\d)[eEdD]([+-]?\d+)|\\times",
        lambda power: f"\u00d710^{power[1]}" if power[1] else "\u00d7",
        even,
    )


def _unit(source: str) -> str:
    shown, power_behind = "", ""
    for token in _UNIT_TOKEN.finditer(source):
        power, name, written = token.groups()
        if power is not None or name in _POWERS:
            shown += f"^{power}" if power is not None else _POWERS[name]
        elif name in _POWERS_BEFORE:
            power_behind = _POWERS_BEFORE[name]
        elif name == "per":
            shown += "/"
        elif name:
            goes_on = (
                not shown or shown.endswith("/") or shown.rpartition(" ")[2].rpartition("/")[2] in _PREFIXES
            )
            shown += ("" if goes_on else " ") + (_SIGNS.get(name) or SYMBOLS.get(name) or name)
            if name not in _PREFIXES:
                shown, power_behind = shown + power_behind, ""
        elif written:
            shown += re.sub(r"[~{}\s]+", " ", written)
    return shown.strip()
