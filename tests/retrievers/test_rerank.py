from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from math import log

import numpy as np
import pytest

from datastore import NotFoundError, UsageError
from datastore.protocols import LogLikelihood
from retrievers import bm25, dense, parse, rerank, rerank_lm, rrf, weighted
from retrievers.rerank_lm import by_question, by_rubric

TEXTS = [
    "the tide rises",
    "bread and butter",
    "a rising moon moves the tide",
    "volcano tables",
    "tide tables in winter",
    "moon bread",
]
QUERIES = ["why do tides move with the moon", "how is bread made"]


class Overlap:
    """A language model that expects the words of the prompt: each is said with probability 1/2, any other with 1/8."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.asked = []

    def log_likelihoods(self, prompts, continuations):
        time.sleep(self.seconds)
        self.asked.append(len(prompts))
        found = []
        for prompt, continuation in zip(prompts, continuations, strict=True):
            known, words = set(prompt.split()), continuation.split()
            nats = sum(log(1 / 2) if word in known else log(1 / 8) for word in words)
            found.append(LogLikelihood(nats, len(words)))
        return found


@pytest.fixture
def store(make_store):
    return make_store(TEXTS, titles=["", "", "Physics", "", "", "Kitchen"])


def plain_scores(folder, query, texts):
    """The definition: sentence-transformers' own call."""
    import torch
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder)).predict(
        [(query, text) for text in texts], activation_fn=torch.nn.Identity()
    )


@pytest.fixture
def passages():
    """What a model is given for each row."""
    titled = {2: "Physics\n", 5: "Kitchen\n"}
    return [titled.get(row, "") + text for row, text in enumerate(TEXTS)]


def test_scores_are_those_of_a_plain_call(store, passages, cross_encoder):
    hits = (dense >> rerank(model=str(cross_encoder))).on(store).retrieve(QUERIES, 6)

    for line, query in enumerate(QUERIES):
        expected = plain_scores(cross_encoder, query, passages)
        assert hits.rows[line].tolist() == np.argsort(-expected, kind="stable").tolist()
        np.testing.assert_allclose(hits.scores[line], np.sort(expected)[::-1], atol=1e-5)
    assert hits.scored.tolist() == [6, 6]
    assert list(hits.timings_ms) == ["load encoder", "encode", "exact", "rerank"]
    assert hits.version == store.version
    assert hits[0][0].text == TEXTS[hits.rows[0, 0]]


def test_queries_do_not_depend_on_each_other(store, cross_encoder):
    retriever = (dense >> rerank(model=str(cross_encoder))).on(store)

    together = retriever.retrieve(QUERIES * 50, 6)

    for line, query in enumerate(QUERIES):
        alone = retriever.retrieve([query], 6)
        np.testing.assert_array_equal(together.rows[line::2], np.repeat(alone.rows, 50, axis=0))
        np.testing.assert_allclose(together.scores[line::2], np.repeat(alone.scores, 50, axis=0), atol=1e-5)


def test_threads_may_ask_at_once(store, cross_encoder):
    retriever = (dense >> rerank(model=str(cross_encoder))).on(store)
    alone = retriever.retrieve(QUERIES, 6)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: retriever.retrieve(QUERIES, 6), range(12)))

    assert all(hits.rows.tolist() == alone.rows.tolist() for hits in found)


def test_what_is_behind_the_candidates_keeps_its_order_behind_them(store, cross_encoder):
    before = dense.on(store).retrieve(QUERIES, 6).rows
    hits = (dense >> rerank(model=str(cross_encoder), candidates=3)).on(store).retrieve(QUERIES, 6)

    assert np.sort(hits.rows[:, :3]).tolist() == np.sort(before[:, :3]).tolist()
    assert hits.rows[:, 3:].tolist() == before[:, 3:].tolist()
    assert (np.diff(hits.scores, axis=1) < 0).all()
    assert (hits.scores[:, 2] - hits.scores[:, 5] < 1e-4).all()
    assert hits.scored.tolist() == [3, 3]
    assert hits.route == "exact: no index"


