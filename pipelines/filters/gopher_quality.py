"""Quality rules of Gopher (Rae et al. 2021, https://arxiv.org/abs/2112.11446, A.1.1), as datatrove decides them."""

from __future__ import annotations

from itertools import starmap

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .batch import TextBatch
from .rule import Rule
from .words import Words

_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


class GopherQualityFilter(BaseModel):
    """Drop what does not read like prose: by words, symbols, bullets, ellipses, letters and English stop words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_words: int = 50  # that are not punctuation only
    max_words: int = 100_000
    min_mean_word_characters: float = 3
    max_mean_word_characters: float = 10
    max_hashes_per_word: float = 0.1
    max_ellipses_per_word: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alphabetic_words: float = 0.8
    min_stop_words: int = 2  # distinct ones
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """Shares and ratios; NaN where a text has no words (or lines) to divide by."""
        words, vocabulary = batch.words, batch.words.vocabulary
        spoken = ~vocabulary.symbols[words.ids]
        count = words.sums(spoken)
        characters = words.sums(np.where(spoken, vocabulary.lengths[words.ids], 0))
        lines = list(map(len, batch.lines))
        return {
            "gopher_quality_words": count.astype(np.float64),
            "gopher_quality_mean_word_characters": ratio(characters, count),
            "gopher_quality_hashes_per_word": ratio([text.count("#") for text in batch.texts], words.counts),
            "gopher_quality_ellipses_per_word": ratio(
                [sum(map(text.count, _ELLIPSES)) for text in batch.texts], words.counts
            ),
            "gopher_quality_bullet_lines": ratio(
                list(starmap(_bullet_lines, zip(batch.texts, batch.lines, strict=True))), lines
            ),
            "gopher_quality_ellipsis_lines": ratio(
                list(starmap(_ellipsis_lines, zip(batch.texts, batch.lines, strict=True))), lines
            ),
            "gopher_quality_alphabetic_words": ratio(
                words.sums(vocabulary.alphabetic[words.ids]), words.counts
            ),
            "gopher_quality_stop_words": self._stop_words(words),
        }

    def rules(self) -> tuple[Rule, ...]:
        return (
            Rule("gopher_short_document", "gopher_quality_words", minimum=self.min_words),
            Rule("gopher_long_document", "gopher_quality_words", maximum=self.max_words),
            Rule(
                "gopher_short_words",
                "gopher_quality_mean_word_characters",
                minimum=self.min_mean_word_characters,
            ),
            Rule(
                "gopher_long_words",
                "gopher_quality_mean_word_characters",
                maximum=self.max_mean_word_characters,
            ),
            Rule("gopher_hashes", "gopher_quality_hashes_per_word", maximum=self.max_hashes_per_word),
            Rule("gopher_ellipses", "gopher_quality_ellipses_per_word", maximum=self.max_ellipses_per_word),
            Rule("gopher_bullet_lines", "gopher_quality_bullet_lines", maximum=self.max_bullet_lines),
            Rule("gopher_ellipsis_lines", "gopher_quality_ellipsis_lines", maximum=self.max_ellipsis_lines),
            Rule(
                "gopher_few_alphabetic_words",
                "gopher_quality_alphabetic_words",
                minimum=self.min_alphabetic_words,
            ),
            Rule("gopher_few_stop_words", "gopher_quality_stop_words", minimum=self.min_stop_words),
        )

    def _stop_words(self, words: Words) -> NDArray[np.float64]:
        found = np.zeros(len(words.starts) - 1)
        for word in set(self.stop_words):
            if (number := words.vocabulary.numbers.get(word)) is not None:
                found += words.sums(words.ids == number) > 0
        return found


def ratio(
    numerators: NDArray[np.int64] | list[int], denominators: NDArray[np.int64] | list[int]
) -> NDArray[np.float64]:
    """Quotients of integers, as Python's `/` gives them; NaN where the denominator is 0."""
    below = np.asarray(denominators, np.float64)
    quotients = np.full(len(below), np.nan)
    np.divide(np.asarray(numerators, np.float64), below, out=quotients, where=below != 0)
    return quotients


def _bullet_lines(text: str, lines: list[str]) -> int:
    if not any(bullet in text for bullet in _BULLETS):
        return 0
    return sum(line.lstrip().startswith(_BULLETS) for line in lines)


def _ellipsis_lines(text: str, lines: list[str]) -> int:
    if not any(ellipsis in text for ellipsis in _ELLIPSES):
        return 0
    return sum(line.rstrip().endswith(_ELLIPSES) for line in lines)
