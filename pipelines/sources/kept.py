"""What the rules of a format must not touch, out of the text while they are at work."""

from __future__ import annotations

import re

_MARK = re.compile("\0(\\d+)\0")


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
