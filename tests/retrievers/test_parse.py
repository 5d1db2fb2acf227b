from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import retrievers
from datastore import UsageError
from retrievers import (
    Chain,
    bm25,
    decontaminated,
    dense,
    neighbours,
    parse,
    rerank,
    rerank_lm,
    router,
    rrf,
    weighted,
)
from retrievers.parse import CHAINS, SELECTORS

KNOWN_CHAINS = f"known: {', '.join(sorted(CHAINS))}"
KNOWN_SELECTORS = f"known: {', '.join(sorted(SELECTORS))}"

positive = st.floats(min_value=1e-6, max_value=1e6)
leaves = st.one_of(
    st.builds(dense, candidates=st.none() | st.integers(1, 10**6)),
    st.builds(
        bm25,
        k1=positive,
        b=st.floats(0, 1),
        language=st.sampled_from([None, "english", "german", "porter"]),
    ),
)


budgets = st.none() | positive
selectors = st.one_of(
    st.builds(rerank, model=st.text(min_size=1), candidates=st.integers(1, 10**6), budget_s=budgets),
    st.builds(
        rerank_lm,
        model=st.text(min_size=1),
        candidates=st.integers(1, 10**6),
        budget_s=budgets,
        by=st.sampled_from(["question", "rubric"]),
    ),
    st.builds(neighbours, before=st.integers(0, 9), after=st.integers(0, 9)),
)


@st.composite
def composed(draw, arms):
    kind = draw(st.sampled_from(["fusion", "selection", "decontaminated"]))
    if kind == "selection":
        return draw(arms) >> draw(selectors)
    return decontaminated(draw(arms)) if kind == "decontaminated" else draw(fusions(arms))


@st.composite
def fusions(draw, arms):
    chosen = draw(st.lists(arms, min_size=1, max_size=3))
    depth = draw(st.integers(1, 1000))
    if draw(st.booleans()):
        return rrf(*chosen, k=draw(st.integers(0, 1000)), depth=depth)
    if draw(st.booleans()):
        return router(*chosen, trained=draw(st.booleans()), depth=depth)
    weights = draw(
        st.none() | st.just("gap") | st.lists(positive, min_size=len(chosen), max_size=len(chosen))
    )
    scale = draw(st.sampled_from(["min_max", "z_score"]))
    return weighted(*chosen, weights=weights, scale=scale, depth=depth)


chains = st.recursive(leaves, composed, max_leaves=6)


@given(chains)
def test_what_prints_parses_back(chain):
    assert parse(str(chain)) == chain
    assert hash(parse(str(chain))) == hash(chain)
    assert str(parse(str(chain))) == str(chain)


