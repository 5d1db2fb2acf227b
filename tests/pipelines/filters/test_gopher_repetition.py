from __future__ import annotations

import numpy as np
import pytest

from pipelines.filters.batch import TextBatch
from pipelines.filters.gopher_repetition import GopherRepetitionFilter


def scores_of(*texts: str) -> dict[str, list[float]]:
    scores = GopherRepetitionFilter().scores(TextBatch(texts))
    return {name.removeprefix("gopher_repetition_"): values.tolist() for name, values in scores.items()}


def test_repeated_lines_and_paragraphs_are_counted_after_their_first_time() -> None:
    text = "one\ntwo\n\none\ntwo\n\none"
    scores = scores_of(text)
    assert scores["duplicate_paragraphs"] == [1 / 3]
    assert scores["duplicate_paragraph_characters"] == [7 / len(text)]
    assert scores["duplicate_lines"] == [3 / 5]
    assert scores["duplicate_line_characters"] == [9 / len(text)]


def test_the_most_frequent_n_gram_is_the_first_of_equals_with_its_blanks() -> None:
    text = "a b c a b dd ee dd ee"
    scores = scores_of(text)
    assert scores["top_2_gram"] == [2 * len("a b") / len(text)]  # dd ee is as frequent, and comes later
    assert scores["top_3_gram"] == [len("a b c") / len(text)]  # none is repeated: the first one
    assert scores["top_4_gram"] == [len("a b c a") / len(text)]


def test_no_top_n_gram_in_fewer_words() -> None:
    scores = scores_of("one two three")
    assert np.isnan(scores["top_4_gram"][0])
    assert scores["top_3_gram"] == [1.0]


def test_duplicate_n_grams_are_stepped_over() -> None:
    text = "a b c d e a b c d e f a b c d e f"
    scores = scores_of(text)
    assert scores["duplicate_5_grams"] == [
        10 / len(text)
    ]  # twice a…e; f a b c d at the step between is not new
    assert scores["duplicate_6_grams"] == [6 / len(text)]
    assert scores["duplicate_7_grams"] == [0]


def test_n_grams_are_equal_where_their_characters_are() -> None:
    """As datatrove joins words without blanks: `data base` and `database` are one."""
    scores = scores_of("x data base a b c . y database a b c d")
    assert scores["duplicate_5_grams"] == [0]
    assert scores_of("data base a b c . database a b c . z")["duplicate_5_grams"] == [0]
    assert scores_of("data base a b cd . database a b c d")["duplicate_5_grams"][0] > 0


def test_texts_of_a_batch_do_not_mix() -> None:
    text = "one two three four five six"
    assert scores_of(text, text)["duplicate_5_grams"] == [0, 0]
    assert scores_of(text, text)["top_2_gram"] == [len("one two") / len(text)] * 2


def test_an_empty_text_is_dropped_as_empty() -> None:
    family = GopherRepetitionFilter()
    scores = family.scores(TextBatch(["", "a text"]))
    assert [rule.reason for rule in family.rules() if rule.drops(scores)[0]] == ["gopher_empty"]
    assert scores["gopher_repetition_duplicate_lines"][1] == 0


def test_an_empty_batch_has_no_scores() -> None:
    assert {len(values) for values in scores_of().values()} == {0}


@pytest.mark.parametrize("n", [5, 10])
def test_bounds_are_kept(n: int) -> None:
    phrase = "alpha beta gamma delta epsilon zeta eta theta iota kappa "
    text = phrase * 2
    share = scores_of(text)[f"duplicate_{n}_grams"][0]
    for bound, drops in ((share, False), (np.nextafter(share, 0), True)):
        family = GopherRepetitionFilter(**{f"max_duplicate_{n}_grams": bound})
        rule = next(rule for rule in family.rules() if rule.reason == f"gopher_duplicate_{n}_grams")
        assert rule.drops(family.scores(TextBatch([text]))).tolist() == [drops]
