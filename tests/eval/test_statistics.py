from __future__ import annotations

import math

import numpy as np
import pytest

from datastore.errors import UsageError
from eval import statistics
from eval.statistics import Losses, interval, paired_difference, perplexity, perplexity_difference


def test_a_95_percent_interval_covers_the_mean_about_95_times_in_100():
    rng = np.random.default_rng(1)
    draws = [interval(rng.exponential(2.0, 150), seed=i, resamples=1000) for i in range(400)]
    covered = np.mean([estimate.low <= 2.0 <= estimate.high for estimate in draws])
    assert 0.92 <= covered <= 0.98


def test_the_interval_of_two_values_is_the_hand_computed_one():
    # The mean of two draws from {0, 1} is 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    assert interval([0.0, 1.0]) == (0.5, 0.0, 1.0)
    assert interval([0.0, 1.0], level=0.4) == (0.5, 0.5, 0.5)


def test_the_interval_matches_the_normal_approximation_for_many_values():
    values = np.random.default_rng(2).normal(5.0, 3.0, 2000)
    error = values.std() / math.sqrt(2000)
    estimate = interval(values)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_equal_seeds_give_equal_numbers_and_other_seeds_others():
    values = np.random.default_rng(3).random(50)
    assert interval(values, seed=4) == interval(values, seed=4)
    assert interval(values, seed=4) != interval(values, seed=5)
    assert paired_difference(values, values[::-1] ** 2, seed=4) == paired_difference(
        values, values[::-1] ** 2, seed=4
    )


def test_memory_blocks_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(6).random(30)
    whole = interval(values), paired_difference(values, values**2)
    monkeypatch.setattr(statistics, "_BLOCK_DRAWS", 1000)
    assert (interval(values), paired_difference(values, values**2)) == whole


@pytest.mark.parametrize("n", [1, 2, 3, 17, 100, 501])
def test_identical_arms_differ_by_exactly_nothing(n):
    values = np.random.default_rng(7).random(n)
    losses = Losses(values * 100, np.arange(n) + 1)
    for difference in (paired_difference(values, values), perplexity_difference(losses, losses)):
        assert (difference.value, difference.p_value) == (0.0, 1.0)
        assert n == 1 or (difference.low, difference.high) == (0.0, 0.0)


def test_a_constant_difference_has_no_width():
    difference = paired_difference([1.5, 2.5, 3.5, 4.5], [1.0, 2.0, 3.0, 4.0])
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_p_value_is_the_share_of_swaps_as_extreme():
    # Of the 8 ways to sign three equal differences, 2 are as extreme; of the 4 for 3 and 1: all + and all -.
    assert paired_difference([1, 1, 1], [0, 0, 0]).p_value == pytest.approx(2 / 8, abs=0.015)
    assert paired_difference([3, 1], [0, 0]).p_value == pytest.approx(2 / 4, abs=0.015)
    # The sign does not matter, and the difference as observed is one of the swaps.
    assert paired_difference([0, 0, 0], [1, 1, 1]).p_value == paired_difference([1, 1, 1], [0, 0, 0]).p_value
    assert paired_difference(np.ones(60), np.zeros(60)).p_value == 1 / 10_001


def test_the_p_value_is_uniform_when_the_arms_do_not_differ():
    rng = np.random.default_rng(8)
    p_values = [
        paired_difference(rng.random(40), rng.random(40), seed=i, resamples=500).p_value for i in range(300)
    ]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_perplexity_weighs_questions_by_their_tokens():
    estimate = perplexity(Losses([2.0, 4.0], [2, 1]))
    assert estimate.value == pytest.approx(math.exp(6 / 3))
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(1.0), math.exp(4.0)))


def test_perplexities_are_compared_on_the_same_draws():
    # Each question gets cheaper by the same factor: whatever is drawn, log perplexity falls by exactly 1.
    tokens = np.array([3.0, 5.0, 9.0, 2.0])
    closed, gold = Losses(2 * tokens, tokens), Losses(tokens, tokens)
    difference = perplexity_difference(gold, closed)
    expected = math.e - math.e**2
    assert (difference.value, difference.low, difference.high) == pytest.approx((expected,) * 3)


def test_clusters_are_drawn_whole():
    values = np.random.default_rng(9).random(20)
    other = values + np.random.default_rng(10).normal(0.05, 0.3, 20)
    twice, names = np.repeat(values, 2), [f"cluster {i}" for i in np.repeat(np.arange(20), 2)]
    assert interval(twice, clusters=names) == pytest.approx(interval(values))
    assert paired_difference(twice, np.repeat(other, 2), clusters=names) == pytest.approx(
        paired_difference(values, other)
    )
    # A copy of every question is no new evidence.
    alone = paired_difference(twice, np.repeat(other, 2)).p_value
    assert paired_difference(twice, np.repeat(other, 2), clusters=names).p_value > 1.3 * alone > 0.001
    width = np.ptp(interval(twice)[1:])
    assert np.ptp(interval(twice, clusters=names)[1:]) > 1.2 * width


def test_the_mean_is_over_questions_not_over_clusters():
    assert interval([1.0, 1.0, 1.0, 0.0], clusters=["a", "a", "a", "b"]).value == 0.75


def test_one_question_has_no_interval_and_its_json_no_nan():
    estimate = interval([0.25])
    assert estimate.value == 0.25
    assert np.isnan(estimate.low)
    assert np.isnan(estimate.high)
    assert estimate.to_json() == {"value": 0.25, "low": None, "high": None}
    assert paired_difference([1.0], [0.0]).to_json() == {
        "value": 1.0,
        "low": None,
        "high": None,
        "p_value": 1.0,
    }
    assert np.isnan(interval([0.0, 1.0], clusters=["same", "same"]).low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval([]), "at least one"),
        (lambda: interval([[1.0]]), "one number a question"),
        (lambda: interval([1.0, math.nan]), "not finite"),
        (lambda: paired_difference([1.0, 2.0], [math.inf, 1.0]), "not finite"),
        (lambda: paired_difference([1.0, 2.0], [1.0]), "2 and 1 questions: they cannot be paired"),
        (lambda: interval([1.0, 2.0], clusters=["a"]), "a cluster for each of 2 questions, got 1"),
        (lambda: perplexity(Losses([1.0], [0])), "no token"),
        (lambda: perplexity(Losses([1.0, 2.0], [1])), "one number a question"),
    ],
)
def test_input_that_means_nothing_is_an_error(call, message):
    with pytest.raises(UsageError, match=message):
        call()
