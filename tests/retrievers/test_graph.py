from __future__ import annotations

import json

import numpy as np
import pytest

from datastore import Datastore, UsageError
from datastore.index.graph import own
from retrievers import bm25, decontaminated, dense, graph, neighbours, parse, rrf
from retrievers.explain import Reached, Step

# Ada -> Bea -> Cyd -> Dov by mentions; what is asked names Ada alone. Others are there to be found without a link.
TITLES = ["Ada", "Bea", "Cyd", "Dov", "Eva", "Fay", "Gil"]
TEXTS = [
    "a painter of ships, taught by Bea",
    "a weaver, whose brother was Cyd",
    "a sailor, lost with Dov",
    "a cook",
    "a painter of ships and harbours",
    "a painter of harbours",
    "a painter of walls",
]
QUESTION = "Ada, painter of ships"


@pytest.fixture
def store(make_store) -> Datastore:
    made = make_store(TEXTS, titles=TITLES, ids=TITLES, metadata=[{"public": i != 1} for i in range(7)])
    made.add_index("bm25")
    made.add_index({"kind": "graph", "knn": 2})
    return made


def asked(store: Datastore, chain: str, k: int, where: str | None = None) -> list[str]:
    return [hit.title for hit in parse(chain).on(store).retrieve([QUESTION], k, where)[0]]


def test_what_no_arm_returned_is_brought_in_behind_the_seeds(store):
    plain = asked(store, "bm25", 5)
    assert plain == ["Ada", "Eva", "Fay", "Gil"]
    assert asked(store, "bm25 >> graph(seeds=1)", 4) == ["Ada", "Bea", "Cyd", "Eva"]
    assert asked(store, "bm25 >> graph(seeds=2)", 3) == ["Ada", "Eva", "Bea"]
    assert asked(store, "bm25 >> graph(seeds=1, hops=3, damping=0.9)", 7)[:2] == ["Ada", "Bea"]


def test_scores_are_the_sum_of_both_ranks(store):
    hits = (bm25 >> graph(seeds=1)).on(store).retrieve([QUESTION], 4)
    # Ada leads both rankings, Bea and Cyd follow in the walk, which counts twice, and Eva among the hits.
    np.testing.assert_allclose(hits.scores[0], [3 / 11, 2 / 12, 2 / 13, 1 / 12], rtol=1e-6)


def test_the_top_stays_whatever_the_graph_found(store):
    plain = asked(store, "bm25", 4)
    for seeds in (1, 2, 3, 4):
        assert (
            asked(store, f"bm25 >> graph(seeds={seeds}, weight=100, edges=('title', 'knn'))", 7)[:seeds]
            == plain[:seeds]
        )


def test_every_hit_says_how_the_graph_led_to_it(store):
    hits = (bm25 >> graph(seeds=1) >> neighbours).on(store).retrieve([QUESTION], 7, explain=True)
    titles = [hit.title for hit in hits[0]]
    ways = dict(zip(titles, hits.read_paths(0), strict=True))
    assert ways["Ada"] == ways["Fay"] == []
    assert ways["Bea"] == [Reached("test/Ada#0", "Ada", ""), Reached("test/Bea#0", "Bea", "title")]
    assert [step.title for step in ways["Cyd"]] == ["Ada", "Bea", "Cyd"]
    assert hits.paths[0][2] == (Step(0, ""), Step(1, "title"), Step(2, "title"))
    assert [stage.name for stage in hits.stages] == ["bm25", "graph(seeds=1)", "neighbours"]
    fused = rrf(bm25, bm25 >> graph(seeds=1)).on(store).retrieve([QUESTION], 7, explain=True)
    assert fused.paths[0][2] == hits.paths[0][2]


def test_a_filter_holds_for_what_the_graph_brings_in_and_passes_through(store):
    assert asked(store, "bm25 >> graph(seeds=1)", 7, "public") == asked(store, "bm25", 7, "public")
    assert "Cyd" in asked(store, "bm25 >> graph(seeds=1)", 7)


def test_a_deleted_node_is_out_of_the_graph_before_and_after_compaction(store):
    store.delete(["test/Bea#0"])
    for _ in range(2):
        assert asked(store, "bm25 >> graph(seeds=1)", 7) == asked(store, "bm25", 7)
        store.compact()


