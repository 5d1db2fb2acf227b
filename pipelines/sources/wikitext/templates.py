"""Templates of wikitext: a few whose arguments are prose are rendered, all others left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count, takewhile

from ..kept import GONE
from .tables import CURRENCIES, FIRST, JOINED, LAST, RANGES, SHIPS, SIGNS

_KEY = re.compile(r"\s*\w[\w -]*")


def _measured(values: Sequence[str], named: Mapping[str, str]) -> str:
    """A number with its uncertainty, power and unit."""
    shown = values[0] + "".join(f"\u00b1{value}" for value in values[1:2])
    if len(values) > 2:  # up and down
        shown = f"{values[0]} {values[1]}/{values[2]}"
    if named.get("e"):
        shown += f"\u00d710^{named['e']}"
    units = [named[key] for key in ("u", "ul") if named.get(key)]
    per = [named[key] for key in ("up", "upl") if named.get(key)]
    return " ".join([shown, *units[:1]]) + "".join(f"/{one}" for one in per[:1])


def _ship(values: Sequence[str]) -> str:
    """A prefix, a name and a number: `HMS Ark Royal (91)`."""
    name = " ".join(filter(None, values[:2]))
    return name + "".join(f" ({number})" for number in values[2:3] if number)


def template_text(arguments: Sequence[str]) -> str:
    """What a template shows, for those that hold prose; nothing for all others."""
    name, _, of_a_function = "_".join(arguments[0].split()).lower().partition(":")
    named: dict[str, str] = {}  # those without a name by their numbers
    unnamed = count(1)
    for argument in arguments[1:]:
        key, equals, value = argument.partition("=")
        if equals and _KEY.fullmatch(key):
            named[key.strip()] = value.strip()
        else:
            named[str(next(unnamed))] = argument.strip().strip(GONE)
    values = [named["text"]] if "text" in named else []
    values += [named[str(number)] for number in takewhile(lambda number: str(number) in named, count(1))]
    if name in SIGNS:
        return SIGNS[name]
    if name == "formatnum":
        return of_a_function
    if not values:
        return ""
    if name in FIRST or name.startswith("link-"):
        return values[0]
    if name in LAST or name.startswith("lang-"):
        return values[0] if name.startswith("lang-") else values[-1]
    if name in JOINED:
        return " ".join(filter(None, values[: JOINED[name]]))
    if name in CURRENCIES:
        return CURRENCIES[name] + values[0]
    if name in SHIPS:
        return _ship([name.upper(), *values])
    match name:
        case "langx":
            return values[1] if len(values) > 1 else ""
        case "h\u00f6he":
            return f"{values[0]} m"
        case "convert" | "cvt" | "convertir":
            end = next(
                (i for i, one in enumerate(values) if not (re.match(r"[-\u2212]?\d", one) or one in RANGES)),
                0,
            )
            return " ".join(values[: end + 1])
        case "frac" | "sfrac":
            *whole, below = ["1", *values] if len(values) == 1 else values
            return f"{' '.join(whole)}/{below}"
        case "val":
            return _measured(values, named)
        case "ship":
            return _ship(values)
        case "sclass" | "sclass2":
            return f"{values[0]}-class {' '.join(values[1:2])}".strip()
        case "sqrt":
            return f"\u221a{values[0]}"
        case "chem" | "chem2":
            return "".join(values)
        case "circa" | "c.":
            return f"c. {values[0]}"
        case "as_of":
            return f"As of {values[0]}"
        case "sup":
            return f"^{values[0]}"
        case "e":
            return f"\u00d710^{values[0]}"
        case "sortname":
            return " ".join(values[:2])
        case _:
            return ""
