"""Rules of FineWeb (Penedo et al. 2024, https://arxiv.org/abs/2406.17557, 3.6), as datatrove decides them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .batch import TextBatch
from .gopher_quality import ratio
from .gopher_repetition import repeats
from .punctuation import TERMINAL
from .rule import Rule


class FineWebQualityFilter(BaseModel):
    """Drop lists, menus and boilerplate: by punctuation at line ends, short lines, repeated lines, line breaks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_punctuated_lines: float = 0.12
    max_short_lines: float = 0.67
    max_duplicate_line_characters: float = 0.01
    max_newlines_per_word: float = 0.3
    short_line_characters: int = 30

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """Shares of lines that are not blank; NaN where there is none."""
        lines = [[line for line in text.split("\n") if line and not line.isspace()] for text in batch.texts]
        counts = list(map(len, lines))
        newlines = [text.count("\n") for text in batch.texts]
        return {
            "fineweb_quality_lines": np.array(counts, np.float64),
            "fineweb_quality_punctuated_lines": ratio(
                [sum(line[-1] in TERMINAL for line in some) for some in lines], counts
            ),
            "fineweb_quality_short_lines": ratio(
                [sum(len(line) <= self.short_line_characters for line in some) for some in lines], counts
            ),
            "fineweb_quality_duplicate_line_characters": ratio(
                [repeats(some).characters for some in lines], batch.characters - newlines
            ),
            "fineweb_quality_newlines_per_word": ratio(newlines, batch.words.counts),
        }

    def rules(self) -> tuple[Rule, ...]:
        return (
            Rule("fineweb_empty", "fineweb_quality_lines", minimum=1),
            Rule(
                "fineweb_few_punctuated_lines",
                "fineweb_quality_punctuated_lines",
                minimum=self.min_punctuated_lines,
            ),
            Rule("fineweb_short_lines", "fineweb_quality_short_lines", maximum=self.max_short_lines),
            Rule(
                "fineweb_duplicate_lines",
                "fineweb_quality_duplicate_line_characters",
                maximum=self.max_duplicate_line_characters,
            ),
            Rule("fineweb_newlines", "fineweb_quality_newlines_per_word", maximum=self.max_newlines_per_word),
        )
