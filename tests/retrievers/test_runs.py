"""Files of rankings: what they hold, that they read back, and that a killed search goes on to the same file."""

from __future__ import annotations

import fcntl
import gzip
import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import CompendiaError, Datastore, Hits, IntegrityError, NotFoundError, UsageError
from retrievers import bm25, dense, parse, rrf
from retrievers.batch import search_batch
from retrievers.batch_search import Batch
from retrievers.columns import PassageColumns
from retrievers.queries import Query, read_queries
from retrievers.run_parts import Found, encode, join, shortest
from retrievers.runs import RunHit, read_run

FRUIT = ["red apples in autumn", "green pears in spring", "blue plums in summer", "yellow lemons in winter"]
LAYOUTS = {"parquet": "h.parquet", "jsonl": "h.jsonl", "compactds": "c.jsonl", "trec": "h.trec"}


def queries_of(*texts: str) -> list[Query]:
    return [Query(f"q{i}", text, {"_id": f"q{i}", "text": text}) for i, text in enumerate(texts)]


def test_each_format_says_the_same_as_the_retriever(make_store, tmp_path):
    store = make_store(FRUIT, titles=["A", "B", "C", "D"], ids=["a", "b", "c", "d"])
    queries = queries_of("green pears", "winter and autumn", "zebra")
    live = bm25.on(store).retrieve([query.text for query in queries], 3)
    expected = {
        query.id: [(hit.passage_id, np.float32(hit.score)) for hit in hits]
        for query, hits in zip(queries, live, strict=True)
    }
    assert [len(hits) for hits in expected.values()] == [1, 2, 0]  # no passage has a zebra
    for layout, name in LAYOUTS.items():
        target = tmp_path / name
        done = search_batch(store, bm25, queries, Batch(3, layout), target)
        assert (done.queries, done.known, done.hits) == (3, 0, 3)
        found = {
            ranking.query_id: [(hit.id, np.float32(hit.score)) for hit in ranking.hits]
            for ranking in read_run(target)
        }
        # A file with a line a hit cannot say that a query has none.
        lines_a_hit = layout in {"parquet", "trec"}
        assert found == {q: hits for q, hits in expected.items() if hits or not lines_a_hit}
    assert not list(tmp_path.glob("*.parts"))


def test_what_the_files_hold(make_store, tmp_path):
    store = make_store(FRUIT, titles=["A", "B", "C", "D"], ids=["a", "b", "c", "d"])
    queries = [Query("q", "green pears", {"id": "q", "query": "green pears", "answer": 4})]
    for layout, name in LAYOUTS.items():
        search_batch(store, bm25(b=0.5), queries, Batch(2, layout), tmp_path / name)
    score = shortest(bm25(b=0.5).on(store).retrieve(["green pears"], 1).scores[0])[0]
    ids = {"passage_id": "test/b#0", "document_id": "b", "source": "test"}
    assert json.loads((tmp_path / "h.jsonl").read_text()) == {
        "id": "q",
        "query": "green pears",
        "hits": [{**ids, "score": float(score)}],
    }
    assert json.loads((tmp_path / "c.jsonl").read_text()) == {
        "id": "q",
        "query": "green pears",
        "answer": 4,
        "raw_query": "green pears",
        "ctxs": [{"id": "test/b#0", "source": "test", "retrieval text": FRUIT[1], "retrieval score": score}],
    }
    assert (tmp_path / "h.trec").read_text() == f"q Q0 test/b#0 1 {score} bm25(b=0.5)\n"
    table = pq.read_table(tmp_path / "h.parquet")
    assert table.column_names == ["query_id", "rank", "passage_id", "document_id", "source", "score"]
    assert table.to_pylist() == [{"query_id": "q", "rank": 1, **ids, "score": float(np.float32(score))}]
    assert json.loads((tmp_path / "h.trec.run.json").read_text())["retriever"] == "bm25(b=0.5)"


def test_text_comes_on_request(make_store, tmp_path):
    store = make_store(FRUIT, titles=["A", "B", "C", "D"])
    queries = queries_of("green pears")
    for layout, name in (("jsonl", "t.jsonl"), ("parquet", "t.parquet")):
        search_batch(store, bm25, queries, Batch(1, layout, with_text=True), tmp_path / name)
    hit = json.loads((tmp_path / "t.jsonl").read_text())["hits"][0]
    row = pq.read_table(tmp_path / "t.parquet").to_pylist()[0]
    assert (hit["title"], hit["text"]) == (row["title"], row["text"]) == ("B", FRUIT[1])
    with pytest.raises(UsageError, match="a TREC file holds no text"):
        search_batch(store, bm25, queries, Batch(1, "trec", with_text=True), tmp_path / "t.trec")
    assert not (tmp_path / "t.trec.parts").exists()