@given(chains)
def test_chains_survive_pickling(chain):
    assert pickle.loads(pickle.dumps(chain)) == chain


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("dense", dense),
        (" bm25() ", bm25),
        ("rrf", rrf(dense, bm25)),
        ("rrf(dense(candidates=200), bm25)", rrf(dense(candidates=200), bm25)),
        (
            'weighted(bm25(language="german"), dense, weights=[1, 2.5])',
            weighted(bm25(language="german"), dense, weights=(1, 2.5)),
        ),
        (
            "rrf(\n  dense,\n  weighted(dense, bm25, depth=10),\n)",
            rrf(dense, weighted(dense, bm25, depth=10)),
        ),
        ("bm25(language=None, b=0.5)", bm25(language=None, b=0.5)),
        ("dense >> rerank", dense >> rerank),
        ("dense>>rerank()", dense >> rerank),
        (
            'weighted(dense, bm25) >> rerank(model="x/y", candidates=50)',
            weighted(dense, bm25) >> rerank(model="x/y"),
        ),
        ("rrf(dense >> rerank(budget_s=1), bm25)", rrf(dense >> rerank(budget_s=1), bm25)),
        (
            "dense >> neighbours(before=0) >> rerank_lm(model='a')",
            (dense >> neighbours(before=0)) >> rerank_lm(model="a"),
        ),
        (
            "decontaminated(bm25 >> neighbours) >> rerank",
            decontaminated(bm25 >> neighbours) >> rerank,
        ),
    ],
)
def test_text_and_python_mean_the_same(text, chain):
    assert parse(text) == chain


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "bm52",
            "there is no retriever 'bm52'",
            f'did you mean "bm25"? {KNOWN_CHAINS}',
        ),
        ("zzz", "there is no retriever 'zzz'", KNOWN_CHAINS),
        (
            "rrf(dence, bm25)",
            "there is no retriever 'dence'",
            f'did you mean "dense"? {KNOWN_CHAINS}',
        ),
        (
            "dense(candidate=9)",
            "dense has no parameter 'candidate'",
            'did you mean "candidates"? known: candidates, recall, vectors',
        ),
        ("rrf(bm25, c=9)", "rrf has no parameter 'c'", "known: depth, k"),
        ("dense(200)", "dense takes its parameters by name, got 200", "known: candidates, recall, vectors"),
        ("dense(bm25)", "dense takes its parameters by name, got bm25", "known: candidates, recall, vectors"),
        (
            "rrf(dense, 60)",
            "60 is not a retriever",
            KNOWN_CHAINS,
        ),
        (
            "rrf(*arms)",
            "*arms is not a retriever",
            KNOWN_CHAINS,
        ),
        ("rrf(**all)", "rrf takes its parameters one by one, not as **all", "known: depth, k"),
        ("dense(candidates=1, candidates=2)", "dense is given candidates twice", None),
        ("dense(candidates=2*100)", "2 * 100 is not a value", "values are numbers, 'text', None and (1, 2)"),
        ("bm25(b=+0.5)", "+0.5 is not a value", "values are numbers, 'text', None and (1, 2)"),
        ("dense(candidates=bm25)", "bm25 is not a value", "values are numbers, 'text', None and (1, 2)"),
        ("__import__('os').system('true')", "__import__('os').system('true') is not a retriever", None),
        ("(lambda: dense)()", "(lambda: dense)() is not a retriever", None),
        ("dense.on", "dense.on is not a retriever", None),
        ("dense | rerank", "dense | rerank is not a retriever", None),
        ("rerank", "rerank selects from the hits of a retriever, and stands behind one", "dense >> rerank"),
        (
            "rrf(dense, neighbours(after=2))",
            "neighbours selects from the hits of a retriever, and stands behind one",
            "dense >> neighbours",
        ),
        (
            "dense >> bm25",
            "bm25 is not a selector: it cannot stand behind >>",
            KNOWN_SELECTORS,
        ),
        (
            "dense >> (neighbours >> rerank)",
            "neighbours >> rerank is not a selector: it cannot stand behind >>",
            KNOWN_SELECTORS,
        ),
        (
            "dense >> reranks",
            "there is no selector 'reranks'",
            f'did you mean "rerank"? {KNOWN_SELECTORS}',
        ),
        (
            "dense >> rerank(50)",
            "rerank takes its parameters by name, got 50",
            "known: budget_s, candidates, model",
        ),
        ("dense >> neighbours(between=1)", "neighbours has no parameter 'between'", None),
        ("", "cannot read the retriever ''", "write it like rrf(dense(candidates=200), bm25)"),
        (
            "rrf(dense",
            "cannot read the retriever 'rrf(dense'",
            "write it like rrf(dense(candidates=200), bm25)",
        ),
        (
            "dense; bm25",
            "cannot read the retriever 'dense; bm25'",
            "write it like rrf(dense(candidates=200), bm25)",
        ),
    ],
)
def test_errors_say_what_is_known(text, message, hint):
    with pytest.raises(UsageError) as error:
        parse(text)

    assert error.value.message == message
    assert hint is None or error.value.hint == hint


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("dense(candidates=0)", lambda: dense(candidates=0)),
        ("dense(candidates='9')", lambda: dense(candidates="9")),
        ("bm25(k1=-1)", lambda: bm25(k1=-1)),
        ("bm25(k1=1e999)", lambda: bm25(k1=float("inf"))),
        ("bm25(k1=1j)", lambda: bm25(k1=1j)),
        ("bm25(b=2)", lambda: bm25(b=2)),
        ("bm25(b=True)", lambda: bm25(b=True)),
        ("bm25(language='klingon')", lambda: bm25(language="klingon")),
        ("rrf(dense, bm25, k=None)", lambda: rrf(dense, bm25, k=None)),
        ("dense >> rerank(model=None)", lambda: rerank(model=None)),
        ("dense >> rerank(model='')", lambda: rerank(model="")),
        ("dense >> rerank(candidates=0)", lambda: rerank(candidates=0)),
        ("dense >> rerank(budget_s=0)", lambda: rerank(budget_s=0)),
        ("dense >> rerank(budget_s='1')", lambda: rerank(budget_s="1")),
        ("dense >> rerank_lm(by='score')", lambda: rerank_lm(by="score")),
        ("dense >> neighbours(before=-1)", lambda: neighbours(before=-1)),
        ("dense >> neighbours(after=True)", lambda: neighbours(after=True)),
        ("rrf(dense, depth=-0.5)", lambda: rrf(dense, depth=-0.5)),
        ("weighted(dense, bm25, weights=(1,))", lambda: weighted(dense, bm25, weights=(1,))),
        ("weighted(dense, bm25, weights=(1, (2,)))", lambda: weighted(dense, bm25, weights=(1, (2,)))),
    ],
)
def test_values_get_the_same_error_from_text_and_from_python(text, call):
    with pytest.raises(UsageError) as from_text:
        parse(text)
    with pytest.raises(UsageError) as from_python:
        call()

    assert str(from_text.value) == str(from_python.value)


@given(st.text() | st.text(alphabet="rdbw25(),=-*>'\"[]. \n0x"))
def test_any_text_is_a_chain_or_a_usage_error(text):
    try:
        chain = parse(text)
    except UsageError:
        return
    assert isinstance(chain, Chain)


@pytest.mark.parametrize(
    "text",
    [
        "rrf(" * 5000,
        "dense(candidates=" + "-" * 100_000 + "1)",
        "rrf(" * 90 + "dense" + ")" * 90,
        "dense" + " >> rerank" * 90,
        "dense" + " >> rerank" * 5000,
    ],
)
def test_deep_nesting_does_not_break_it(text):
    try:
        chain = parse(text)
    except UsageError:
        return
    assert isinstance(chain, Chain)


def test_public_names():
    assert retrievers.__all__ == sorted(retrievers.__all__)
    assert all(hasattr(retrievers, name) for name in retrievers.__all__)


def test_a_chain_may_go_over_several_lines():
    assert parse("weighted(dense,\n bm25)\n  >> mmr\n") == parse("weighted(dense, bm25) >> mmr")


def test_a_whole_number_that_no_float_can_hold_is_refused():
    with pytest.raises(UsageError, match="diversity must be a finite number"):
        parse(f"dense >> mmr(diversity=1{'0' * 400})")
