"""Passages as the text that a model reads before the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...tasks.task import Passage
from ..config import Options


class Context(NamedTuple):
    text: str  # "" without passages
    cut: int  # characters that were cut off


def render(passages: Sequence[Passage], options: Options) -> Context:
    """Passages, best first, in the order and form of `options`, a blank line between two.

    The default is that of CompactDS (Lyu et al., 2025): plain text without titles or markers, the best one last.
    """
    parts, cut = [], 0
    for rank, passage in enumerate(passages, start=1):
        text = passage.text if options.characters is None else passage.text[: options.characters]
        cut += len(passage.text) - len(text)
        # Not str.format of the passage: its braces are its own.
        parts.append(
            options.template.format(text=text, title=passage.title, source=passage.source, rank=rank)
        )
    if options.order == "best-last":
        parts.reverse()
    return Context("\n\n".join(parts), cut)
