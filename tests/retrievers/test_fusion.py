from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Hits, UsageError
from datastore.hits import rank
from retrievers import Chain, bm25, dense, parse, rrf, weighted

TEXTS = [
    "the tide rises",
    "bread and butter",
    "a rising moon moves the tide",
    "volcano",
    "tide tables",
    "moon bread",
]


class Given:
    """A chain whose hits are known beforehand: for each query, row -> score."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def on(self, store):
        self.store = store
        return self

    def retrieve(self, queries, k, where=None, explain=False):
        assert where is None
        assert not explain
        assert len(queries) == len(self.answers)
        self.asked.append(k)
        width = max([1, *map(len, self.answers)])
        rows = np.full((len(queries), width), -1)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        for line, answer in enumerate(self.answers):
            for place, (row, score) in enumerate(answer.items()):
                rows[line, place], scores[line, place] = row, score
        return Hits(self.store.version, *rank(rows, scores, k), self.store, {"given": 1.0})


def arm(*answers):
    """An arm from one mapping of row to score per query."""
    return Given(answers)


@pytest.fixture
def store(make_store):
    return make_store(TEXTS)


def test_a_k_beyond_all_passages_takes_no_memory(store):
    hits = rrf.on(store).retrieve(["tide"], 10**12)

    assert sorted(hits.rows[0, : len(TEXTS)].tolist()) == [*range(len(TEXTS))]


def test_rrf_by_hand(store):
    first, second = arm({0: 9.0, 1: 8.0, 2: 7.0}), arm({2: 0.3, 3: 0.2})

    hits = rrf(first, second).on(store).retrieve(["q"], 5)

    # 2 is third and first; 1 and 3 are both second in one arm: the lower row comes first.
    assert hits.rows.tolist() == [[2, 0, 1, 3, -1]]
    np.testing.assert_allclose(hits.scores[0], [1 / 63 + 1 / 61, 1 / 61, 1 / 62, 1 / 62, -np.inf], rtol=1e-6)


def test_rrf_k_flattens_the_ranks(store):
    first, second = arm({0: 9.0, 1: 8.0, 2: 7.0}), arm({1: 3.0, 2: 2.0})

    assert rrf(first, second, k=0).on(store).retrieve(["q"], 3).rows.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(
        rrf(first, second, k=0).on(store).retrieve(["q"], 3).scores, [[1.5, 1.0, 1 / 3 + 1 / 2]], rtol=1e-6
    )


def test_weighted_by_hand(store):
    first, second = arm({0: 10.0, 1: 6.0, 2: 2.0}), arm({2: 3.0, 3: 3.0})  # scaled: 1, .5, 0 and 1, 1

    equal = weighted(first, second, weights=None).on(store).retrieve(["q"], 4)
    unequal = weighted(first, second, weights=(3, 1)).on(store).retrieve(["q"], 4)

    assert equal.rows.tolist() == [[0, 2, 3, 1]]
    assert equal.scores.tolist() == [[0.5, 0.5, 0.5, 0.25]]
    assert unequal.rows.tolist() == [[0, 1, 2, 3]]
    assert unequal.scores.tolist() == [[0.75, 0.375, 0.25, 0.25]]


def test_weights_are_proportions(store):
    arms = arm({0: 3.0, 1: 2.0, 2: 0.0}), arm({2: -1.0, 0: -4.0})

    small, large = (weighted(*arms, weights=w).on(store).retrieve(["q"], 3) for w in [(0.25, 0.75), (10, 30)])

    np.testing.assert_array_equal(small.rows, large.rows)
    np.testing.assert_array_equal(small.scores, large.scores)
    assert small.scores.max() <= 1


def test_z_scores_by_hand(store):
    first, second = arm({0: 4.0, 1: 2.0, 2: 0.0}), arm({2: 5.0, 3: 5.0, 4: 2.0})

    hits = weighted(first, second, scale="z_score", weights=None).on(store).retrieve(["q"], 5)

    # Standard deviations: sqrt(8/3) and sqrt(2). What an arm did not return counts as its last hit: nothing.
    one, two = 2 / np.sqrt(8 / 3), 3 / np.sqrt(2)
    assert hits.rows.tolist() == [[0, 2, 3, 1, 4]]
    np.testing.assert_allclose(hits.scores, [[one, two / 2, two / 2, one / 2, 0]], rtol=1e-6)


def test_weights_by_gap_by_hand(make_store):
    store = make_store([f"passage {i}" for i in range(20)])
    steep = {row: 10.0 - row / 2 for row in range(12)}  # 10 ... 5: the eleventh is at half of the first
    flat = {19 - row: 8.0 - row / 10 for row in range(12)}  # 8 ... 7 at the eleventh: an eighth
    few = {4: 3.0, 5: 2.0}  # no eleventh: as if that were 0
    below = {0: -1.0, 1: -2.0}  # a share of a negative score means nothing

    def weights(*arms):
        chain = weighted(*map(arm, arms), weights="gap")
        return chain.on(store).retrieve(["q"], 3).scores, chain.weigh(
            ["q"], [one.on(store).retrieve(["q"], 100) for one in chain.arms]
        )

    scores, of_gap = weights(steep, flat)
    np.testing.assert_allclose(of_gap, [[0.5 / 0.625, 0.125 / 0.625]], rtol=1e-6)
    np.testing.assert_allclose(scores[0, 0], 0.8)
    np.testing.assert_allclose(weights(steep, few)[1], [[1 / 3, 2 / 3]])
    np.testing.assert_allclose(weights(few, below)[1], [[1, 0]])
    np.testing.assert_allclose(weights(below, {})[1], [[0.5, 0.5]])


def test_a_fusion_that_weighs_says_what_its_arms_count(store):
    class Explained(Given):
        def retrieve(self, queries, k, where=None, explain=False):
            assert explain
            return super().retrieve(queries, k, where)

    fixed = weighted(Explained([{0: 1.0}]), Explained([{1: 1.0}]), weights=(3, 1))

    hits = fixed.on(store).retrieve(["q"], 3, explain=True)

    assert hits.stages[-1].weights.tolist() == [[0.75, 0.25]]
    assert rrf(*fixed.arms).on(store).retrieve(["q"], 3, explain=True).stages[-1].weights is None


@pytest.mark.parametrize("fusion", [rrf, weighted, weighted(scale="z_score"), weighted(weights=None)])
def test_arms_without_hits(store, fusion):
    some, none = arm({1: 2.0, 4: 1.0}, {}), arm({}, {})

    hits = replace(fusion, arms=(some, none)).on(store).retrieve(["q", "r"], 2)

    assert hits.rows.tolist() == [[1, 4], [-1, -1]]
    assert np.isneginf(hits.scores[1]).all()


@pytest.mark.parametrize("fusion", [rrf, weighted])
def test_depth_is_raised_to_k_and_never_beyond_the_store(make_store, fusion):
    store = make_store([f"passage {i}" for i in range(150)])
    one = arm({0: 1.0})
    retriever = fusion(one, depth=20).on(store)

    for k in (5, 20, 90, 151):
        retriever.retrieve(["q"], k)
    fusion(one).on(store).retrieve(["q"], 5)

    assert one.asked == [20, 20, 90, 150, min(fusion.depth, 150)]


def test_only_hits_within_depth_count(store):
    first, second = arm({0: 3.0, 1: 2.0, 2: 1.0}), arm({2: 3.0, 1: 2.0, 0: 1.0})

    assert rrf(first, second, depth=1).on(store).retrieve(["q"], 1).rows.tolist() == [[0]]
    assert rrf(first, second, depth=2).on(store).retrieve(["q"], 1).rows.tolist() == [[1]]


answers = st.dictionaries(st.integers(0, 5), st.floats(-4, 4, width=32), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the store is only read
@given(lines=st.lists(st.tuples(answers, answers, answers), max_size=4), k=st.integers(1, 7))
def test_fusions_equal_a_plain_loop(store, lines, k):
    arms = [arm(*(line[i] for line in lines)) for i in range(3)]
    queries = ["q"] * len(lines)

    by_rank = rrf(*arms, k=10).on(store).retrieve(queries, k)
    by_score = weighted(*arms, weights=(1, 2, 5)).on(store).retrieve(queries, k)

    for number, line in enumerate(lines):
        ranks, mean = {}, {}
        for weight, answer in zip((1, 2, 5), line, strict=True):
            ordered = sorted(answer, key=lambda row: (-answer[row], row))
            least, greatest = min(answer.values(), default=0), max(answer.values(), default=0)
            for place, row in enumerate(ordered, start=1):
                scaled = (answer[row] - least) / (greatest - least) if greatest > least else 1.0
                ranks[row] = ranks.get(row, 0) + 1 / (10 + place)
                mean[row] = mean.get(row, 0) + weight / 8 * scaled
        for hits, expected in [(by_rank, ranks), (by_score, mean)]:
            found = [row for row in hits.rows[number] if row >= 0]
            assert len(found) == min(k, len(expected))
            np.testing.assert_allclose(
                hits.scores[number, : len(found)], sorted(expected.values(), reverse=True)[:k], atol=1e-6
            )
            np.testing.assert_allclose(
                hits.scores[number, : len(found)], [expected[row] for row in found], atol=1e-6
            )


def test_dense_and_bm25_together(store):
    queries = ["moon and tide", "bread"]

    hits = rrf.on(store).retrieve(queries, 4)

    arms = [chain.on(store).retrieve(queries, len(TEXTS)) for chain in (dense, bm25)]
    for line in range(len(queries)):
        expected = {}
        for found in arms:
            for place, row in enumerate(found.rows[line], start=1):
                if row >= 0:
                    expected[row] = expected.get(row, 0) + 1 / (60 + place)
        ordered = sorted(expected, key=lambda row: (-np.float32(expected[row]), row))
        assert hits.rows[line].tolist() == ordered[:4]
    assert list(hits.timings_ms) == ["load encoder", "encode", "exact", "bm25", "fuse"]
    assert hits.version == store.version
    assert hits[0][0].text == "a rising moon moves the tide"


def test_fusions_nest_and_their_timings_add_up(store):
    chain = weighted(rrf(arm({0: 1.0}), arm({1: 1.0})), arm({2: 5.0, 0: 1.0}))

    hits = chain.on(store).retrieve(["q"], 3)

    # The inner fusion gives 0 and 1 the same score: both count 1, halved; 2 leads its own arm: 1, halved.
    assert hits.rows.tolist() == [[0, 1, 2]]
    assert hits.scores.tolist() == [[0.5, 0.5, 0.5]]
    assert list(hits.timings_ms) == ["given", "fuse"]
    assert hits.timings_ms["given"] == 3.0


def test_prints_as_it_is_written():
    assert str(rrf) == str(rrf()) == str(rrf(dense, bm25)) == "rrf(dense, bm25)"
    assert str(rrf(k=10)) == "rrf(dense, bm25, k=10)"
    assert str(rrf(dense(candidates=200), bm25)) == "rrf(dense(candidates=200), bm25)"
    assert str(weighted(rrf, dense, weights=[1, 3], depth=50)) == (
        "weighted(rrf(dense, bm25), dense, depth=50, weights=(1.0, 3.0))"
    )
    assert str(weighted(weights=None, scale="z_score")) == (
        "weighted(dense, bm25, weights=None, scale='z_score')"
    )
    assert len({rrf, rrf(), rrf(dense, bm25), weighted, rrf(bm25, dense)}) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rrf(dense, "bm25"), "'bm25' cannot be an arm of rrf"),
        (lambda: rrf(k=-1), "k must be at least 0, got -1"),
        (lambda: rrf(k=1.5), "k must be a whole number, got 1.5"),
        (lambda: weighted(depth=0), "depth must be at least 1, got 0"),
        (lambda: weighted(weights=(1,)), "weights must be one number per arm, got 1 for 2 arms"),
        (lambda: weighted(weights=0.5), "weights must be one number per arm, got 0.5"),
        (lambda: weighted(weights="12"), "weights must be one number per arm, got '12'"),
        (lambda: weighted(weights=(1, -1)), "weights must not be negative, nor all 0, got (1.0, -1.0)"),
        (lambda: weighted(weights=(0, 0)), "weights must not be negative, nor all 0, got (0.0, 0.0)"),
        (lambda: weighted(scale="zscore"), "scale must be min_max or z_score, got 'zscore'"),
        (lambda: weighted(weights=(1, "2")), "a weight must be a finite number, got '2'"),
    ],
)
def test_parameters_are_checked(call, message):
    with pytest.raises(UsageError) as error:
        call()

    assert error.value.message == message


def test_requests_are_checked_before_any_arm_is_asked(store):
    one = arm({0: 1.0})

    with pytest.raises(UsageError, match="k must be at least 1, got 0"):
        rrf(one).on(store).retrieve(["q"], 0)
    with pytest.raises(UsageError, match="query 0 is empty"):
        rrf(one).on(store).retrieve([""], 3)
    assert one.asked == []


def test_anything_with_on_is_a_chain():
    assert isinstance(arm({}), Chain)
    assert all(isinstance(chain, Chain) for chain in (dense, bm25, rrf, weighted))


@pytest.mark.parametrize(
    "chain", ["rrf(dense, bm25, depth=5)", "weighted(dense, bm25, depth=5)", "router(depth=5)"]
)
def test_what_comes_first_does_not_depend_on_how_much_is_asked_for(make_store, chain):
    store = make_store(
        [f"a ship {'sails ' * (number % 5)}to port {number % 3} of {number}" for number in range(40)]
    )
    retriever = parse(chain).on(store)
    queries = ["ship to port 2", "sails of 7", "nothing of it"]
    few, many = retriever.retrieve(queries, 4), retriever.retrieve(queries, 30)
    np.testing.assert_array_equal(many.rows[:, :4], few.rows)
    np.testing.assert_array_equal(many.scores[:, :4], few.scores)
    for rows, scores in zip(many.rows, many.scores, strict=True):
        found = rows[rows >= 0]
        assert len(set(found.tolist())) == len(found) > 10
        assert (np.diff(scores[: len(found)]) <= 0).all()
