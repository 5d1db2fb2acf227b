"""The macros that a document defines for itself: taken out of it, and expanded where it uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .commands import KNOWN, THEOREMS
from .common import RefusedError, closings

_DEEPEST_MACRO = 20
_LONGEST_MACRO = 1000
_LONGEST_NAME = 50
_EXPANSION_CHARACTERS = 100  # what an expansion costs of the limit, besides what it writes
_NEW_COMMAND = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|DeclareRobustCommand)\*?\s*+"
    r"(?:\{\s*+\\([a-zA-Z]+)\s*+\}|\\([a-zA-Z]+))\s*+(?:\[(\d)\]\s*+)?(?:\[([^\[\]]*)\]\s*+)?(?=\{)"
    r"|\\def\s*+\\([a-zA-Z]+)((?:#\d)*+)\s*+(?=\{)"
    r"|\\DeclareMathOperator(\*?)\s*+(?:\{\s*+\\([a-zA-Z]+)\s*+\}|\\([a-zA-Z]+))\s*+(?=\{)"
)
_NEW_THEOREM = re.compile(
    r"\\newtheorem\*?\s*+\{([^{}]+)\}\s*+(?:\[[^\[\]]*\]\s*+)?\{([^{}]*)\}(?:\s*+\[[^\[\]]*\])?"
)
# A body that is more than a text with holes.
_NOT_SIMPLE = re.compile(
    r"\\(?:if|else|fi|csname|expandafter|futurelet|def|let|newcommand|begingroup|@)|##|@"
)
_ARGUMENT = re.compile(r"\s*+(\{|\\[a-zA-Z]+|\\.|[^\s{}\\])", re.DOTALL)


class Macro(NamedTuple):
    arguments: int
    default: str | None  # of the first argument, which is optional then
    body: str


class Definitions(NamedTuple):
    macros: Mapping[str, Macro]
    theorems: Mapping[str, str]  # environment -> the name that it shows
    rest: str  # the source without its definitions


def take_definitions(source: str) -> Definitions:
    r"""What a source defines by `\newcommand`, `\def` and `\newtheorem`; macros that are programs are only removed."""
    closing = closings(source)
    macros: dict[str, Macro] = {}
    rest: list[str] = []
    position = 0
    for match in _NEW_COMMAND.finditer(source):
        end = closing.get(match.end())
        if end is None or match.start() < position:
            continue
        rest.append(source[position : match.start()])
        position = end + 1
        body = source[match.end() + 1 : end]
        name = match[1] or match[2] or match[5] or match[8] or match[9]
        if match[8] or match[9]:
            macros[name] = Macro(0, None, f"\\operatorname{match[7]}{{{body}}}")
        elif len(body) <= _LONGEST_MACRO and not _NOT_SIMPLE.search(body) and name not in KNOWN:
            arguments = int(match[3]) if match[3] else len(match[6] or "") // 2
            macros[name] = Macro(arguments, match[4] if arguments else None, body)
    text = "".join([*rest, source[position:]])
    theorems = {match[1]: match[2] for match in _NEW_THEOREM.finditer(text)}
    return Definitions(macros, {**THEOREMS, **theorems}, _NEW_THEOREM.sub("", text))


def expand(text: str, macros: Mapping[str, Macro], max_characters: int) -> str:
    """The text with its macros replaced, as deep as 20.

    Raises RefusedError when they would write more than `max_characters`, as those do that double themselves.
    """
    return _expand(text, macros, 0, [max_characters])


def _expand(text: str, macros: Mapping[str, Macro], depth: int, left: list[int]) -> str:
    """See `expand`; `left` counts down what may still be written, at all depths together."""
    closing = closings(text)
    parts: list[str] = []
    position = 0
    for match in re.finditer(r"\\(?:([a-zA-Z]+)|.)", text, re.DOTALL):
        macro = macros.get(match[1] or "")
        if macro is None or match.start() < position:
            continue
        cursor = match.end()
        values: list[str] = []
        if macro.default is not None:
            end = closing.get(cursor, -1) if text[cursor : cursor + 1] == "[" else -1
            values.append(macro.default if end < 0 else text[cursor + 1 : end])
            cursor = cursor if end < 0 else end + 1
        while len(values) < macro.arguments:
            token = _ARGUMENT.match(text, cursor)
            if token is None:
                break
            if token[1] == "{":
                end = closing.get(token.start(1), -1)
                if end < 0:
                    break
                values.append(text[token.end() : end])
                cursor = end + 1
            else:
                values.append(token[1])
                cursor = token.end()
        if len(values) < macro.arguments:
            continue
        written = _filled(macro.body, values)
        left[0] -= len(written) + _EXPANSION_CHARACTERS
        if left[0] < 0:
            raise RefusedError("expansion_too_large", "its macros expand beyond the limit")
        parts += [
            text[position : match.start()],
            _expand(written, macros, depth + 1, left) if depth < _DEEPEST_MACRO else written,
        ]
        position = cursor
    return "".join([*parts, text[position:]])


def _filled(body: str, values: list[str]) -> str:
    r"""A macro's body with its arguments; `#1x` with \alpha for #1 is `\alpha x`, not `\alphax`."""
    filled = ""
    for part in re.split(r"(#[1-9])", body):
        is_hole = len(part) == 2 and part[0] == "#"
        value = (values[int(part[1]) - 1] if int(part[1]) <= len(values) else "") if is_hole else part
        runs_on = value[:1].isalpha() and re.search(r"\\[a-zA-Z]+\Z", filled[-_LONGEST_NAME:])
        filled += f" {value}" if runs_on else value
    return filled
