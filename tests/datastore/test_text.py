from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.text import content_hash, normalise, sentence_ends, word_spans, words


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("  a\r\nb\rc  ", "a\nb\nc"),
        ("one  \t\n\n\n\n\ntwo", "one\n\ntwo"),
        ("e\u0301", "\u00e9"),
        ("e\x00\u0301", "\u00e9"),
        ("\ufeffzero\u200bwidth\x00\x07", "zerowidth"),
        ("page one\x0cpage two", "page one\npage two"),
        ("end.\n\x0c\x0c\x0cNext", "end.\n\nNext"),
        ("a\x0bb\x1cc\x1dd\x1ee\x1ff", "a\nb\nc\nd\ne\nf"),
        ("\x0c", ""),
        ("   \n\t ", ""),
    ],
)
def test_normal_form(raw: str, normal: str):
    assert normalise(raw) == normal


@given(st.text())
def test_normalising_twice_changes_nothing(text: str):
    assert normalise(normalise(text)) == normalise(text)


def test_identity_ignores_case_and_white_space_only():
    assert content_hash("The  Cat\nsat") == content_hash("the cat sat ")
    assert content_hash("the cat sat") != content_hash("the cat sat.")


@given(st.text())
def test_word_spans_are_the_words(text: str):
    assert [text[start:end] for start, end in word_spans(text)] == words(text)


def test_sentence_ends():
    text = 'He said "Stop!" Then? 好。Next\n\nEnd'

    assert [text[:end][-5:] for end in sentence_ends(text)] == [
        'top!"',
        "Then?",
        "n? 好。",
        "Next\n",
        "\n\nEnd",
    ]
