from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.errors import CompendiaError, UsageError
from datastore.protocols import LogLikelihood
from eval import llm
from eval.engines import EngineConfig, load_engine
from eval.tasks import pubmedqa
from eval.tasks.pubmedqa import Question
from retrievers import bm25, dense

QUESTIONS = [
    Question(
        "1", "Do leaves fall in autumn?", "Leaves fall in autumn, we counted.", "Leaves do fall.", "yes"
    ),
    Question("2", "Is snow warm?", "Snow was measured and is cold.", "Snow is not warm.", "no"),
    Question("3", "May birds sing?", "Some birds sing at dawn.", "Birds may sing, some of them.", "maybe"),
]
OTHERS = ["Stones do not swim.", "Rivers run downhill."]


@pytest.fixture(scope="module")
def engine(tiny_model):
    return load_engine(EngineConfig(model=str(tiny_model), dtype="float32", device="cpu"))


@pytest.fixture
def store(make_store):
    return make_store(
        [question.abstract for question in QUESTIONS] + OTHERS, ids=["1", "2", "elsewhere", "4", "5"]
    )


def test_every_arm_asks_what_its_name_says(engine, store):
    report = llm.evaluate(QUESTIONS, engine, store, bm25, passages=2)
    assert [arm.arm for arm in report.arms] == ["closed", "retrieved", "gold", "wrong"]
    shown = {(record.arm, record.question): record.passages for record in report.records}
    assert [shown["closed", q.id] for q in QUESTIONS] == [()] * 3
    assert [shown["gold", q.id] for q in QUESTIONS] == [("1",), ("2",), ("3",)]
    wrong = [shown["wrong", q.id][0] for q in QUESTIONS]
    assert sorted(wrong) == ["1", "2", "3"]
    assert all(other != q.id for other, q in zip(wrong, QUESTIONS, strict=True))
    hits = bm25.on(store).retrieve([q.text for q in QUESTIONS], 2)
    assert [shown["retrieved", q.id] for q in QUESTIONS] == [
        tuple(h.document_id for h in some) for some in hits
    ]
    assert report.gold_retrieved == pytest.approx(2 / 3)  # the third abstract has another id in the store


def test_values_are_those_of_the_engine(engine, store):
    report = llm.evaluate(QUESTIONS, engine, store, dense)
    prompts = [pubmedqa.prompt(q, [q.abstract]) for q in QUESTIONS]
    references = engine.log_likelihoods(prompts, [f" {q.long_answer}" for q in QUESTIONS])
    gold = report.arms[2]
    assert gold.perplexity.value == pytest.approx(
        math.exp(-sum(r.nats for r in references) / sum(r.tokens for r in references)), rel=1e-4
    )
    right = 0
    for question, prompt, record in zip(QUESTIONS, prompts, report.records[6:9], strict=True):
        choices = [score.nats for score in engine.log_likelihoods([prompt] * 3, [" yes", " no", " maybe"])]
        assert list(record.choices_nats.values()) == pytest.approx(choices, abs=1e-3)
        assert record.prediction == ("yes", "no", "maybe")[choices.index(max(choices))]
        right += record.prediction == question.answer
    assert gold.accuracy.value == pytest.approx(right / 3)
    assert gold.perplexity_difference.value == pytest.approx(
        gold.perplexity.value - report.arms[0].perplexity.value
    )


