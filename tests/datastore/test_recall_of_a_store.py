"""`search(recall=…)`: the cheapest way that was measured to reach it, exactly where none does, and the answer says which."""

from __future__ import annotations

import numpy as np
import pytest

from datastore import Datastore, IndexConfig, UsageError, describe, verify_recall

DIMENSION = 32


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Datastore.create(
        tmp_path_factory.mktemp("recall") / "store",
        dimension=DIMENSION,
        index=IndexConfig(family="ivf_pq", parameters={"lists": 64}),
        calibration_queries=unit(200, 1),
    )
    store.add(unit(5_000, 0), ids=[f"v{i}" for i in range(5_000)])
    return store


def recall(store, queries, k, **options) -> float:
    stored = store.read_vectors(np.arange(5_000)).astype(np.float64)
    truth = np.argsort(-(queries.astype(np.float64) @ stored.T), axis=1, kind="stable")[:, :k]
    rows = store.search(queries, k=k, **options).rows
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(truth, rows, strict=True)]))


@pytest.mark.parametrize("k", [5, 10, 40, 100, 300, 1000])
@pytest.mark.parametrize("target", [0.8, 0.95])
def test_unseen_queries_get_the_recall_that_is_asked_for(store, k, target):
    assert recall(store, unit(300, 2), k, recall=target) >= target - 0.02


def test_more_recall_takes_more_effort_and_all_of_it_is_exact(store):
    (part,) = store.snapshot.parts
    low, high = part.setting(10, 0.7), part.setting(10, 0.95)
    assert low.cost_us < high.cost_us
    assert store.search(unit(3, 3), recall=0.95).route == "index"

    everything = store.search(unit(3, 3), recall=1)

    assert everything.route == "exact: recall 1 was asked for"
    assert recall(store, unit(50, 4), 10, recall=1) == 1.0


def test_what_the_index_cannot_reach_is_answered_exactly_and_said(tmp_path):
    # One bit a dimension, and no candidates beyond thirty times k: the measured curve ends below 0.9999.
    store = Datastore.create(
        tmp_path / "s",
        dimension=DIMENSION,
        index=IndexConfig(family="ivf_rabitq", parameters={"lists": 256, "bits": 1}),
        calibration_queries=unit(40, 1),
    )
    store.add(unit(5_000, 0))

    hits = store.search(unit(2, 5), recall=0.9999)

    assert hits.route.startswith("exact: the index reaches recall ")
    assert hits.route.endswith(", 0.9999 was asked for")


@pytest.mark.parametrize("wrong", [0, -0.5, 1.01, "high", True, None, float("nan")])
def test_a_recall_that_cannot_be(store, wrong):
    with pytest.raises(UsageError, match="recall must be above 0 and at most 1"):
        store.search(unit(1, 0), recall=wrong)


def test_candidates_and_effort_may_be_set_by_hand(store):
    queries = unit(100, 6)
    (part,) = store.snapshot.parts

    worst = recall(store, queries, 10, candidates=10, effort=1)
    best = recall(store, queries, 10, candidates=5_000, effort=part.index.efforts[-1])

    assert worst < 0.5
    assert best == 1.0


def test_the_index_says_how_it_was_measured(store):
    (index,) = describe(store)["indexes"]
    assert (index["recall"]["source"], index["recall"]["queries"]) == ("given", 200)

    report = verify_recall(store.path, unit(100, 7), targets=(0.9,))

    assert (report.source, report.queries) == ("given", 100)
    assert [(row.k, row.target) for row in report.rows] == [(10, 0.9), (100, 0.9)]
    assert all(row.low <= row.recall <= row.high for row in report.rows)


def test_a_newer_version_shares_what_it_can_with_the_one_that_was_open(store):
    before = store.snapshot
    try:
        store.add(unit(3, 9), ids=["x", "y", "z"])
        after = store.snapshot

        assert after.parts[0].index is before.parts[0].index
        assert after.catalog.segments[0] is before.catalog.segments[0]
        assert [hit.passage_id for hit in store.search(unit(3, 9), k=1)[1]] == ["y"]
        assert store.search(unit(3, 9), k=1).route == "index"
    finally:
        store.rollback(before.version)


@pytest.mark.parametrize(
    ("family", "parameters"), [("flat", {"bits": 4, "engine": "faiss"}), ("ivf_rabitq", {"bits": 3})]
)
def test_the_length_of_a_query_takes_no_recall_from_inner_products(tmp_path, family, parameters):
    generator = np.random.default_rng(0)
    store = Datastore.create(
        tmp_path / "s",
        dimension=DIMENSION,
        metric="inner_product",
        index=IndexConfig(family=family, parameters=parameters),
        features=(),
    )
    store.add(generator.standard_normal((5_000, DIMENSION)) + 1)
    queries = generator.standard_normal((100, DIMENSION)).astype(np.float32)
    usual = store.search(queries)

    assert usual.route == "index"
    assert recall(store, queries, 10) >= 0.93
    for length in (1e-12, 1e-3, 1e3, 1e12):
        found = store.search(queries * np.float32(length))
        assert np.mean([np.isin(*rows).mean() for rows in zip(found.rows, usual.rows, strict=True)]) >= 0.99
        np.testing.assert_allclose(found.scores[:, 0], usual.scores[:, 0] * length, rtol=1e-5)