def test_the_text_of_a_hit_with_its_neighbours_is_theirs(make_store, tmp_path):
    store = make_store(FRUIT)
    store.upsert(
        texts=["figs one", "dates two", "nuts three"],
        ids=["n0", "n1", "n2"],
        metadata=[{"document_id": "n", "ordinal": i} for i in range(3)],
    )
    chain = parse("bm25 >> neighbours")
    (live,) = chain.on(store).retrieve(["dates"], 1)
    assert live[0].text == "figs one\n\ndates two\n\nnuts three"
    for by_document in (False, True):
        wanted = Batch(1, "jsonl", with_text=True, by_document=by_document)
        search_batch(store, chain, queries_of("dates"), wanted, tmp_path / "h.jsonl", restart=True)
        hit = json.loads((tmp_path / "h.jsonl").read_text())["hits"][0]
        assert (hit["passage_id"], hit["text"]) == ("n1", live[0].text)


def test_filters_and_k_beyond_the_store(make_store, tmp_path):
    store = make_store(FRUIT, metadata=[{"year": 2000 + i} for i in range(4)])
    asked = queries_of("fruit in autumn")
    search_batch(store, dense, asked, Batch(50, "jsonl", where="year > 2001"), tmp_path / "h.jsonl")
    (ranking,) = read_run(tmp_path / "h.jsonl")
    assert sorted(hit.document_id for hit in ranking.hits) == ["2", "3"]
    search_batch(store, dense, asked, Batch(50, "trec", where="year > 3000"), tmp_path / "h.trec")
    assert (tmp_path / "h.trec").read_bytes() == b""
    search_batch(store, dense, asked, Batch(50, "parquet", where="year > 3000"), tmp_path / "h.parquet")
    assert pq.read_table(tmp_path / "h.parquet").num_rows == 0


def test_by_document_a_hit_is_the_best_passage_of_each(make_store, tmp_path):
    # 30 passages of document a come first, then one of each other document.
    store = make_store(
        ["plum"] * 30 + [f"plum {'pear ' * i}" for i in range(1, 31)],
        ids=["a"] * 30 + [f"d{i}" for i in range(30)],
    )
    queries = queries_of("plum")
    for layout, name in LAYOUTS.items():
        search_batch(store, bm25, queries, Batch(5, layout, by_document=True), tmp_path / name)
        (ranking,) = read_run(tmp_path / name)
        names = [hit.document_id or hit.id for hit in ranking.hits]
        assert names == ["a", "d0", "d1", "d2", "d3"]
        assert [hit.score for hit in ranking.hits] == sorted(
            (hit.score for hit in ranking.hits), reverse=True
        )
    rows = pq.read_table(tmp_path / "h.parquet").to_pylist()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]


def test_a_deleted_passage_is_not_in_the_file(make_store, tmp_path):
    store = make_store(FRUIT)
    store.delete(["test/1#0"])
    search_batch(store, dense, queries_of("green pears"), Batch(4, "trec"), tmp_path / "h.trec")
    (ranking,) = read_run(tmp_path / "h.trec")
    assert sorted(hit.id for hit in ranking.hits) == ["test/0#0", "test/2#0", "test/3#0"]


def test_columns_of_rows_in_any_order(make_store):
    store = make_store([f"text {i}" for i in range(200)], segment_rows=70)
    rows = np.random.default_rng(0).integers(0, 200, 500)
    table = PassageColumns(store, ["text", "document_id"]).take(rows)
    assert table.column("document_id").to_pylist() == [str(row) for row in rows]
    assert table.column("text").to_pylist() == [f"text {row}" for row in rows]
    empty = PassageColumns(store, ["text"]).take(np.empty(0, dtype=np.int64))
    assert (empty.num_rows, empty.column_names) == (0, ["text"])


def test_a_damaged_segment_is_an_error(make_store):
    store = make_store([f"text {i}" for i in range(50)])
    file = store.path / "segments" / "seg0" / "passages.arrow"
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(IntegrityError, match="segment seg0 cannot be read"):
        PassageColumns(store, ["text"]).take(np.arange(50))


