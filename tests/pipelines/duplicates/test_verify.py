from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datastore.text import words
from pipelines.duplicates import Corpus, NearDuplicates, compare, verify
from pipelines.duplicates.verify import jaccard
from pipelines.executors import open_executor


def true_jaccard(left: str, right: str, size: int) -> float:
    sets = []
    for text in (left, right):
        run = words(text.lower()) or [text]
        sets.append({tuple(run[start : start + size]) for start in range(max(len(run) - size + 1, 1))})
    return round(len(sets[0] & sets[1]) / len(sets[0] | sets[1]), 4)


@given(st.lists(st.text(st.sampled_from("abc  \n."), max_size=40), min_size=2, max_size=6), st.integers(1, 5))
def test_similarity_is_that_of_sets_of_word_ngrams(texts, size):
    pairs = np.array(list(combinations(range(len(texts)), 2)))

    found = jaccard(texts, pairs, size)

    assert found.tolist() == [true_jaccard(texts[left], texts[right], size) for left, right in pairs]


def test_similarity_by_hand():
    texts = ["a b c d e f", "A b, c d e g", "a b c d e", "f", "F!"]

    found = jaccard(texts, np.array([[0, 1], [0, 2], [1, 2], [0, 3], [3, 4]]), 5)

    # The first two texts have two shingles each and share one, which is the whole of the third.
    assert found.tolist() == [0.3333, 0.5, 0.5, 0.0, 1.0]


def test_the_threshold_is_compared_with_the_rounded_similarity(tmp_path):
    texts = np.array(["a b c", "a b", "a b c d e f", "a b c d"], dtype=object)
    np.save(tmp_path / "length.npy", [len(text) for text in texts])
    pairs = np.array([[0, 1], [2, 3]])  # both 2/3 of the words
    for least, expected in ((0.6667, [True, True]), (0.6668, [False, False])):
        config = NearDuplicates(ngram_words=1, min_jaccard=least)
        with open_executor("serial") as executor:
            alike = compare(pairs, Corpus(texts.take, tmp_path / "length.npy", config), executor)

        assert alike.tolist() == expected


def test_lots_do_not_change_the_answer_and_ask_for_ascending_rows(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(["a", "b", "c"], length)) for length in generator.integers(1, 9, 60)]
    pairs = np.array(list(combinations(range(60), 2)))[::7]
    np.save(tmp_path / "length.npy", [len(text) for text in texts])
    asked: list[list[int]] = []

    def read(rows):
        asked.append(rows.tolist())
        return [texts[row] for row in rows]

    corpus = Corpus(read, tmp_path / "length.npy", NearDuplicates(ngram_words=2, min_jaccard=0.4))
    with open_executor("serial") as executor:
        whole = compare(pairs, corpus, executor)
        assert len(asked) == 1
        monkeypatch.setattr(verify, "_CHARACTERS", 100)
        monkeypatch.setattr(verify, "_PAIRS", 40)
        in_lots = compare(pairs, corpus, executor)

    assert 0 < whole.sum() < len(pairs)
    assert np.array_equal(in_lots, whole)
    assert len(asked) > 20
    assert all(rows == sorted(set(rows)) for rows in asked)
