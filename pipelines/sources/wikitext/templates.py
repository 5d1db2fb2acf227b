"""Templates of wikitext: a few whose arguments are prose are rendered, all others left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .tables import CURRENCIES, FIRST, JOINED, LAST, RANGES, SIGNS


def template_text(arguments: Sequence[str]) -> str:
    """What a template shows, for those that hold prose; nothing for all others."""
    name, _, of_a_function = "_".join(arguments[0].split()).lower().partition(":")
    named = dict(
        argument.split("=", 1) for argument in arguments[1:] if re.match(r"\s*(?:1|text)\s*=", argument)
    )
    values = [value.strip() for value in named.values()]
    values += [argument.strip() for argument in arguments[1:] if not re.match(r"\s*\w[\w -]*=", argument)]
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
            return "/".join(values)
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
