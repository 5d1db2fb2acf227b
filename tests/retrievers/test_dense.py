from __future__ import annotations

import numpy as np
import pytest

from datastore import UsageError
from retrievers import dense

TEXTS = [
    f"passage {i} about {topic}"
    for i, topic in enumerate(["tides", "bread", "tides and moons", "volcanoes"] * 10)
]


def test_gives_what_datastore_search_gives(make_store):
    store = make_store(TEXTS)
    queries = ["moons and tides", "how is bread made"]

    got = dense.on(store).retrieve(queries, 5)

    expected = store.search(queries, 5)
    np.testing.assert_array_equal(got.rows, expected.rows)
    np.testing.assert_array_equal(got.scores, expected.scores)
    assert (got.version, list(got.timings_ms)) == (
        store.version,
        ["load encoder", "encode", "exact"],
    )
    assert got[0] == expected[0]


def test_fewer_passages_than_k_are_padded(make_store):
    got = dense.on(make_store(TEXTS[:2])).retrieve(["bread"], 4)

    assert got.rows.tolist() == [[1, 0, -1, -1]]
    assert got.scores[0, 2:].tolist() == [-np.inf, -np.inf]


def test_candidates_bound_the_hits(make_store):
    retriever = dense(candidates=4).on(make_store(TEXTS))

    assert (retriever.retrieve(["bread"], 4).rows >= 0).all()
    with pytest.raises(UsageError, match=r"dense\(candidates=4\) has at most 4 hits, 5 were asked for"):
        retriever.retrieve(["bread"], 5)


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (["bread"], 0, "k must be at least 1, got 0"),
        (["bread"], -3, "k must be at least 1, got -3"),
        (["bread"], 2.0, "k must be a whole number, got 2.0"),
        (["bread"], True, "k must be a whole number, got True"),
        (["bread", " "], 3, "query 1 is empty"),
        (["bread", 7], 3, "query 1 is a int, not a string"),
    ],
)
def test_requests_without_a_meaning_are_errors(make_store, queries, k, message):
    with pytest.raises(UsageError) as error:
        dense.on(make_store(TEXTS[:3])).retrieve(queries, k)

    assert error.value.message == message


def test_one_string_is_one_query(make_store):
    assert dense.on(make_store(TEXTS)).retrieve("bread", 2).rows.shape == (1, 2)


def test_prints_as_it_is_written():
    assert [str(dense), str(dense()), str(dense(candidates=200))] == [
        "dense",
        "dense",
        "dense(candidates=200)",
    ]
    assert dense() == dense
    assert len({dense, dense(), dense(candidates=200), dense(candidates=np.int64(200))}) == 2