# Going on where it was killed


SCRIPT = """\
import sys
from pathlib import Path
from datastore import Datastore
from retrievers import parse
from retrievers.batch import search_batch
from retrievers.batch_search import Batch
from retrievers.queries import read_queries
store, queries, target, layout = sys.argv[1:]
search_batch(Datastore.open(store), parse("rrf"), read_queries(Path(queries)), Batch(5, layout), Path(target))
"""
POINTS = [
    "before_rename_of_run.json",
    "before_rename_of_000000000",
    "after_run_part",
    "before_rename_of_000000064",
    "after_run_part:3",
    "before_rename_of_h.run.json",
    "before_run_rename",
    "after_run_rename",
]


@pytest.mark.parametrize("layout", ["parquet", "jsonl", "compactds", "trec"])
def test_killed_at_any_point_it_ends_with_the_same_file(make_store, tmp_path, monkeypatch, layout):
    texts = [
        f"{colour} {fruit} {i}"
        for i, colour in enumerate(["red", "green"] * 20)
        for fruit in ("plum", "pear")
    ]
    store = make_store(texts)
    lines = [json.dumps({"_id": f"q{i}", "text": texts[i % len(texts)]}) for i in range(150)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    queries = read_queries(tmp_path / "q.jsonl")
    target = tmp_path / LAYOUTS[layout]
    search_batch(store, rrf, queries, Batch(5, layout), target)
    undisturbed = target.read_bytes()
    # All points once, each with one of the layouts.
    for point in POINTS[list(LAYOUTS).index(layout) :: len(LAYOUTS)]:
        crash_at = point.replace("h.run.json", f"{target.name}.run.json")
        (tmp_path / f"{target.name}.run.json").unlink()
        target.unlink()
        monkeypatch.setenv("COMPENDIA_CRASH_AT", crash_at)
        arguments = [sys.executable, "-c", SCRIPT, store.path, tmp_path / "q.jsonl", target, layout]
        assert subprocess.run(arguments, check=False).returncode == -9
        monkeypatch.delenv("COMPENDIA_CRASH_AT")
        left = {path.name for path in tmp_path.glob(f"{target.name}*")}
        assert f"{target.name}.parts" in left
        done = search_batch(store, rrf, queries, Batch(5, layout), target)
        assert done.queries == 150
        assert (done.known > 0) == (
            not point.startswith(("before_rename_of_run", "before_rename_of_000000000"))
        )
        assert target.read_bytes() == undisturbed
        assert not (tmp_path / f"{target.name}.parts").exists()


@dataclass(frozen=True)
class FailsAfter:
    """Answers as `dense` does, and fails at the third part."""

    def on(self, store: Datastore) -> FailsAfter.Bound:
        return self.Bound(store, [])

    def __str__(self) -> str:
        return "dense"

    @dataclass(frozen=True)
    class Bound:
        store: Datastore
        calls: list[int]

        def retrieve(self, queries, k, where=None) -> Hits:
            self.calls.append(len(queries))
            if len(self.calls) == 3:
                raise KeyboardInterrupt
            return dense.on(self.store).retrieve(queries, k, where)


def test_another_command_under_the_same_name_is_refused(make_store, tmp_path):
    store, target = make_store(FRUIT), tmp_path / "h.jsonl"
    queries = queries_of(*[f"pears {i}" for i in range(200)])
    with pytest.raises(KeyboardInterrupt):
        search_batch(store, FailsAfter(), queries, Batch(2, "jsonl"), target)
    assert not target.exists()
    with pytest.raises(UsageError, match=r"k was 2 and is 3") as refused:
        search_batch(store, dense, queries, Batch(3, "jsonl"), target)
    assert "--restart" in str(refused.value)
    with pytest.raises(UsageError, match="retriever was 'dense' and is 'bm25'"):
        search_batch(store, bm25, queries, Batch(2, "jsonl"), target)
    with pytest.raises(UsageError, match="queries was"):
        search_batch(store, dense, queries[:-1], Batch(2, "jsonl"), target)
    done = search_batch(store, dense, queries, Batch(2, "jsonl"), target)
    assert (done.queries, done.known) == (200, 128)
    whole = target.read_bytes()
    assert search_batch(store, dense, queries, Batch(2, "jsonl"), target).known == 200
    assert target.read_bytes() == whole
    store.add(texts=["purple figs"], ids=["fig"])
    with pytest.raises(UsageError, match=r"contents was .* version was 1 and is 2"):
        search_batch(store, dense, queries, Batch(2, "jsonl"), target)
    done = search_batch(store, dense, queries, Batch(2, "jsonl"), target, restart=True)
    assert (done.known, done.hits) == (0, 400)


def test_a_stranger_s_file_is_not_overwritten(make_store, tmp_path):
    store, target = make_store(FRUIT), tmp_path / "h.trec"
    target.write_text("mine")
    with pytest.raises(UsageError, match="nothing says what was asked for it"):
        search_batch(store, dense, queries_of("pears"), Batch(2, "trec"), target)
    assert target.read_text() == "mine"
    assert not (tmp_path / "h.trec.parts").exists()


def test_one_process_at_a_time(make_store, tmp_path):
    store, target = make_store(FRUIT), tmp_path / "h.trec"
    (tmp_path / "h.trec.parts").mkdir()
    with (tmp_path / "h.trec.parts" / "LOCK").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CompendiaError, match=r"another process is writing h.trec"):
            search_batch(store, dense, queries_of("pears"), Batch(2, "trec"), target)
    assert search_batch(store, dense, queries_of("pears"), Batch(2, "trec"), target).hits == 2


