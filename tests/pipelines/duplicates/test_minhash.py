from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datastore.text import words
from pipelines.duplicates import NearDuplicates, minhash, signatures
from pipelines.duplicates.minhash import shingles

TEXTS = st.lists(st.text(st.sampled_from("abAB .\né中\ud800"), max_size=30), max_size=12)


def word_ngrams(text: str, size: int) -> list[tuple[str, ...]]:
    run = words(text.lower()) or [text]
    return [tuple(run[start : start + size]) for start in range(max(len(run) - size + 1, 1))]


@given(TEXTS, st.integers(1, 6))
def test_shingles_are_equal_where_the_word_ngrams_are(texts, size):
    found = shingles(texts, size)

    expected = [ngram for text in texts for ngram in word_ngrams(text, size)]
    assert np.diff(found.starts).tolist() == [len(word_ngrams(text, size)) for text in texts]
    assert len(found.hashes) == len(expected)
    assert len(set(zip(found.hashes.tolist(), expected, strict=True))) == len(set(expected))
    assert len(set(found.hashes.tolist())) == len(set(expected))


def test_a_short_text_is_one_shingle_of_its_words_and_a_text_without_words_is_a_word():
    found = shingles(
        ["One, two!", "one two", "one two three", "!!!", "???", "", "one two three four five six"], 5
    )

    assert np.diff(found.starts).tolist() == [1, 1, 1, 1, 1, 1, 2]
    assert found.hashes[0] == found.hashes[1]
    assert len(set(found.hashes.tolist())) == 7


@given(TEXTS)
def test_a_signature_does_not_depend_on_the_batch(texts):
    config = NearDuplicates(bands=3, rows=2)

    together = signatures(texts, config)

    assert together.shape == (len(texts), 3)
    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(signatures([text], config)[0], row)


def test_a_signature_does_not_depend_on_how_shingles_are_blocked(monkeypatch):
    texts = [" ".join(f"w{(i * j) % 97}" for j in range(i)) for i in range(60)]
    whole = signatures(texts, NearDuplicates())

    monkeypatch.setattr(minhash, "_CACHED_SHINGLES", 10)

    assert np.array_equal(signatures(texts, NearDuplicates()), whole)


def test_signatures_stay_what_stores_have_kept():
    found = signatures(
        ["The quick brown fox jumps over the lazy dog.", "No."], NearDuplicates(bands=2, rows=4)
    )

    assert [[f"{value:016x}" for value in row] for row in found.tolist()] == [
        ["e789322f074e632e", "5a4635350c6bc1d9"],
        ["d34cd82bd1c04b0a", "b17fc6c204b2c793"],
    ]


def test_each_band_is_one_stretch_of_memory_and_the_seed_changes_all():
    found = signatures(["one two three", "four five six"], NearDuplicates())

    assert found.dtype == np.uint64
    assert found.flags.f_contiguous
    assert not np.isin(found, signatures(["one two three", "four five six"], NearDuplicates(seed=2))).any()


@pytest.mark.parametrize("changed", [2, 5, 12, 25])
def test_the_share_of_equal_minima_estimates_the_similarity(changed):
    generator = np.random.default_rng(changed)
    config = NearDuplicates(bands=500, rows=1)
    shares, truths = [], []
    for _ in range(30):
        run = [f"w{value}" for value in generator.integers(0, 5000, 200)]
        other = list(run)
        for place in generator.choice(200, changed, replace=False):
            other[place] = "x"
        left, right = " ".join(run), " ".join(other)
        first, second = set(word_ngrams(left, 5)), set(word_ngrams(right, 5))
        truths.append(len(first & second) / len(first | second))
        found = signatures([left, right], config)
        shares.append(float((found[0] == found[1]).mean()))

    truth = np.mean(truths)
    assert abs(np.mean(shares) - truth) < 4 * np.sqrt(truth * (1 - truth) / (30 * 500))


def test_the_configuration_is_checked():
    with pytest.raises(ValidationError, match="min_jaccard"):
        NearDuplicates(min_jaccard=1.2)
    with pytest.raises(ValidationError, match="shingles"):
        NearDuplicates.model_validate({"shingles": 5})