def test_without_edges_hits_are_exactly_those_of_the_retriever(store, make_store):
    bare = make_store(TEXTS)
    bare.add_index("graph")
    cases = [
        (bare, dense, graph),
        (store, dense, graph(edges=("link", "own"))),
        (bare, dense, graph(edges=("knn",))),
    ]
    for where, chain, selector in cases:
        plain = chain.on(where).retrieve([QUESTION, "cook"], 5)
        hits = (chain >> selector).on(where).retrieve([QUESTION, "cook"], 5)
        np.testing.assert_array_equal(hits.rows, plain.rows)
        np.testing.assert_array_equal(hits.scores, plain.scores)


def test_seeds_without_edges_leave_their_query_as_it_was(store):
    plain = bm25.on(store).retrieve(["walls"], 5)
    hits = (bm25 >> graph).on(store).retrieve(["walls", QUESTION], 5)
    assert hits.rows[0].tolist() == plain.rows[0].tolist() == [6, -1, -1, -1, -1]
    np.testing.assert_array_equal(hits.scores[0], plain.scores[0])
    assert hits.rows[1, 0] == 0


def test_below_a_tenth_of_an_edge_a_document_it_steps_aside(make_store):
    texts = [*TEXTS, *(f"filler number {number}" for number in range(30))]
    store = make_store(texts, titles=[*TITLES, *[""] * 30])
    store.add_index("bm25")
    store.add_index("graph")
    assert store.snapshot.feature("graph").indexes[0].index.edges_per_document(("title",)) == 3 / 37
    assert asked(store, "bm25 >> graph(seeds=1)", 5) == asked(store, "bm25", 5)


def test_more_hits_than_there_are_candidates(store):
    hits = (bm25 >> graph(seeds=1)).on(store).retrieve([QUESTION], 50)
    rows = hits.rows[0]
    assert rows.shape == (50,)
    found = rows[rows >= 0]
    assert len(set(found.tolist())) == len(found) == 6  # all but the cook, who is three steps away
    assert (np.diff(hits.scores[0, : len(found)]) <= 0).all()


def test_a_new_row_is_in_the_graph_from_the_next_fold_on(store, make_store):
    store.add(ids=["Hal"], texts=["met by Bea"], metadata=[{"title": "Hal", "public": True}])
    assert "Hal" in asked(store, "bm25 >> graph(seeds=1)", 7)

    titles = [f"T{number:03}" for number in range(300)]
    large = make_store([f"after {title}" for title in ["", *titles[:-1]]], titles=titles)
    large.add_index("bm25")
    large.add_index("graph")
    large.add(ids=["new"], texts=["after T007"], metadata=[{"title": "Hal"}])  # fewer than 1 % wait
    retriever = (bm25 >> graph(seeds=1)).on(large)
    hits = retriever.retrieve(["Hal", "T007"], 5)
    assert hits.rows[0].tolist() == [300, -1, -1, -1, -1]
    assert 300 not in hits.paths[1]
    assert {6, 8, 9} <= {*hits.rows[1].tolist()}


def test_it_stands_behind_a_fusion_and_is_deterministic(store):
    chain = rrf(dense, bm25) >> graph
    one, other = (chain.on(store).retrieve([QUESTION] * 2, 7) for _ in range(2))
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.rows[0], one.rows[1])


@pytest.mark.parametrize(
    "text",
    [
        "bm25 >> graph",
        "dense >> graph(seeds=5, edges=('title', 'knn'))",
        "dense >> graph(damping=0.85, hops=3, weight=1.0)",
    ],
)
def test_it_prints_as_it_is_written(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds=0", "seeds must be at least 1"),
        ("damping=1", "damping must be at least 0 and below 1"),
        ("weight=-1", "weight must not be negative"),
        ("edges=('titel',)", 'did you mean "title"'),
        ("edges='title'", "edges must be one or more kinds"),
        ("edges=()", "edges must be one or more kinds"),
    ],
)
def test_what_it_cannot_take_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse(f"dense >> graph({text})")