def test_what_was_refused_leaves_nothing_behind(make_store, tmp_path):
    store, target = make_store(FRUIT), tmp_path / "deep" / "h.trec"
    with pytest.raises(UsageError, match="nonsense"):
        search_batch(store, dense, queries_of("pears"), Batch(2, "trec", where="nonsense = 1"), target)
    assert list(target.parent.iterdir()) == []


def test_many_small_parts_make_one_parquet_row_group(make_store, tmp_path):
    store = make_store(FRUIT)
    queries = queries_of(*[f"pears {i}" for i in range(300)])
    search_batch(store, dense, queries, Batch(1, "parquet"), tmp_path / "h.parquet")
    assert pq.ParquetFile(tmp_path / "h.parquet").metadata.num_row_groups == 1


# Files of queries


def test_queries_in_each_of_the_usual_shapes(tmp_path):
    lines = [
        '{"_id": "a", "text": "one"}',
        "",
        '{"id": 7, "query": "two"}',
        '{"id": "c", "question": "three"}',
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    (tmp_path / "q.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    for name in ("q.jsonl", "q.jsonl.gz"):
        found = read_queries(tmp_path / name)
        assert [(query.id, query.text) for query in found] == [("a", "one"), ("7", "two"), ("c", "three")]
    assert found[1].record == {"id": 7, "query": "two"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"q.jsonl:2 is not JSON"),
        ("[1]", r"q.jsonl:2: expected a JSON object, got list"),
        ('{"text": "x"}', r'q.jsonl:2: expected an id in "_id" or "id", got null'),
        ('{"id": true, "text": "x"}', r"q.jsonl:2: expected an id"),
        ('{"id": "b", "text": " "}', r'q.jsonl:2: expected a question in "text"'),
        ('{"id": "b", "query": 4}', r"q.jsonl:2: expected a question .* got 4"),
        ('{"id": "a", "text": "x"}', r"q.jsonl:2: query 'a' is there already, in .*q.jsonl:1"),
        ('{"id": "b", "text": "\\ud800"}', r"q.jsonl:2 holds half a character"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path, line, message):
    (tmp_path / "q.jsonl").write_text('{"id": "a", "text": "good"}\n' + line + "\n")
    with pytest.raises(UsageError, match=message):
        read_queries(tmp_path / "q.jsonl")


def test_no_queries_and_no_file(tmp_path):
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="holds no query"):
        read_queries(tmp_path / "q.jsonl")
    with pytest.raises(NotFoundError):
        read_queries(tmp_path / "none.jsonl")
    (tmp_path / "l.jsonl").write_bytes(b'{"id": "caf\xe9"}')
    with pytest.raises(UsageError, match=r"l.jsonl:1 cannot be read"):
        read_queries(tmp_path / "l.jsonl")


# The formats by themselves


def test_white_space_in_an_id_is_refused_by_trec_alone(make_store, tmp_path):
    store = make_store(FRUIT, ids=["my notes", "b", "c", "d"])
    with pytest.raises(UsageError, match="passage id 'test/my notes#0': its fields end at white space"):
        search_batch(store, dense, queries_of("red apples"), Batch(1, "trec"), tmp_path / "h.trec")
    with pytest.raises(UsageError, match="query id 'a b'"):
        search_batch(store, dense, [Query("a b", "x", {})], Batch(1, "trec"), tmp_path / "h.trec")
    search_batch(store, dense, queries_of("red apples"), Batch(1, "jsonl"), tmp_path / "h.jsonl")
    (ranking,) = read_run(tmp_path / "h.jsonl")
    assert ranking.hits[0].id == "test/my notes#0"


WORD = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=8)
RANKINGS = st.dictionaries(
    WORD,
    st.dictionaries(WORD, st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5),
    max_size=5,
)


