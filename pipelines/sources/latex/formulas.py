"""Formulas of LaTeX: where they end, and what is kept of them."""

from __future__ import annotations

import re

_ENDS = {
    "$": re.compile(r"\\.|(\$)|(\n[ \t]*\n)", re.DOTALL),
    "$$": re.compile(r"\\.|(\$\$)|(\n[ \t]*\n)", re.DOTALL),
    "\\(": re.compile(r"(\\\))|(\n[ \t]*\n)|\\.", re.DOTALL),
    "\\[": re.compile(r"(\\\])|(\n[ \t]*\n)|\\.", re.DOTALL),
}


class FormulaEnds:
    """Where the formulas of a text end; sought from left to right, in linear time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._fails_until: dict[
            str, int
        ] = {}  # a formula that begins with a mark before this position has no end

    def behind(self, mark: str, start: int) -> int:
        """Behind the end of the formula that begins with `mark` at `start`; -1 if there is none in its paragraph."""
        if start < self._fails_until.get(mark, 0):
            return -1
        for match in _ENDS[mark].finditer(self._text, start + len(mark)):
            if match[1]:
                return match.end()
            if match[2]:
                self._fails_until[mark] = match.start()
                return -1
        self._fails_until[mark] = len(self._text)
        return -1


def cleaned(formula: str) -> str:
    """A formula as it is written, without its labels and empty lines."""
    unlabelled = re.sub(r"\\label\s*+\{[^{}]*\}", "", formula)
    return re.sub(r"[ \t]*+\n[ \t]*(?=\n)", "", unlabelled)
