from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from datastore import Hits, UsageError
from datastore.hits import rank
from retrievers import dense, neighbours, parse, router, rrf, weighted
from retrievers.router import (
    ARM_FEATURES,
    LEAST,
    QUERY_FEATURES,
    Model,
    features,
    kind,
    trained_model,
)

TEXTS = [f"passage {number} of many" for number in range(40)]
QUERIES = ["Who likes Copper Lanterns?", "the moon", "In 1905 Albert Einstein wrote 4 papers", "?"]


class Given:
    """A chain that is called as it is told, whose hits are known beforehand: for each query, row -> score."""

    def __init__(self, name, answers):
        self.name, self.answers = name, answers

    def __repr__(self):
        return self.name

    def on(self, store):
        self.store = store
        return self

    def retrieve(self, queries, k, where=None, explain=False):
        assert where is None
        assert not explain
        width = max([1, *map(len, self.answers)])
        rows = np.full((len(queries), width), -1)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        for line, answer in enumerate(self.answers):
            rows[line, : len(answer)], scores[line, : len(answer)] = [*answer], [*answer.values()]
        return Hits(self.store.version, *rank(rows, scores, k), self.store)


def drawn(seed, queries=4):
    random = np.random.default_rng(seed)
    lines = [random.permutation(40)[: random.integers(0, 30)] for _ in range(queries)]
    return [dict(zip(line.tolist(), random.gamma(2, size=len(line)), strict=True)) for line in lines]


@pytest.fixture
def store(make_store):
    return make_store(TEXTS)


def arms_named(*names):
    return [Given(name, drawn(seed)) for seed, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "parameters"),
    [
        (("dense", "bm25"), {"trained": False}),
        (("dense", "sparse"), {}),  # the model knows nothing of such arms
        (("dense", "dense"), {}),
        (("dense", "bm25", "sparse"), {}),
        (("dense",), {}),
    ],
)
def test_without_training_it_is_plain_fusion(store, names, parameters):
    arms = arms_named(*names)

    plain = weighted(*arms).on(store).retrieve(QUERIES, 20)
    routed = router(*arms, **parameters).on(store).retrieve(QUERIES, 20)

    np.testing.assert_array_equal(routed.rows, plain.rows)
    np.testing.assert_array_equal(routed.scores, plain.scores)


def test_it_is_weighted_fusion_under_each_querys_own_weights(store):
    arms = arms_named("dense", "bm25")
    chain = router(*arms)

    hits = chain.on(store).retrieve(QUERIES, 20)
    weights = chain.weigh(QUERIES, [arm.on(store).retrieve(QUERIES, len(TEXTS)) for arm in arms])

    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert not ((weights > 0) & (weights < LEAST)).any()
    assert (weights != weights[0]).any()
    for line, query in enumerate(QUERIES):
        alone = [Given("arm", [arm.answers[line]]) for arm in arms]
        expected = weighted(*alone, weights=weights[line].tolist()).on(store).retrieve([query], 20)
        np.testing.assert_allclose(hits.scores[line], expected.scores[0], atol=1e-6)
        found = dict(zip(hits.rows[line].tolist(), hits.scores[line].tolist(), strict=True))
        for row, score in zip(expected.rows[0].tolist(), expected.scores[0].tolist(), strict=True):
            assert row < 0 or found.get(row, score) == pytest.approx(score, abs=1e-6)


def test_weights_belong_to_kinds_in_any_order_and_to_one_query_at_a_time(store):
    one, other = arms_named("dense(recall=0.9)", "bm25(b=0.5)")
    found = [arm.on(store).retrieve(QUERIES, 100) for arm in (one, other)]

    straight = router(one, other).weigh(QUERIES, found)
    turned = router(other, one).weigh(QUERIES, found[::-1])
    first = [Hits(hits.version, hits.rows[:1], hits.scores[:1], store) for hits in found]

    np.testing.assert_array_equal(turned, straight[:, ::-1])
    np.testing.assert_allclose(router(one, other).weigh(QUERIES[:1], first), straight[:1])


def test_an_arm_of_almost_no_weight_is_left_out(store, monkeypatch):
    sure = Model(
        ("dense", "bm25"),
        np.zeros(16),
        np.ones(16),
        np.array([[-3.0, *[0.0] * 15], [3.0, *[0.0] * 15]]),  # on the constant alone
    )
    monkeypatch.setattr(import_module("retrievers.router"), "trained_model", lambda: sure)
    arms = [Given("dense", [{1: 2.0, 2: 1.0}]), Given("bm25", [{3: 9.0, 4: 1.0}])]
    chain = router(*arms)

    assert chain.weigh(["q"], [arm.on(store).retrieve(["q"], 9) for arm in arms]).tolist() == [[0, 1]]
    assert chain.on(store).retrieve(["q"], 1).rows.tolist() == [[3]]


def test_features_by_hand(store):
    one = {row: 10.0 - row for row in range(8)}
    other = dict.fromkeys(range(6, 18), 4.0)
    found = [Given("arm", [answer]).on(store).retrieve(["q"], 20) for answer in (one, other)]

    (line,) = features(["Where did Marie Curie work in 1898?"], found)
    named = dict(
        zip((*QUERY_FEATURES, *ARM_FEATURES), line[: len(QUERY_FEATURES) + len(ARM_FEATURES)], strict=True)
    )

    assert len(line) == len(QUERY_FEATURES) + 2 * len(ARM_FEATURES) == len(trained_model().means)
    assert named == pytest.approx(
        {
            "constant": 1,
            "words": 3,  # log2(1 + 7)
            "digits": 1 / 7,
            "names": 2 / 7,
            "long words": 0,
            "question": 1,
            "gap": 1,  # no eleventh hit
            "drop": 0.1,
            "found": 8 / 20,
            "shared top": 2 / 8,  # 6 and 7
            "shared": 2 / 8,
        }
    )
    assert line[-len(ARM_FEATURES) :].tolist() == pytest.approx([0, 0, 12 / 20, 2 / 10, 2 / 10])


def test_nothing_to_go_by_is_no_error(store):
    arms = [Given("dense", [{}, {}]), Given("bm25", [{}, {1: 1.0}])]

    hits = router(*arms).on(store).retrieve(["?", "日本語"], 3)

    assert hits.rows.tolist() == [[-1, -1, -1], [1, -1, -1]]


def test_prints_as_it_is_written():
    assert str(router) == "router(dense, bm25)"
    assert str(router(trained=False, depth=50)) == "router(dense, bm25, depth=50, trained=False)"
    assert parse("router(dense, bm25, trained=False)") == router(trained=False)
    assert [kind(chain) for chain in (dense(recall=0.9), rrf, dense >> neighbours)] == ["dense", "rrf", ""]


def test_trained_is_yes_or_no():
    with pytest.raises(UsageError, match="trained must be True or False, got 'no'"):
        router(trained="no")


def test_stores_and_requests_of_every_kind(make_store):
    empty, store = make_store([]), make_store(TEXTS)
    store.delete(["test/3#0"])

    assert router.on(empty).retrieve(["moon"], 3).rows.tolist() == [[-1] * 3]
    assert router.on(store).retrieve(["passage"], 3, where="source = 'nobody'").rows.tolist() == [[-1] * 3]
    everything = router.on(store).retrieve(["passage 3 of many", "日本語", "?"], 60).rows
    assert (np.sort(everything, axis=1)[:, 21:] == [*range(3), *range(4, 40)]).all()
    many = router.on(store).retrieve([f"passage {number}" for number in range(10_000)], 1)
    assert many.rows[7, 0] == 7
    assert len(many) == 10_000