@given(RANKINGS, st.sampled_from(list(LAYOUTS)))
def test_what_is_written_reads_back(tmp_path_factory, rankings, layout):
    expected = {}
    parts = []
    folder = tmp_path_factory.mktemp("run")
    for number, (query, scored) in enumerate(rankings.items()):
        hits = sorted(scored.items(), key=lambda pair: -pair[1])
        names = [name for name, _ in hits]
        expected[query] = [(name, np.float32(score)) for name, score in hits]
        columns = dict.fromkeys(("passage_id", "document_id", "source", "title", "text"), names)
        found = Found(Query(query, "?", {"id": query}), np.array([s for _, s in hits], np.float32), columns)
        parts.append(folder / str(number))
        parts[-1].write_bytes(encode([found], layout))
    if not parts:
        return
    with (folder / LAYOUTS[layout]).open("wb") as file:
        join(parts, layout, file)
    read = {
        ranking.query_id: [(hit.id, np.float32(hit.score)) for hit in ranking.hits]
        for ranking in read_run(folder / LAYOUTS[layout])
    }
    assert read == {q: hits for q, hits in expected.items() if hits or layout in {"jsonl", "compactds"}}


def test_trec_files_of_other_tools(tmp_path):
    ir_measures = pytest.importorskip("ir_measures")
    file = tmp_path / "other.trec"
    file.write_text("q1 Q0 a 0 1.5 x\nq1\tQ0\tb\t0\t2.5\tx\n\nq2 Q0 c 1 -3e-2 x\n")
    (one, two) = read_run(file)
    assert one.hits == [RunHit("b", None, 2.5), RunHit("a", None, 1.5)]
    assert two == ("q2", [RunHit("c", None, -0.03)])
    assert len(list(ir_measures.read_trec_run(str(file.rename(tmp_path / "o.trec"))))) == 3
    (tmp_path / "z.trec.gz").write_bytes(gzip.compress(b"q Q0 a 1 1 x\n"))
    assert [ranking.query_id for ranking in read_run(tmp_path / "z.trec.gz")] == ["q"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.trec", "q Q0 a 1 1.0\n", r"r.trec:1: expected query, Q0, .* got 5 fields"),
        ("r.trec", "q Q0 a 1 high x\n", r"r.trec:1: expected a number as score, got \"high\""),
        ("r.trec", "q Q0 a 1 nan x\n", r"r.trec:1: expected a number as score"),
        ("r.trec", "q Q0 a 1 1 x\nr Q0 a 1 1 x\nq Q0 b 2 0 x\n", r"query 'q' do not stand together"),
        ("r.jsonl", '{"id": "q"}\n', r'r.jsonl:1: expected a list of objects in "hits" or "ctxs"'),
        ("r.jsonl", '{"id": "q", "hits": [{"score": 1}]}\n', r"r.jsonl:1: a hit has no id"),
        ("r.jsonl", '{"id": "q", "hits": [{"passage_id": "a"}]}\n', r"r.jsonl:1: expected a number as score"),
        ("r.parquet", "no parquet", r"r.parquet cannot be read"),
        ("r.csv", "", r"is no run file by its name"),
    ],
)
def test_what_is_no_run_file_is_an_error(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        list(read_run(tmp_path / name))


def test_parquet_files_without_the_columns(tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"query_id": ["q"], "score": [1.0]}), tmp_path / "r.parquet")
    with pytest.raises(UsageError, match="has no column document_id, passage_id"):
        list(read_run(tmp_path / "r.parquet"))
    with pytest.raises(NotFoundError, match="there is no file"):
        list(read_run(tmp_path / "gone.parquet"))


def test_scores_in_the_fewest_digits():
    scores = np.array([0.1, 1 / 3, 16777217, -2.5e-8, 0], dtype=np.float32)
    assert shortest(scores) == ["0.1", "0.33333334", "1.6777216e+07", "-2.5e-08", "0.0"]