def test_more_candidates_than_hits_are_asked_for(store, cross_encoder):
    chain = rerank(model=str(cross_encoder), candidates=5)

    few = (bm25 >> chain).on(store).retrieve(QUERIES, 1)
    many = (bm25 >> chain).on(store).retrieve(QUERIES, 5)

    assert few.rows.tolist() == many.rows[:, :1].tolist()
    assert few.scored.tolist() == [1, 1]
    assert sorted(many.rows[1].tolist()) == [-1, -1, -1, 1, 5]


def test_a_fusion_ranks_by_what_the_reranker_says(store, cross_encoder):
    chain = dense >> rerank(model=str(cross_encoder))

    alone = chain.on(store).retrieve(QUERIES, 6)

    assert weighted(chain).on(store).retrieve(QUERIES, 6).rows.tolist() == alone.rows.tolist()
    assert rrf(chain, chain).on(store).retrieve(QUERIES, 6).rows.tolist() == alone.rows.tolist()


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_model_that_is_not_there(store, tmp_path, name):
    (tmp_path / "empty").mkdir()

    with pytest.raises(NotFoundError, match="cannot load the cross-encoder") as error:
        (dense >> rerank(model=str(tmp_path / name))).on(store)

    assert "hub name of a cross-encoder" in error.value.hint


