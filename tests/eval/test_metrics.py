from __future__ import annotations

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import UsageError
from eval.metrics import METRICS, cutoff, per_query

QRELS = {
    "graded": {"d1": 2, "d2": 1, "d3": 0},
    "deep": {"x": 1},
    "two hops": {"a": 1, "b": 1},
    "unanswered": {"d1": 1},
}
RUN = {
    "graded": [("d2", 3.0), ("d3", 2.0), ("d1", 1.0)],
    "deep": [(f"n{i}", 1.0) for i in range(10)] + [("x", 1.0)],
    "two hops": [("a", 1.0), ("n", 1.0), ("b", 1.0)],
    "not asked": [("d1", 1.0)],
}


def test_values_are_the_hand_computed_ones():
    values = per_query(METRICS, QRELS, RUN)
    assert list(values) == list(METRICS)
    assert all(list(of_query) == list(QRELS) for of_query in values.values())
    # Gain 1 at rank 1 and 2 at rank 3, over the best order of gains 2, 1.
    graded = (1 / log2(2) + 2 / log2(4)) / (2 / log2(2) + 1 / log2(3))
    two_hops = (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3))
    assert list(values["nDCG@10"].values()) == pytest.approx([graded, 0.0, two_hops, 0.0])
    assert list(values["Recall@5"].values()) == [1.0, 0.0, 1.0, 0.0]
    assert list(values["Recall@10"].values()) == [1.0, 0.0, 1.0, 0.0]
    assert list(values["Recall@100"].values()) == [1.0, 1.0, 1.0, 0.0]
    assert list(values["MRR@10"].values()) == [1.0, 0.0, 1.0, 0.0]
    assert list(values["AllGold@10"].values()) == [1.0, 0.0, 1.0, 0.0]


def test_all_gold_needs_every_relevant_document_and_ignores_those_judged_irrelevant():
    qrels = {"q": {"a": 1, "b": 2, "judged": 0}}
    assert per_query(["AllGold@2"], qrels, {"q": [("b", 2.0), ("a", 1.0)]}) == {"AllGold@2": {"q": 1.0}}
    assert per_query(["AllGold@2"], qrels, {"q": [("b", 2.0), ("n", 1.5), ("a", 1.0)]}) == {
        "AllGold@2": {"q": 0.0}
    }


def test_equal_scores_keep_the_order_of_the_run():
    # trec_eval alone would sort equal scores by descending id: z first.
    for order, expected in ((["a", "z"], 1.0), (["z", "a"], 0.5)):
        run = {"q": [(document, 7.0) for document in order]}
        assert per_query(["MRR@10"], {"q": {"a": 1}}, run) == {"MRR@10": {"q": expected}}


def test_an_empty_run_scores_zero_everywhere():
    for run in ({}, {"graded": []}):
        assert per_query(["nDCG@10", "MRR@10", "AllGold@10"], {"graded": {"d": 1}}, run) == {
            "nDCG@10": {"graded": 0.0},
            "MRR@10": {"graded": 0.0},
            "AllGold@10": {"graded": 0.0},
        }


def test_a_query_without_relevant_document_and_a_document_ranked_twice_are_errors():
    with pytest.raises(UsageError, match="query 'q' has no relevant document"):
        per_query(["MRR@10"], {"q": {"d": 0}}, {})
    with pytest.raises(UsageError, match="ranks a document twice for query 'q'"):
        per_query(["MRR@10"], {"q": {"d": 1}}, {"q": [("d", 2.0), ("d", 1.0)]})


@pytest.mark.parametrize("name", ["nDCG", "nDCG@", "nDCG@0", "nDCG@-1", "ndcg@10", "P@10", "AllGoldish@10"])
def test_an_unknown_metric_is_an_error(name):
    with pytest.raises(UsageError, match=f"'{name}' is not a metric"):
        per_query([name], {"q": {"d": 1}}, {})


def test_the_cutoff_is_the_number_behind_the_at_sign():
    assert [cutoff(metric) for metric in METRICS] == [10, 5, 10, 100, 10, 10]


@given(st.permutations([str(i) for i in range(12)]), st.sets(st.integers(0, 11), min_size=1))
def test_recall_and_all_gold_are_set_arithmetic(ranking, relevant):
    qrels = {"q": {str(i): 1 for i in relevant}}
    values = per_query(["Recall@5", "AllGold@5"], qrels, {"q": [(document, 0.0) for document in ranking]})
    found = len(qrels["q"].keys() & set(ranking[:5]))
    assert values["Recall@5"]["q"] == pytest.approx(found / len(relevant))
    assert values["AllGold@5"]["q"] == (found == len(relevant))
