"""What the steps of reading LaTeX share: where groups end, and how a file is set aside."""

from __future__ import annotations

import re

_LONGEST_OPTION = 1000


class RefusedError(Exception):
    """A file that is set aside, with the reason and its detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def closings(text: str) -> dict[int, int]:
    """Where the group that opens at a position closes, and the argument in brackets.

    As in TeX a bracket closes at the first `]` that is in no inner group, brackets in between or not.
    """
    closing: dict[int, int] = {}
    # Ends of the groups around the place that is looked at, from the text's end backwards.
    groups: list[int] = []
    brackets = [-1]  # in each of them the nearest `]` behind that place
    for match in reversed(list(re.finditer(r"\\.|[{}\[\]]", text, re.DOTALL))):
        position = match.start()
        match match[0]:
            case "}":
                groups.append(position)
                brackets.append(-1)
            case "{" if groups:
                closing[position] = groups.pop()
                brackets.pop()
            case "]":
                brackets[-1] = position
            case "[" if 0 < brackets[-1] - position <= _LONGEST_OPTION:
                closing[position] = brackets[-1]
    return closing
