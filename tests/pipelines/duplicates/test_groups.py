from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.duplicates import choose, clusters, components, groups


def reference_components(pairs, documents):
    names = list(range(documents))
    for left, right in pairs:
        low, high = sorted((names[left], names[right]))
        names = [low if name == high else name for name in names]
    return names


@given(st.lists(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=12), max_size=4))
def test_components_are_named_by_their_first_document(blocks):
    arrays = [np.array(block, dtype=np.int64).reshape(-1, 2) for block in blocks]

    found = components(arrays, 20)

    assert found.tolist() == reference_components([pair for block in blocks for pair in block], 20)
    assert found.tolist() == components(arrays[::-1], 20).tolist()


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_in_any_number_of_blocks(step):
    rows = np.arange(100_000)
    pairs = np.column_stack([rows[:-1], rows[1:]])[::step]

    assert not components([pairs], 100_000).any()
    assert not components(np.array_split(pairs, 7), 100_000).any()


def test_the_best_is_of_the_best_source_then_the_longest_then_the_first():
    #                  0  1  2  3  4  5  6  7
    group = np.array([0, 0, 0, 3, 4, 4, 6, 6])
    priority = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    length = np.array([9, 9, 5, 1, 5, 7, 7, 7])

    assert choose(group, priority, length).tolist() == [2, 2, 2, 3, 5, 5, 6, 6]
    among = np.array([True, True, False, True, True, False, False, False])
    assert choose(group, priority, length, among).tolist() == [0, 0, -1, 3, 4, -1, -1, -1]
    assert choose(group[:0], priority[:0], length[:0]).tolist() == []


def asked_of(similar: set[tuple[int, int]]):
    asked: list[tuple[int, int]] = []

    def compare(pairs):
        asked.extend(map(tuple, pairs.tolist()))
        return np.array([tuple(sorted(pair)) in similar for pair in pairs.tolist()], dtype=np.bool_)

    return compare, asked


def test_a_cluster_is_what_is_similar_to_its_centre():
    # 0-1-2-3-4 hang together by steps; 1 is the longest, 5 alone.
    similar = {(0, 1), (1, 2), (2, 3), (3, 4)}
    compare, asked = asked_of(similar)
    length = np.array([5, 9, 5, 6, 5, 5])

    found = clusters(np.array([0, 0, 0, 0, 0, 5]), np.zeros(6, int), length, [np.array([[0, 1]])], compare)

    assert found.tolist() == [1, 1, 1, 3, 3, 5]
    assert asked == [(1, 2), (1, 3), (1, 4), (3, 4)]  # 0 was known to be similar


def test_documents_of_the_store_are_centres_all_of_them():
    # 0, 1, 2 are in the store. 3 is like 1, 5 like 0 and 2; 4 is like 3 alone, and all hang together.
    compare, asked = asked_of({(3, 4)})
    pairs = np.array([[1, 3], [3, 4], [0, 5], [2, 5], [3, 5]])
    priority = np.array([0, 0, 0, 1, 1, 1])

    found = clusters(components([pairs], 6), priority, np.arange(6), [pairs], compare, first_new=3)

    assert found.tolist() == [0, 1, 2, 1, 4, 0]
    assert asked == [(2, 4)]


def test_after_some_rounds_the_verified_pairs_decide(monkeypatch):
    # A path 0-1-2-…-9; the longest are 4, then 8, then the others in turn.
    pairs = np.array([[row, row + 1] for row in range(9)])
    compare, asked = asked_of(set())
    length = np.array([1, 1, 1, 1, 3, 1, 1, 1, 2, 1])

    monkeypatch.setattr(groups, "_ROUNDS", 1)
    found = clusters(np.zeros(10, int), np.zeros(10, int), length, [pairs[:5], pairs[5:]], compare)

    assert len(asked) == 7  # 3 and 5 were known to be similar to 4
    # Of the rest 8 takes 7 and 9, then 0 takes 1; 2 and 6 have no other neighbour left.
    assert found.tolist() == [0, 0, 2, 4, 4, 4, 6, 8, 8, 8]
