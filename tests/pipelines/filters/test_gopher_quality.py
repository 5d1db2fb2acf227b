from __future__ import annotations

import numpy as np
import pytest

from pipelines.filters.batch import TextBatch
from pipelines.filters.gopher_quality import GopherQualityFilter


def dropped(text: str, **bounds: float) -> list[str]:
    family = GopherQualityFilter(**bounds)
    scores = family.scores(TextBatch([text]))
    return [rule.reason for rule in family.rules() if rule.drops(scores)[0]]


def test_scores_are_counts_over_words_and_lines() -> None:
    text = "- The cat sat ... # 12\n• and of course\nthe end…"
    scores = {name: values[0] for name, values in GopherQualityFilter().scores(TextBatch([text])).items()}
    # - The cat sat ... # 12 / • and of course / the end …
    assert scores == {
        "gopher_quality_words": 10,  # without - ... # …; • is no punctuation here
        "gopher_quality_mean_word_characters": (3 + 3 + 3 + 2 + 1 + 3 + 2 + 6 + 3 + 3) / 10,
        "gopher_quality_hashes_per_word": 1 / 14,
        "gopher_quality_ellipses_per_word": 2 / 14,
        "gopher_quality_bullet_lines": 2 / 3,
        "gopher_quality_ellipsis_lines": 1 / 3,
        "gopher_quality_alphabetic_words": 8 / 14,
        "gopher_quality_stop_words": 3,  # and, of, the: The is another word
    }


def test_bounds_are_kept() -> None:
    text = "the be " * 25
    assert dropped(text, min_mean_word_characters=2.5) == []
    assert dropped(text, min_mean_word_characters=np.nextafter(2.5, 3)) == ["gopher_short_words"]
    assert dropped(text, min_words=51, min_mean_word_characters=2) == ["gopher_short_document"]
    assert dropped(text, max_words=49, min_mean_word_characters=2) == ["gopher_long_document"]


def test_texts_of_a_batch_do_not_mix() -> None:
    texts = ["the the", "", "be # to", "...", " \n "]
    together = GopherQualityFilter().scores(TextBatch(texts))
    for row, text in enumerate(texts):
        alone = GopherQualityFilter().scores(TextBatch([text]))
        for name, values in alone.items():
            assert together[name][row] == pytest.approx(values[0], nan_ok=True)
    assert together["gopher_quality_stop_words"].tolist() == [1, 0, 2, 0, 0]


def test_an_empty_batch_has_no_scores() -> None:
    assert {len(values) for values in GopherQualityFilter().scores(TextBatch([])).values()} == {0}