def test_one_of_several_graphs_is_named(make_store):
    made = make_store(["taught by Bea", "a weaver"], titles=["Ada", "Bea"])
    made.add_index({"kind": "graph", "name": "mentions"})
    made.add_index({"kind": "graph", "name": "none", "titles": False})
    with pytest.raises(UsageError, match="no graph index") as error:
        (bm25 >> graph).on(made)
    assert error.value.hint == "name one of: mentions, none"
    for name, expected in (("mentions", ["Ada", "Bea"]), ("none", ["Ada"])):
        hits = parse(f"bm25 >> graph(index={name!r})").on(made).retrieve(["taught"], 5)
        assert [hit.title for hit in hits[0]] == expected


def test_a_store_without_a_graph_says_how_to_add_one(make_store):
    with pytest.raises(UsageError, match=r"has no graph index\n  compendia index add .* graph"):
        (dense >> graph).on(make_store(TEXTS))


def test_paths_are_in_langchain_metadata_and_on_the_command_line(store):
    from typer.testing import CliRunner

    from compendia.cli import app
    from retrievers.langchain import CompendiaRetriever

    chain = "bm25 >> graph(seeds=1)"
    documents = CompendiaRetriever(store=store, retriever=chain, k=2).invoke(QUESTION)
    assert "path" not in documents[0].metadata
    way = [
        {"passage_id": "test/Ada#0", "title": "Ada", "relation": ""},
        {"passage_id": "test/Bea#0", "title": "Bea", "relation": "title"},
    ]
    assert documents[1].metadata["path"] == way

    command = ["search", str(store.path), QUESTION, "--retriever", chain, "-k", "2", "--explain"]
    printed = CliRunner().invoke(app, command)
    assert "Ada -title-> Bea" in printed.stdout, printed.output
    hits = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["hits"]
    assert "path" not in hits[0]
    assert hits[1]["path"] == way


def test_what_comes_first_does_not_depend_on_how_much_is_asked_for(store):
    retriever = (bm25 >> graph).on(store)
    whole = retriever.retrieve([QUESTION, "cook"], 7)
    for k in range(1, 7):
        np.testing.assert_array_equal(retriever.retrieve([QUESTION, "cook"], k).rows, whole.rows[:, :k])


def test_edges_of_ones_own_are_followed_however_few(make_store, tmp_path):
    store = make_store([f"filler number {number}" for number in range(40)])
    (tmp_path / "edges.tsv").write_text("3\tis told with\t30\n")
    store.add_index("bm25")
    store.add_index({"kind": "graph", "own": str(tmp_path / "edges.tsv")})
    hits = (bm25 >> graph(seeds=1)).on(store).retrieve(["number 3"], 40)
    assert hits.rows[0, :2].tolist() == [3, 30]
    assert (decontaminated(bm25 >> graph(seeds=1))).on(store).retrieve(["number 3"], 40).read_paths(0)[1]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("edges.tsv", "3\t \t30", "edges.tsv:1: the relation is empty"),
        (
            "edges.jsonl",
            '{"source": "3", "relation": "a", "target": "4", "wieght": 2}',
            "edge has no 'wieght'",
        ),
    ],
)
def test_a_line_that_is_no_edge_is_refused(make_store, tmp_path, name, line, message):
    store = make_store([f"filler number {number}" for number in range(40)])
    (tmp_path / name).write_text(f"{line}\n")
    with pytest.raises(UsageError, match=message):
        store.add_index({"kind": "graph", "own": str(tmp_path / name)})


def test_more_relations_than_a_graph_can_tell_apart_are_refused(make_store, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "MOST_RELATIONS", 2)
    store = make_store([f"filler number {number}" for number in range(5)])
    (tmp_path / "edges.tsv").write_text("".join(f"{i}\tis {i} of\t{i + 1}\n" for i in range(4)))
    with pytest.raises(UsageError, match=r"edges.tsv:3: the 3th relation"):
        store.add_index({"kind": "graph", "own": str(tmp_path / "edges.tsv")})


@pytest.mark.parametrize("name", ["dense", "a b/c", ""])
def test_names_that_an_index_cannot_have_are_refused(make_store, name):
    with pytest.raises(UsageError, match=f"an index cannot be called '{name}'"):
        make_store(["tea"]).add_index({"kind": "bm25", "name": name})
