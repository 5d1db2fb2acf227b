from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eval.engines.batching import batches, longest_extensions

TEXTS = st.sets(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=30)


def test_answers_to_one_prompt_share_the_pass_of_the_longest():
    prompt, answer, other = (1, 2), (1, 2, 3, 4), (1, 3)
    assert longest_extensions([prompt, answer, other]) == {prompt: answer, answer: answer, other: other}


@given(TEXTS)
def test_every_text_is_the_beginning_of_its_extension_and_extensions_extend_no_other(texts):
    extensions = longest_extensions(texts)
    assert extensions.keys() == texts
    for text, longest in extensions.items():
        assert longest in texts
        assert longest[: len(text)] == text
        assert not any(other != longest and other[: len(longest)] == longest for other in texts)


def test_batches_are_longest_first_and_within_the_budget():
    texts = [(1,) * n for n in (3, 9, 4, 2, 5, 1)]
    assert [[len(text) for text in batch] for batch in batches(texts, 10)] == [[9], [5, 4], [3, 2, 1]]


@given(TEXTS, st.integers(1, 20))
def test_batches_hold_every_text_once(texts, batch_tokens):
    made = list(batches(texts, batch_tokens))
    assert sorted(text for batch in made for text in batch) == sorted(texts)
    assert all(len(batch) == 1 or len(batch) * len(batch[0]) <= batch_tokens for batch in made)
    assert all(max(map(len, batch)) == len(batch[0]) for batch in made)
