from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.rolling import RollingHash, string_hashes
from pipelines.filters.words import Column, EnglishTokenizer, Numbers, Words


def words_of(words: Words) -> list[list[str]]:
    strings = list(words.vocabulary.numbers)
    return [[strings[number] for number in words.ids[start:stop]] for start, stop in pairwise(words.starts)]


def test_contractions_marks_and_abbreviations_are_cut_as_spacy_does() -> None:
    words = EnglishTokenizer().words(["He doesn't, at 10a.m.", "", "(see e.g. Ph.D.):"])
    assert words_of(words) == [
        ["He", "does", "n't", ",", "at", "10", "a.m."],
        [],
        ["(", "see", "e.g.", "Ph.D.", "):"],
    ]


def test_a_neighbour_changes_the_tokens_of_a_piece() -> None:
    """`:))` would cross the blank; as the longer candidate it keeps spaCy from putting `:)` together."""
    assert words_of(EnglishTokenizer().words(["foo:) bar", "foo:) ) bar", "foo:)\n) bar"])) == [
        ["foo", ":)", "bar"],
        ["foo", ":", ")", ")", "bar"],
        ["foo", ":)", ")", "bar"],
    ]


def test_words_are_the_same_from_memory_and_after_forgetting() -> None:
    texts = [f"Words of text {number}, it's new (x:{number})." for number in range(50)]
    fresh = words_of(EnglishTokenizer().words(texts))
    forgetful = EnglishTokenizer(most_pieces=20)
    assert [words_of(forgetful.words([text]))[0] for text in texts] == fresh
    assert [words_of(forgetful.words([text]))[0] for text in reversed(texts)] == fresh[::-1]


def test_earlier_words_outlive_forgetting() -> None:
    tokenizer = EnglishTokenizer(most_pieces=1)
    first = tokenizer.words(["alpha beta gamma"])
    tokenizer.words(["delta epsilon"])
    tokenizer.words(["zeta eta"])
    assert words_of(first) == [["alpha", "beta", "gamma"]]


def test_sums_are_by_text() -> None:
    words = EnglishTokenizer().words(["one two", "", "three"])
    assert words.sums(words.vocabulary.lengths[words.ids]).tolist() == [6, 0, 5]
    assert words.counts.tolist() == [2, 0, 1]
    assert words.texts.tolist() == [0, 0, 2]


def test_sentences() -> None:
    texts = [
        "",
        "One. Two! Three?",
        "No end",
        "It is 3.14 (approx.). Dr. No came...",
        'He said "Go." Then left.',
    ]
    assert EnglishTokenizer().sentence_counts(texts).tolist() == [1, 3, 1, 2, 2]


def test_numbers_are_in_order_of_first_sight() -> None:
    numbers = Numbers()
    assert [numbers[key] for key in "abac"] == [0, 1, 0, 2]
    assert numbers.since(1) == ["b", "c"]


def test_a_column_grows() -> None:
    column = Column(np.int64)
    for start in range(0, 5000, 700):
        column.extend(np.arange(start, start + 700))
    assert column[np.arange(len(column))].tolist() == list(range(5600))


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=8), st.data())
def test_hashes_are_equal_where_characters_laid_end_to_end_are(
    strings: list[str], data: st.DataObject
) -> None:
    joined = "".join(strings)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(joined)))) | {0, len(joined)})
    recut = [joined[start:stop] for start, stop in pairwise(cuts)]

    def whole(parts: list[str]) -> int:
        ends = np.cumsum([len(part) for part in ["before", *parts]])
        rolling = RollingHash(string_hashes(["before", *parts]), ends)
        return int(rolling.runs(np.array([1]), np.array([len(parts) + 1]))[0])

    assert whole(strings) == whole(recut) == int(string_hashes([joined])[0])
    assert joined == joined[::-1] or whole([joined[::-1]]) != whole(strings)
