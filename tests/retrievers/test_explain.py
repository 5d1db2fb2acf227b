from __future__ import annotations

import numpy as np
import pytest

from datastore import Hits
from retrievers import ChainHits, bm25, dense, neighbours, rerank, rrf, weighted
from retrievers.explain import Mark, common_spans, revised, total_ms

TEXTS = [
    "the tide rises",
    "bread and butter",
    "a rising moon moves the tide",
    "volcano",
    "tide tables",
    "moon bread",
]
QUERIES = ["moon and tide", "bread"]


@pytest.fixture
def store(make_store):
    return make_store(TEXTS)


@pytest.mark.parametrize("chain", [dense, bm25])
def test_a_retriever_explains_itself(store, chain):
    plain = chain.on(store).retrieve(QUERIES, 3)
    hits = chain.on(store).retrieve(QUERIES, 3, explain=True)

    assert not isinstance(plain, ChainHits)
    np.testing.assert_array_equal(hits.rows, plain.rows)
    np.testing.assert_array_equal(hits.scores, plain.scores)
    (stage,) = hits.stages
    assert stage.name == str(chain)
    assert stage.rows is hits.rows
    assert stage.timings_ms == hits.timings_ms
    assert stage.duration_ms == sum(hits.timings_ms.values())
    assert hits.explain(1)[0] == [Mark(str(chain), 1, hits.scores[1, 0])]


def test_every_stage_says_what_it_gave_each_hit(store, cross_encoder):
    last = rerank(model=str(cross_encoder), candidates=2)
    chain = weighted(dense, bm25) >> last
    hits = chain.on(store).retrieve(QUERIES, 4, explain=True)

    arms = [arm.on(store).retrieve(QUERIES, 6) for arm in (dense, bm25)]
    fused = weighted(dense, bm25).on(store).retrieve(QUERIES, 4)
    assert [stage.name for stage in hits.stages] == ["dense", "bm25", "weighted(dense, bm25)", str(last)]
    for line in range(len(QUERIES)):
        for row, marks in zip(hits.rows[line].tolist(), hits.explain(line), strict=True):
            for mark, found in zip(marks[:3], [*arms, fused], strict=True):
                places = np.flatnonzero(found.rows[line] == row)
                expected = (
                    (int(places[0]) + 1, float(found.scores[line, places[0]]))
                    if len(places)
                    else (None, None)
                )
                assert (mark.rank, mark.score) == expected
    # Two candidates were reranked; those behind have no score from it.
    assert [marks[3].rank for marks in hits.explain(0)] == [1, 2, None, None]
    assert [marks[3].score for marks in hits.explain(0)[:2]] == hits.scores[0, :2].tolist()


def test_every_stage_says_what_it_took_itself(store, cross_encoder):
    chain = rrf(dense, bm25) >> neighbours >> rerank(model=str(cross_encoder))

    hits = chain.on(store).retrieve(QUERIES, 4, explain=True)

    assert [list(stage.timings_ms) for stage in hits.stages] == [
        ["load encoder", "encode", "exact"],
        ["bm25"],
        ["fuse"],
        ["neighbours"],
        ["rerank"],
    ]
    assert hits.timings_ms == total_ms(stage.timings_ms for stage in hits.stages)


def test_without_being_asked_nothing_is_kept(store):
    assert rrf.on(store).retrieve(QUERIES, 4).stages == ()
    assert (rrf >> neighbours).on(store).retrieve(QUERIES, 4).stages == ()


def test_a_chain_that_asks_again_explains_each_query_by_its_last_answer(make_store):
    store = make_store(["start"])
    names = [("d", i) for i in range(8)] + [("e", 0), ("f", 0)]
    store.add(
        np.eye(256, dtype=np.float32)[:10],
        texts=[f"tide {'moon ' * (document == 'd')} {ordinal}" for document, ordinal in names],
        metadata=[{"document_id": document, "ordinal": ordinal} for document, ordinal in names],
    )
    queries = ["moon tide", "start"]

    hits = (bm25 >> neighbours).on(store).retrieve(queries, 3, explain=True)

    everything = bm25.on(store).retrieve(queries, 11)
    assert [stage.name for stage in hits.stages] == ["bm25", "neighbours"]
    np.testing.assert_array_equal(hits.stages[0].rows[0], everything.rows[0])
    np.testing.assert_array_equal(hits.stages[0].rows[1, :6], everything.rows[1, :6])
    assert [mark.rank for mark in hits.explain(0)[1]] == [9, 2]
    assert len(hits.explain(1)) == 1


def test_what_is_known_of_hits_stays_known(store):
    hits = dense.on(store).retrieve(QUERIES, 3, explain=True)

    shorter = revised(hits, rows=hits.rows[:, :1], scores=hits.scores[:, :1])

    assert shorter.stages == hits.stages
    assert shorter.route == hits.route
    assert shorter.explain(0) == hits.explain(0)[:1]


def test_spans_of_several_arms(store):
    plain = Hits(1, np.array([[1], [2]]), np.zeros((2, 1), np.float32), store)
    one, other = (
        revised(plain, spans=[{1: "one"}, {}]),
        revised(plain, spans=[{1: "two", 3: "three"}, {2: "x"}]),
    )

    assert common_spans([plain, plain]) == []
    assert common_spans([plain, one, other]) == [{1: "one", 3: "three"}, {2: "x"}]
