from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from eval.engines.batching import batches, group_by_beginning, longest_extensions, pieces

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


def saved(groups, pass_tokens):
    return sum((len(group.texts) - 1) * group.shared - pass_tokens for group in groups if group.shared)


def test_a_longer_beginning_of_fewer_texts_is_shared_where_that_saves_more():
    first, second = ((0, *rest) for rest in ((1, 1, 1, 1), (2, 2, 2, 2)))
    texts = [(*beginning, i) for beginning in (first, second) for i in range(3)]
    groups = group_by_beginning(dict.fromkeys(texts, 5), 0)
    assert [(group.shared, len(group.texts)) for group in groups] == [(5, 3), (5, 3)]
    few = [(*first, 0), (*second, 0), (0, 3)]
    assert [(g.shared, len(g.texts)) for g in group_by_beginning(dict.fromkeys(few, 5), 0)] == [(1, 3)]
    assert all(g.shared == 0 for g in group_by_beginning(dict.fromkeys(few, 5), 2))  # not worth a pass


def test_texts_beside_a_group_share_a_beginning_with_each_other():
    first, second = [(0, 0), (0, 0, 0), (0, 1)], [(0, 1, 1, 1, 0), (0, 1, 1, 1, 1)]
    groups = group_by_beginning({text: len(text) - 1 for text in first + second}, 1)
    assert groups == [(1, tuple(first)), (4, tuple(second))]  # 1 and 3 tokens; all five together save 3


def test_no_more_is_shared_than_may_be():
    texts = {(1, 2, 3, 4, 5): 2, (1, 2, 3, 4, 6): 4}
    assert group_by_beginning(texts, 0) == [(2, tuple(texts))]


@given(TEXTS, st.integers(0, 3), st.data())
def test_groups_hold_every_text_once_and_texts_begin_as_their_group_says(texts, pass_tokens, data):
    sharable = {text: data.draw(st.integers(0, len(text) - 1)) for text in sorted(texts)}
    groups = group_by_beginning(sharable, pass_tokens)
    assert sorted(text for group in groups for text in group.texts) == sorted(texts)
    for group in groups:
        assert len({text[: group.shared] for text in group.texts}) == 1
        assert all(group.shared <= sharable[text] for text in group.texts)
    made = list(pieces(groups, 20))
    assert sorted(text for piece in made for batch in piece.batches for text in batch) == sorted(texts)
    assert all(
        text[: len(piece.prefix)] == piece.prefix
        for piece in made
        for batch in piece.batches
        for text in batch
    )


@given(st.sets(st.lists(st.integers(0, 1), min_size=1, max_size=5).map(tuple), min_size=1, max_size=6))
def test_no_other_cut_of_the_sorted_texts_saves_more(texts):
    ordered = sorted(texts)
    best = 0
    for count in range(len(ordered)):
        for cuts in combinations(range(1, len(ordered)), count):
            parts = [ordered[a:b] for a, b in zip((0, *cuts), (*cuts, len(ordered)), strict=True)]
            worth = 0
            for part in parts:
                shared = next(
                    n for n in range(5, -1, -1) if all(len(t) > n and t[:n] == part[0][:n] for t in part)
                )
                worth += max(0, (len(part) - 1) * shared - 1)
            best = max(best, worth)
    assert saved(group_by_beginning({text: len(text) - 1 for text in texts}, 1), 1) == best


def test_cached_tokens_count_little_and_answers_fully():
    texts = [(*range(80), i) for i in range(10)]
    assert [len(batch) for batch in batches(texts, 22, 80)] == [2] * 5  # a row: 1 token and a tenth of 80 …
    assert [len(batch) for batch in batches(texts, 44, 80, 11)] == [2] * 5


def test_batches_are_longest_first_and_within_the_budget():
    texts = [(1,) * n for n in (3, 9, 4, 2, 5, 1)]
    assert [[len(text) for text in batch] for batch in batches(texts, 10)] == [[9], [5, 4], [3, 2, 1]]


@given(TEXTS, st.integers(1, 20))
def test_batches_hold_every_text_once(texts, batch_tokens):
    made = list(batches(texts, batch_tokens))
    assert sorted(text for batch in made for text in batch) == sorted(texts)
    assert all(len(batch) == 1 or len(batch) * len(batch[0]) <= batch_tokens for batch in made)
    assert all(max(map(len, batch)) == len(batch[0]) for batch in made)
