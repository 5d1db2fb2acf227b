from __future__ import annotations

import numpy as np
import pytest

from datastore import Hits, UsageError
from datastore.decontamination import DecontaminationConfig, build_matcher
from datastore.hits import rank
from retrievers import Chain, bm25, dense, neighbours, parse, rrf
from retrievers.decontaminate import Removal, decontaminated

QUESTION = "Which of the seven lakes near the old village is the first to freeze over in a cold winter?"
LEAK = f"Quiz night, again. {QUESTION} The deep one!"
TEXTS = [LEAK if i in (0, 1, 4) else f"Passage {i} about lakes, winter and villages." for i in range(12)]


class Given:
    """A chain that ranks rows in a given order, and may have no more than `limit`."""

    def __init__(self, order, limit=None):
        self.order, self.limit = order, limit
        self.asked = []

    def on(self, store):
        self.store = store
        return self

    def retrieve(self, queries, k, where=None, explain=False):  # noqa: ARG002 (as any retriever)
        self.asked.append((len(queries), k, where))
        if self.limit is not None and k > self.limit:
            raise UsageError("too many")
        rows = np.array([self.order] * len(queries))
        scores = np.tile(-np.arange(rows.shape[1], dtype=np.float32), (len(queries), 1))
        return Hits(self.store.version, *rank(rows, scores, k), self.store, {"given": 1.0}, "as given")


@pytest.fixture
def store(make_store):
    return make_store(TEXTS, metadata=[{"even": i % 2 == 0} for i in range(len(TEXTS))])


def test_hits_that_hold_the_question_are_replaced_by_the_next(store):
    arm = Given(range(12))

    hits = decontaminated(arm).on(store).retrieve([QUESTION], 4)

    assert hits.rows.tolist() == [[2, 3, 5, 6]]
    assert hits.scores.tolist() == [[-2.0, -3.0, -5.0, -6.0]]
    assert arm.asked == [(1, 4, None), (1, 8, None)]
    assert [hit.text for hit in hits[0]] == [TEXTS[i] for i in (2, 3, 5, 6)]
    assert hits.timings_ms["given"] == 2.0
    assert list(hits.timings_ms) == ["given", "decontaminate"]
    assert hits.route == "as given"


def test_what_was_removed_is_explained(store):
    hits = decontaminated(Given(range(12))).on(store).retrieve([QUESTION, "lakes"], 2)

    assert hits.rows.tolist() == [[2, 3], [0, 1]]
    span = QUESTION.rstrip("?")
    assert hits.removed == (
        (Removal("test/0#0", "", "", span, 19, 19.0), Removal("test/1#0", "", "", span, 19, 19.0)),
        (),
    )


def test_only_the_queries_that_lack_hits_are_asked_again(store):
    arm = Given([2, 0, 1, 4, 3, 5, 6, 7, 8, 9, 10, 11])

    hits = decontaminated(arm).on(store).retrieve(["frozen lakes", QUESTION, "villages"], 3)

    assert hits.rows.tolist() == [[2, 0, 1], [2, 3, 5], [2, 0, 1]]
    assert arm.asked == [(3, 3, None), (1, 6, None)]


def test_a_store_may_have_fewer_clean_hits_than_asked_for(store):
    arm = Given(range(12))

    hits = decontaminated(arm).on(store).retrieve([QUESTION], 10)

    assert hits.rows.tolist() == [[2, 3, 5, 6, 7, 8, 9, 10, 11, -1]]
    assert np.isneginf(hits.scores[0, -1])
    assert arm.asked == [(1, 10, None), (1, 12, None)]
    assert len(hits.removed[0]) == 3


def test_few_hits_of_a_filter_are_the_end(store):
    hits = decontaminated.on(store).retrieve([QUESTION], 5, "even AND ordinal = 0")

    assert sorted(hits.rows[0].tolist()) == [-1, 2, 6, 8, 10]
    everything = decontaminated.on(store).retrieve([QUESTION], 12, "even")
    assert set(everything.rows[0][everything.rows[0] >= 0].tolist()) == {2, 6, 8, 10}


def test_a_chain_with_a_limit_gives_what_it_has(store):
    hits = decontaminated(Given(range(12), limit=4)).on(store).retrieve([QUESTION], 4)

    assert hits.rows.tolist() == [[2, 3, -1, -1]]
    with pytest.raises(UsageError, match="too many"):
        decontaminated(Given(range(12), limit=4)).on(store).retrieve([QUESTION], 5)


def test_clean_queries_get_what_the_chain_gives(store):
    queries = ["winter", "village lakes", "too short to be a question"]

    for chain in (dense, bm25, rrf):
        plain, clean = (c.on(store).retrieve(queries, 5) for c in (chain, decontaminated(chain)))
        np.testing.assert_array_equal(plain.rows, clean.rows)
        np.testing.assert_array_equal(plain.scores, clean.scores)
        assert clean.removed == ((), (), ())


