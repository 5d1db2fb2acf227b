"""Files of rankings measured like the retriever that made them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datastore.errors import UsageError
from eval import beir, retrieval
from eval.beir import Collection
from eval.files import read_records
from eval.runs import RunFile
from retrievers import bm25, dense, rrf, weighted
from retrievers.batch import search_batch
from retrievers.batch_search import Batch
from retrievers.queries import Query

LAYOUTS = {"parquet": "h.parquet", "jsonl": "h.jsonl", "compactds": "c.jsonl", "trec": "h.trec"}
COLOURS = ["red", "green", "blue", "yellow", "white", "black"]
FRUITS = ["apples", "pears", "plums", "lemons", "cherries"]


@pytest.fixture
def fruit(make_store, tmp_path):
    """A store of 120 passages in 60 documents, and 90 queries with two relevant documents each."""
    texts = [f"{COLOURS[i % 6]} {FRUITS[i % 5]} of the year {1900 + i // 7}" for i in range(120)]
    ids = [f"d{i // 2}" for i in range(120)]
    store = make_store(texts, ids=ids)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": f"d{i}", "text": "x"}) + "\n" for i in range(60)))
    queries = {f"q{i}": f"{COLOURS[i % 6]} {FRUITS[i % 4]} {1900 + i % 17}" for i in range(90)}
    qrels = {f"q{i}": {f"d{i % 60}": 2, f"d{(7 * i + 1) % 60}": 1} for i in range(90)}
    return store, Collection("fruit", "test", corpus, queries, qrels, 0)


def written(store, collection, chain, layout, folder: Path, **wanted) -> RunFile:
    queries = [Query(name, text, {"id": name}) for name, text in collection.queries.items()]
    target = folder / LAYOUTS[layout]
    search_batch(store, chain, queries, Batch(layout=layout, **{"k": 100, **wanted}), target, restart=True)
    return RunFile(target)


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("chain", [dense, weighted(depth=20)], ids=str)
def test_the_numbers_are_those_of_the_live_retriever(fruit, tmp_path, chain, layout):
    store, collection = fruit
    run_file = written(store, collection, chain, layout, tmp_path, k=50, by_document=True)
    report = retrieval.evaluate(store, collection, [chain, run_file], depth=50)
    live, run = report.arms
    assert run.metrics == live.metrics
    assert {(d.value, d.low, d.high, d.p_value) for d in run.difference.values()} == {(0.0, 0.0, 0.0, 1.0)}
    assert 0 < live.metrics["nDCG@10"].value < 1
    assert (run.seconds, run.timings_ms) == (None, {})
    assert report.warnings == []


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_passages_give_the_same_as_long_as_no_document_crowds_out_others(fruit, tmp_path, layout):
    store, collection = fruit
    whole = written(store, collection, dense, layout, tmp_path, k=120)
    live, run = retrieval.evaluate(store, collection, [dense, whole], depth=50).arms
    assert run.metrics == live.metrics
    few = written(store, collection, dense, layout, tmp_path, k=20)
    report = retrieval.evaluate(store, collection, [dense, few], depth=50)
    live, run = report.arms
    assert run.metrics["Recall@5"] == live.metrics["Recall@5"]
    assert "several hits are of one document" in report.warnings[-1]
    assert "--by document" in report.warnings[-1]


def test_files_alone_need_no_store(fruit, tmp_path):
    store, collection = fruit
    files = [written(store, collection, bm25, layout, tmp_path, by_document=True) for layout in LAYOUTS]
    with_store = retrieval.evaluate(store, collection, files)
    report = retrieval.evaluate(None, collection, files)
    assert [arm.metrics for arm in report.arms] == [arm.metrics for arm in with_store.arms]
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["store"] is None
    assert (data["data"]["documents"], data["data"]["passages"]) == (60, None)
    assert data["arms"][0]["retriever"] == f"{tmp_path / 'h.parquet'} (bm25)"
    assert (data["arms"][0]["seconds"], data["arms"][0]["timings_ms"]) == (None, {})
    with pytest.raises(UsageError, match="dense needs a store to search"):
        retrieval.evaluate(None, collection, [files[0], dense])
    passages = written(store, collection, bm25, "trec", tmp_path)
    with pytest.raises(UsageError, match="names no document of the corpus, 'test/d") as refused:
        retrieval.evaluate(None, collection, [passages])
    assert "--store" in str(refused.value)


def test_a_file_of_another_tool_with_hand_computed_numbers(fruit, tmp_path):
    _, collection = fruit
    two = Collection(
        "fruit", "test", collection.corpus, {"a": "x", "b": "y"}, {"a": {"d1": 1}, "b": {"d2": 1, "d3": 1}}, 0
    )
    file = tmp_path / "other.trec"
    file.write_text(
        "a Q0 d9 1 3.0 x\na Q0 d1 2 2.0 x\nz Q0 d1 1 1.0 x\n"
    )  # b is not answered, z is not judged
    report = retrieval.evaluate(None, two, [RunFile(file)])
    assert report.arms[0].retriever == str(file)
    assert report.arms[0].metrics["MRR@10"].value == 0.25
    assert report.arms[0].metrics["Recall@5"].value == 0.5
    assert report.warnings == [
        f"{file}: no hits for 1 judged queries, which count 0",
        f"{file}: at most 2 documents a query; no metric sees further",
    ]


def test_a_file_for_other_queries_is_an_error(fruit, tmp_path):
    _, collection = fruit
    (tmp_path / "o.trec").write_text("elsewhere Q0 d1 1 1.0 x\n")
    with pytest.raises(UsageError, match="answers none of the queries that are judged"):
        retrieval.evaluate(None, collection, [RunFile(tmp_path / "o.trec")])


def test_a_record_that_is_no_record_gives_the_name_alone(tmp_path):
    for text in ("{", "[]", '{"k": 3}'):
        (tmp_path / "o.trec.run.json").write_text(text)
        assert str(RunFile(tmp_path / "o.trec")) == str(tmp_path / "o.trec")


def test_cranfield_from_files_is_cranfield_live(make_store, test_data, tmp_path):
    cranfield = beir.load(test_data / "cranfield")
    records = [record for _, record in read_records(cranfield.corpus) if record["text"].strip()]
    store = make_store(
        [record["text"] for record in records],
        titles=[record["title"] for record in records],
        ids=[record["_id"] for record in records],
    )
    files = [written(store, cranfield, rrf, layout, tmp_path) for layout in LAYOUTS]
    live, *runs = retrieval.evaluate(store, cranfield, [rrf, *files]).arms
    assert [run.metrics for run in runs] == [live.metrics] * 4
