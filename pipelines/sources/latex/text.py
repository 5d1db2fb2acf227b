"""LaTeX without comments, definitions and macros of its own to text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from ..kept import GONE, Kept, without_gone
from .commands import (
    ACCENTS,
    DROPPED,
    FORMULAS,
    HEADINGS,
    LEFT_OUT,
    LISTS,
    SHOWN_BEHIND,
    SIGNS,
    SYMBOLS,
    WITH_ARGUMENT,
)
from .common import closings
from .formulas import FormulaEnds, cleaned
from .units import QUANTITIES, quantity_text

_DEEPEST_NOTE = 3
_TOKEN = re.compile(
    r"\\begin\{(?P<begin>[^{}\n]*)\}|\\end\{(?P<end>[^{}\n]*)\}|\\(?P<command>[a-zA-Z@]+)\*?|\\(?P<sign>.)"
    r"|(?P<formula>\$\$?)|[{}~&]|``|''|---?|\s+",
    re.DOTALL,
)
_OPENED = re.compile(r"\s*+\{")
_ACCENTED = re.compile(r"\s*+(?:\{\s*+(?:\\([ij])|([^\W\d_])?)\s*+\}|\\([ij])(?![a-zA-Z])|([^\W\d_]))")
_PLAIN = {"~": " ", "&": " ", "``": '"', "''": '"', "---": "\u2014", "--": "\u2013"}


class Writer:
    """Turns the LaTeX of one document into text."""

    def __init__(self, theorems: Mapping[str, str], kept: Kept) -> None:
        self.theorems = theorems  # environment -> the name that it shows
        self.kept = kept

    def write(self, source: str) -> str:
        """Text with even white space, formulas and verbatim text in their places."""
        lines = []
        for line in without_gone(_Pass(self, source, 0).run()).split("\n"):
            even = re.sub(r"[ \t]+", " ", line).strip()
            even = re.sub(r" (?=[.,;:)])", "", even)
            lines.append("" if even == "-" else even)
        return self.kept.restore(re.sub(r"\n{3,}", "\n\n", "\n".join(lines))).strip()


class _Pass:
    """One way through a text, token by token."""

    def __init__(self, writer: Writer, text: str, depth: int) -> None:
        self._writer = writer
        self._text = text
        self._depth = depth
        self._position = 0  # behind what has been written
        self._parts: list[str] = []
        self._closing = closings(text)
        self._at_close: dict[int, str] = {}  # what to write where a group closes
        self._never_closed: set[str] = set()  # environments
        self._ends = FormulaEnds(text)

    def run(self) -> str:
        while token := _TOKEN.search(self._text, self._position):
            self._parts.append(self._text[self._position : token.start()])
            self._position = token.end()
            if token["begin"] is not None:
                self._begin(token["begin"], token.start())
            elif token["end"] is not None:
                self._parts.append("\n\n")
            elif token["formula"] or token["sign"] in ("(", "["):
                self._formula(token["formula"] or token[0], token.start())
            elif token["command"]:
                self._command(token["command"])
            elif token["sign"]:
                self._sign(token["sign"])
            elif token[0] == "}":
                self._parts.append(self._at_close.get(token.start(), ""))
            elif token[0].isspace():
                self._parts.append("\n\n" if token[0].count("\n") > 1 else " ")
            elif token[0] != "{":
                self._parts.append(_PLAIN[token[0]])
        return "".join([*self._parts, self._text[self._position :]])

    def _begin(self, starred: str, start: int) -> None:
        name = starred.rstrip("*")
        if (name in FORMULAS or name in LEFT_OUT) and starred not in self._never_closed:
            end_mark = f"\\end{{{starred}}}"
            end = self._text.find(end_mark, self._position)
            if end < 0:
                self._never_closed.add(starred)
                return
            self._position = end + len(end_mark)
            self._parts.append("\n")
            if name in FORMULAS:
                self._parts += [self._kept(self._text[start : self._position]), "\n"]
            return
        self._parts.append("\n\n")
        if name in LISTS:
            self._skip(0)
            return
        note = self._option_shown(self._position, self._skip(int(name in WITH_ARGUMENT)))
        if name == "proof":
            self._parts.append(f"{note.rstrip('.') or 'Proof'}. ")
        elif name in self._writer.theorems:
            self._parts.append(f"{self._writer.theorems[name]}{f' ({note})' if note else ''}. ")
        elif name == "abstract":
            self._parts.append("## Abstract\n\n")

    def _formula(self, mark: str, start: int) -> None:
        end = self._ends.behind(mark, start)
        if end < 0:
            self._parts.append(mark.strip("\\"))
            return
        source = self._text[start:end]
        if mark in ("$$", "\\["):
            self._parts += ["\n", self._kept(source), "\n"]
        else:
            self._parts.append(self._kept(re.sub(r"\s+", " ", source)))
        self._position = end

    def _kept(self, formula: str) -> str:
        return self._writer.kept.keep(cleaned(formula))

    def _command(self, name: str) -> None:
        if name in HEADINGS:
            self._skip(0)
            self._enter_group(f"\n\n{HEADINGS[name]} ", "\n\n")
        elif name in ("paragraph", "subparagraph"):
            self._skip(0)
            self._enter_group("\n\n", " ")
        elif name == "footnote":
            self._skip(0)
            self._enter_group(" (", ")")
        elif name == "item":
            self._parts.append(f"\n- {self._option_shown(self._position, self._skip(0))} ")
        elif name == "ensuremath":
            end = self._closing.get(self._position, -1) if self._next() == "{" else -1
            if end > 0:
                self._parts.append(self._kept(f"${self._text[self._position + 1 : end]}$"))
                self._position = end + 1
        elif name in DROPPED:
            self._skip(DROPPED[name])
            self._parts.append(GONE)
        elif name in SHOWN_BEHIND:
            self._skip(SHOWN_BEHIND[name])
        elif name in QUANTITIES:
            self._quantity(name)
        elif name in SYMBOLS:
            self._parts.append(SYMBOLS[name])
        elif name in ACCENTS:
            self._accent(ACCENTS[name])
        else:
            self._skip_option()

    def _quantity(self, name: str) -> None:
        kind = QUANTITIES[name]
        arguments = [self._argument() for _ in range(kind.numbers + kind.has_unit)]
        self._parts.append(quantity_text(name, arguments))

    def _sign(self, sign: str) -> None:
        if sign in ACCENTS:
            self._accent(ACCENTS[sign])
            return
        self._parts.append(SIGNS.get(sign, ""))
        if sign == "\\":
            self._skip_option()

    def _accent(self, combining: str) -> None:
        """Write the letter that an accent belongs to, with it."""
        letter = _ACCENTED.match(self._text, self._position)
        if letter is None:
            return
        base = letter[1] or letter[2] or letter[3] or letter[4] or ""
        if base:
            self._parts.append(unicodedata.normalize("NFC", base + combining))
        self._position = letter.end()

    def _next(self) -> str:
        return self._text[self._position : self._position + 1]

    def _skip_option(self) -> bool:
        """Go behind an argument in brackets, if one begins right here."""
        end = self._closing.get(self._position) if self._next() == "[" else None
        if end is not None:
            self._position = end + 1
        return end is not None

    def _skip(self, arguments: int) -> int:
        """Go behind `arguments` arguments in braces, and those in brackets around them; returns where that is."""
        while self._skip_option():
            pass
        for _ in range(arguments):
            opened = _OPENED.match(self._text, self._position)
            if opened is None:
                break
            self._position = self._closing.get(opened.end() - 1, opened.end() - 1) + 1
            while self._skip_option():
                pass
        return self._position

    def _argument(self) -> str:
        """The source of the argument in braces that comes next, empty if none does; it is passed over."""
        self._skip(0)
        opened = _OPENED.match(self._text, self._position)
        if opened is None:
            return ""
        start = opened.end()
        end = self._closing.get(start - 1, start)
        self._position = end + 1
        return self._text[start:end]

    def _enter_group(self, before: str, after: str) -> None:
        """Write `before`, and `after` where the group that begins here closes."""
        opened = _OPENED.match(self._text, self._position)
        if opened is not None and opened.end() - 1 in self._closing:
            self._parts.append(before)
            self._at_close[self._closing[opened.end() - 1]] = after
            self._position = opened.end()

    def _option_shown(self, start: int, end: int) -> str:
        """The text of an argument in brackets that begins at `start`, if one does; `end` is behind the last of them."""
        if self._text[start : start + 1] != "[" or end == start or self._depth == _DEEPEST_NOTE:
            return ""
        return _Pass(self._writer, self._text[start + 1 : end - 1], self._depth + 1).run().strip()