def test_the_json_has_exactly_the_keys_of_its_schema(engine, store):
    seen = []
    report = llm.evaluate(QUESTIONS, engine, store, dense, seed=5, on_arm=seen.append)
    assert tuple(seen) == report.arms
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["schema"] == "compendia.eval.llm/1"
    assert list(data) == [
        "schema", "task", "questions", "engine", "store", "retriever", "passages", "seed", "resamples", "arms",
        "gold_retrieved",
    ]  # fmt: skip
    assert (data["task"], data["questions"], data["retriever"]) == ("pubmedqa", 3, "dense")
    assert data["engine"] == engine.fingerprint.model_dump()
    closed, retrieved, *_ = data["arms"]
    assert list(closed) == ["arm", "accuracy", "perplexity", "difference", "seconds"]
    assert closed["difference"] is None
    assert list(retrieved["perplexity"]) == ["value", "low", "high"]
    assert {name: list(value) for name, value in retrieved["difference"].items()} == {
        "accuracy": ["value", "low", "high", "p_value"],
        "perplexity": ["value", "low", "high", "p_value"],
    }
    records = [json.loads(json.dumps(record.to_json())) for record in report.records]
    assert len(records) == 12
    assert list(records[0]) == [
        "arm", "question", "prompt_hash", "passages", "nll_nats", "tokens", "choices_nats", "prediction", "answer",
    ]  # fmt: skip
    assert len({record["prompt_hash"] for record in records if record["arm"] == "gold"}) == 3


def test_equal_seeds_give_equal_reports(engine, store):
    first, second = (llm.evaluate(QUESTIONS, engine, store, dense, seed=2) for _ in range(2))
    assert first.records == second.records
    assert [replace(arm, seconds=0.0) for arm in first.arms] == [
        replace(arm, seconds=0.0) for arm in second.arms
    ]


def test_equal_choices_go_to_the_first():
    scores = [LogLikelihood(-2.0, 1), LogLikelihood(-1.0, 1), LogLikelihood(-1.0, 1)]
    record = llm._record("closed", QUESTIONS[0], "prompt", [], scores, LogLikelihood(-9.0, 4))
    assert (record.prediction, record.nll_nats, record.tokens) == ("no", 9.0, 4)


def test_arms_over_other_tokens_cannot_be_compared():
    scores = [LogLikelihood(-1.0, 1)] * 3
    some, other = (
        llm._record("gold", QUESTIONS[0], "prompt", [], scores, LogLikelihood(-9.0, tokens))
        for tokens in (4, 5)
    )
    llm._check_same_questions([some], [some])
    with pytest.raises(CompendiaError, match="arm gold scores 5 tokens of question 1, arm gold 4 of 1"):
        llm._check_same_questions([some], [other])


def test_what_cannot_be_evaluated_is_an_error(engine, store):
    with pytest.raises(UsageError, match="at least two questions, got 1"):
        llm.evaluate(QUESTIONS[:1], engine, store, dense)
    with pytest.raises(UsageError, match="a question is there twice"):
        llm.evaluate([*QUESTIONS, QUESTIONS[0]], engine, store, dense)
    long = replace(QUESTIONS[0], abstract="many words " * 200)
    with pytest.raises(UsageError, match=r"\+ \d+ tokens .* has 512"):
        llm.evaluate([long, *QUESTIONS[1:]], engine, store, dense)


@given(st.integers(2, 60), st.integers(0, 2**32))
def test_a_derangement_moves_everything_and_loses_nothing(n, seed):
    order = llm.derangement(n, seed)
    assert sorted(order) == list(range(n))
    assert all(position != other for position, other in enumerate(order))
    assert order == llm.derangement(n, seed)


@pytest.mark.slow
def test_a_real_model_reads_the_right_abstract_better_than_a_wrong_one(offline_engine, make_store, test_data):
    questions = pubmedqa.sample(pubmedqa.read(test_data / "pubmedqa"), 8, seed=0)
    store = make_store(
        [question.abstract for question in questions], ids=[question.id for question in questions]
    )
    report = llm.evaluate(questions, offline_engine, store, bm25, passages=1)
    closed, retrieved, gold, wrong = (arm.perplexity.value for arm in report.arms)
    assert gold < 0.75 * closed
    assert gold < 0.75 * wrong
    assert report.gold_retrieved == 1.0
    assert retrieved == pytest.approx(gold, rel=0.02)