def test_real_chains_lose_the_leaks_alone(store):
    for chain in (dense, bm25, rrf, rrf(decontaminated(dense), decontaminated(bm25))):
        chain = decontaminated(chain)  # noqa: PLW2901 (the same, decontaminated)
        hits = chain.on(store).retrieve([QUESTION], 12)
        assert sorted(hits.rows[0].tolist()) == [-1, -1, -1, 2, 3, 5, 6, 7, 8, 9, 10, 11]


def test_the_rule_is_the_chains(store):
    def rows(store, **parameters):
        return decontaminated(Given([0, 1, 2]), **parameters).on(store).retrieve([QUESTION], 3).rows.tolist()

    assert rows(store) == [[2, -1, -1]]
    assert rows(store, rule="jaccard") == [[0, 1, 2]]  # 7 of 13 13-grams: .5385
    assert rows(store, rule="jaccard", max_jaccard=0.53) == [[2, -1, -1]]
    assert rows(store, ngram_words=20, min_question_words=20) == [[0, 1, 2]]


def test_saved_questions_hold_for_every_query(store, tmp_path):
    build_matcher([("lakes", "17", QUESTION)], DecontaminationConfig()).save(tmp_path / "saved")
    chain = decontaminated(Given(range(12)), questions=str(tmp_path / "saved"))

    hits = chain.on(store).retrieve(["frozen"], 2)

    assert hits.rows.tolist() == [[2, 3]]
    assert [(removal.task, removal.item) for removal in hits.removed[0]] == [("lakes", "17")] * 2


def test_a_store_that_moves_on_during_every_search_is_an_error(store):
    arm = Given(range(12))
    retriever = decontaminated(arm).on(store)

    class Moving:
        def __init__(self):
            self.version = 0

        def __getattr__(self, name):
            return getattr(store, name)

        def read_hits(self, rows, scores):
            self.version += 1
            return store.read_hits(rows, scores)

    arm.store = Moving()
    with pytest.raises(UsageError, match="the store moves on during every search"):
        retriever.retrieve([QUESTION], 4)


def test_prints_and_parses():
    assert str(decontaminated) == str(decontaminated(dense)) == "decontaminated(dense)"
    chain = decontaminated(rrf(dense(candidates=200), bm25), rule="jaccard", max_jaccard=0.5)
    assert str(chain) == "decontaminated(rrf(dense(candidates=200), bm25), rule='jaccard', max_jaccard=0.5)"
    assert parse(str(chain)) == chain
    assert parse("decontaminated") == parse("decontaminated()") == decontaminated
    assert parse("rrf(decontaminated(dense), bm25)") == rrf(decontaminated, bm25)
    assert parse("decontaminated(dense, questions='work/q')") == decontaminated(questions="work/q")
    assert hash(decontaminated(max_jaccard=0)) == hash(decontaminated(max_jaccard=0.0))
    assert isinstance(decontaminated, Chain)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decontaminated(dense, bm25), "decontaminated takes one retriever, got dense, bm25"),
        (lambda: decontaminated("dense"), "decontaminated takes one retriever, got 'dense'"),
        (lambda: decontaminated(rule="most"), "rule='most' cannot be: Input should be 'any', "),
        (lambda: decontaminated(ngram_words=1), "ngram_words=1 cannot be: "),
        (lambda: decontaminated(ngram_words="13"), "ngram_words='13' cannot be: "),
        (lambda: decontaminated(rule="longest_run", min_run_words=5), "rule='longest_run' cannot be: "),
        (lambda: decontaminated(questions=5), "questions must be the name of a folder, got 5"),
        (lambda: decontaminated(questions="q", rule="jaccard"), "saved questions have their own rule"),
    ],
)
def test_parameters_are_checked(call, message):
    with pytest.raises(UsageError) as error:
        call()

    assert error.value.message.startswith(message)


def test_a_leak_in_a_neighbour_counts(make_store):
    store = make_store(["start"])
    store.add(
        np.eye(256, dtype=np.float32)[:3],
        ids=["before", "leak", "other"],
        texts=["About lakes.", LEAK, "Villages."],
        metadata=[{"document_id": "d", "ordinal": 0}, {"document_id": "d", "ordinal": 1}, {}],
    )
    arm = Given([1, 3, 0])

    alone = decontaminated(arm).on(store).retrieve([QUESTION], 2)
    together = decontaminated(arm >> neighbours).on(store).retrieve([QUESTION], 2)

    assert alone.rows.tolist() == [[1, 3]]
    assert together.rows.tolist() == [[3, 0]]
    assert [removal.passage_id for removal in together.removed[0]] == ["before"]


def test_spans_and_removals_go_along(make_store):
    store = make_store(["start"])
    store.add(
        np.eye(256, dtype=np.float32)[:3],
        texts=["About lakes.", "More lakes.", LEAK],
        metadata=[{"document_id": "d", "ordinal": 0}, {"document_id": "d", "ordinal": 1}, {}],
    )
    arm = Given([3, 1, 0])

    inside = decontaminated(arm >> neighbours).on(store).retrieve([QUESTION], 2)
    outside = (decontaminated(arm) >> neighbours).on(store).retrieve([QUESTION], 2)

    for hits in (inside, outside):
        assert [hit.text for hit in hits[0]] == ["About lakes.\n\nMore lakes.", "start"]
        assert len(hits.removed[0]) == 1