def test_a_model_that_classifies_does_not_rank(store, tmp_path, cross_encoder):
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(cross_encoder, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(cross_encoder).save_pretrained(tmp_path)

    with pytest.raises(UsageError, match="gives 3 numbers for a pair, not one score"):
        (dense >> rerank(model=str(tmp_path))).on(store)


def test_questions_are_likelier_after_what_answers_them():
    scores = by_question(Overlap(), ["tide moon", "tide moon", "tide"], ["tide moon", "the tide", "bread"])

    np.testing.assert_allclose(scores, [log(1 / 2), log(1 / 4), log(1 / 8)], rtol=1e-6)


def test_the_rubric_gives_the_expected_rating():
    class Rates:
        """Says 3 and 10 half the time each to good passages, 1 to others; anything else hardly ever."""

        def log_likelihoods(self, prompts, continuations):
            found = []
            for prompt, continuation in zip(prompts, continuations, strict=True):
                assert prompt.endswith("\n\nRating:")
                assert "Question: why?\n\nPassage: " in prompt
                probability = {"3": 0.5, "10": 0.5} if "good" in prompt else {"1": 1.0}
                found.append(LogLikelihood(log(probability.get(continuation.strip(), 1e-12)), 2))
            return found

    scores = by_rubric(Rates(), ["why?", "why?"], ["a good one", "another"])

    np.testing.assert_allclose(scores, [6.5, 1.0], rtol=1e-6)


def test_a_rating_of_10_is_no_1():
    """Tokenizers that write a digit a token make every 10 begin like a 1."""

    class Digits:
        def log_likelihoods(self, prompts, continuations):
            tokens = {" ": 1.0, "1": 0.9, "0": 0.8}
            return [
                LogLikelihood(
                    sum(log(tokens.get(letter, 1e-9)) for letter in continuation), len(continuation)
                )
                for prompt, continuation in zip(prompts, continuations, strict=True)
            ]

    # 0: .8, 10: .9 x .8, 1: .9 without the 10
    expected = (0.18 * 1 + 0.72 * 10) / (0.8 + 0.18 + 0.72)
    np.testing.assert_allclose(by_rubric(Digits(), ["q"], ["p"]), [expected], rtol=1e-6)


def test_a_language_model_ranks(store, passages):
    hits = (bm25 >> rerank_lm(model=Overlap())).on(store).retrieve(["tide winter"], 6)

    # Both words; one word, whichever row comes first.
    assert hits.rows[0].tolist() == [4, 0, 2, -1, -1, -1]
    np.testing.assert_allclose(hits.scores[0, :3], [log(1 / 2), log(1 / 4), log(1 / 4)], rtol=1e-6)


def test_when_time_is_up_the_rest_keeps_its_place(make_store):
    texts = [f"passage {'question ' * (i % 3)}" for i in range(50)]
    store = make_store(texts)
    first = dense.on(store).retrieve(["passage question"], 50).rows[0]
    model = Overlap(seconds=0.05)
    chain = dense >> rerank_lm(model=model, candidates=40, budget_s=0.01)

    hits = chain.on(store).retrieve(["passage question"], 50)

    assert model.asked == [16]
    assert hits.scored.tolist() == [16]
    assert sorted(hits.rows[0, :16].tolist()) == sorted(first[:16].tolist())
    assert hits.rows[0, 16:].tolist() == first[16:].tolist()
    assert (np.diff(hits.scores[0, 15:]) < 0).all()
    assert hits.route == (
        "exact: no index; rerank_lm ran out of time for 1 of 1 queries, at the least after 16 of 40 candidates"
    )


def test_time_that_is_enough_changes_nothing(make_store):
    texts = [f"passage {'question ' * (i % 3)}" for i in range(50)]
    retrievers = [
        (dense >> rerank_lm(model=Overlap(), candidates=40, budget_s=budget_s)).on(make_store(texts))
        for budget_s in (None, 100)
    ]

    one, other = (retriever.retrieve(["passage question", "what"], 45) for retriever in retrievers)

    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.scored.tolist() == other.scored.tolist() == [40, 40]
    assert one.route == other.route == "exact: no index"


def test_a_budget_is_per_query(make_store):
    store = make_store([f"passage {i}" for i in range(40)])
    model = Overlap(seconds=0.3)
    chain = dense >> rerank_lm(model=model, candidates=40, budget_s=0.25)

    hits = chain.on(store).retrieve(["passage"] * 6, 40)

    # One query would be out of time after its first step; six have 1.5 s together for three.
    assert model.asked == [96, 96, 48]
    assert hits.scored.tolist() == [40] * 6


def test_a_fusion_says_that_an_arm_ran_out_of_time(make_store):
    store = make_store([f"passage {i}" for i in range(40)])
    slow = dense >> rerank_lm(model=Overlap(seconds=0.02), candidates=40, budget_s=0.001)

    assert "rerank_lm ran out of time" in rrf(slow, bm25).on(store).retrieve(["passage"], 5).route


def test_a_chain_with_a_language_model_prints_its_name(store):
    class Named(Overlap):
        class fingerprint:  # noqa: N801 (stands for an attribute)
            model = "some/model"

    chain = dense >> rerank_lm(model=Named(), by="rubric")

    assert str(chain) == "dense >> rerank_lm(model='some/model', by='rubric')"
    assert str(rerank_lm(model=Overlap())) == "rerank_lm(model='Overlap')"
    assert parse(str(chain)) == chain
    with pytest.raises(UsageError) as error:
        parse(str(chain)).on(store)
    assert error.value.message == (
        "rerank_lm(model='some/model', by='rubric') has only the name of its language model"
    )
    assert "parse(text, language_models={'some/model': …})" in error.value.hint

    given = parse(f"rrf({chain}, bm25)", language_models={"some/model": Named(), "other": Overlap()})
    assert given.on(store).retrieve(["tide"], 2).rows.shape == (1, 2)


def test_prints_as_it_is_written():
    assert str(dense >> rerank) == "dense >> rerank"
    assert str(rerank(model="x", candidates=50, budget_s=2)) == "rerank(model='x', budget_s=2.0)"
    assert str(rrf(dense >> rerank(candidates=9), bm25)) == "rrf(dense >> rerank(candidates=9), bm25)"
    assert len({rerank, rerank(), rerank(candidates=9), rerank_lm}) == 3
