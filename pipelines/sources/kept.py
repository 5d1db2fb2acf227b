"""What the rules of a format must not touch, out of the text while they are at work."""

from __future__ import annotations

import re

_MARK = re.compile("\0(\\d+)\0")
GONE = "\x01"
"""Stands where something was left out, a note or a template, until brackets that it alone filled are gone too."""
_BRACKETS_OF_GONE = re.compile(
    rf"\((?=[\s,;]*{GONE})[\s,;{GONE}]*\)|\[(?=[\s,;]*{GONE})[\s,;{GONE}]*\]|"
    rf"\uff08(?=[\s\uff0c\u3001\uff1b]*{GONE})[\s\uff0c\u3001\uff1b{GONE}]*\uff09"
)
_COMMAS_BEHIND = re.compile(rf"(?<=\()(?=[ ,;]*{GONE})[ ,;{GONE}]*")
_COMMAS_BEFORE = re.compile(rf"(?<![ ,;{GONE}])[ ,;]*+{GONE}[ ,;{GONE}]*+(?=\))")


class Kept:
    r"""Pieces of a text that are taken out first and put back last: formulas, code.

    `\0number\0` stands in the place of each. The text must hold no NUL of its own.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> str:
        """What is to stand for a piece; pieces that stand within it are put back at once."""
        self._pieces.append(self.restore(piece))
        return f"\0{len(self._pieces) - 1}\0"

    def restore(self, text: str) -> str:
        """The text with its pieces."""
        return _MARK.sub(lambda match: self._pieces[int(match[1])], text)


def without_gone(text: str) -> str:
    r"""Without what is left behind of brackets: `Tea (\x01, Chinese: cha)`, `Tea (\x01)`; others stay, `f()` and `(1,)`."""
    if GONE not in text:
        return text
    text = _BRACKETS_OF_GONE.sub("", text)
    return _COMMAS_BEFORE.sub("", _COMMAS_BEHIND.sub("", text)).replace(GONE, "")
