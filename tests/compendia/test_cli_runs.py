"""A file of questions through the command line: search in batches, then measure the file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.smoke

DOCUMENTS = {
    "tea": "Green tea is steeped at eighty degrees for two minutes.",
    "bread": "Feed the starter twice a day. Bake at 240 degrees.",
    "moons": "Jupiter has the most moons but Saturn the rings.",
    "tides": "The tides follow the moon and the sun.",
    "moss": "Moss grows on the shady side of old stones.",
}
QUESTIONS = {
    "q1": "how hot is green tea?",
    "q2": "which planet has the most moons?",
    "q3": "starter of bread",
}
QRELS = [("q1", "tea"), ("q2", "moons"), ("q2", "tides"), ("q3", "bread")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collection in BEIR layout."""
    folder = tmp_path / "notes"
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    queries = [json.dumps({"_id": name, "text": text}) for name, text in QUESTIONS.items()]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in QRELS)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def live(invoke, folder):
    """The numbers of live retrieval; the store is kept in `store`."""
    done = invoke("eval", "retrieval", "--data", folder, "--retriever", "rrf", "--store", "store", "--json")
    assert done.code == 0, done.err
    return done.json["arms"][0]["metrics"]


def search(invoke, *arguments):
    return invoke("search", "store", "--queries", "notes/queries.jsonl", "--retriever", "rrf", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "h.parquet"),
        ("--out", "h.jsonl"),
        ("--out", "h.jsonl", "--text"),
        ("--out", "h.jsonl", "--layout", "compactds"),
        ("--out", "h.trec"),
        ("--out", "h.trec", "--by", "document"),
    ],
    ids=" ".join,
)
def test_the_file_has_the_numbers_of_live_retrieval(invoke, folder, live, arguments):
    done = search(invoke, *arguments)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{arguments[1]}: 3 queries; ")
    measured = invoke(
        "eval", "retrieval", "--data", folder, "--retriever", "rrf", "--run", arguments[1], "--store", "store",
        "--json",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    first, second = measured.json["arms"]
    assert first["metrics"] == second["metrics"] == live
    assert second["retriever"] == f"{arguments[1]} (rrf(dense, bm25))"
    assert second["seconds"] is None


def test_files_are_measured_where_there_is_no_store(invoke, folder, live, tmp_path):
    for out in ("a.parquet", "b.jsonl"):
        assert search(invoke, "--out", out).code == 0
    assert search(invoke, "--out", "c.trec", "--by", "document").code == 0
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    runs = [word for out in ("a.parquet", "b.jsonl", "c.trec") for word in ("--run", out)]
    report = invoke("eval", "retrieval", "--data", folder, *runs, "--json").json
    assert [arm["metrics"] for arm in report["arms"]] == [live] * 3
    assert report["store"] is None
    assert not (tmp_path / "cache").exists()
    printed = invoke("eval", "retrieval", "--data", folder, *runs).out
    assert printed.startswith("notes test: 3 queries, 5 documents; 95 % intervals over queries\nmetric")
    assert "difference to a.parquet (rrf(dense, bm25)), paired" in printed


def test_the_same_command_again_finds_its_work_done(invoke, live):
    first = search(invoke, "--out", "h.parquet", "-k", 2, "--json").json
    assert list(first) == [
        "schema", "out", "version", "retriever", "k", "queries", "known", "hits", "seconds",
    ]  # fmt: skip
    assert first == {
        "schema": "compendia.search.batch/1",
        "out": "h.parquet",
        "version": 1,
        "retriever": "rrf(dense, bm25)",
        "k": 2,
        "queries": 3,
        "known": 0,
        "hits": 6,
        "seconds": first["seconds"],
    }
    again = search(invoke, "--out", "h.parquet", "-k", 2)
    assert (again.code, again.out) == (0, "h.parquet: 3 queries, 3 of them answered before; 0.0 s\n")
    other = search(invoke, "--out", "h.parquet", "-k", 3)
    assert other.code == 2
    assert "k was 2 and is 3" in other.err
    assert "--restart" in other.err
    assert search(invoke, "--out", "h.parquet", "-k", 3, "--restart").code == 0
    assert pq.read_table("h.parquet").num_rows == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "store"), "either a question or a file of them"),
        (
            ("search", "store", "tea", "--queries", "notes/queries.jsonl"),
            "either a question or a file of them",
        ),
        (("search", "store", "tea", "--out", "h.trec"), "--out is for a file of queries"),
        (("search", "store", "tea", "--layout", "compactds"), "--layout compactds is for a file of queries"),
        (("search", "store", "--queries", "notes/queries.jsonl"), "needs a file for their hits"),
        (("search", "store", "--queries", "notes/queries.jsonl", "--out", "h.csv"), "--out hits.parquet"),
        (
            (
                "search",
                "store",
                "--queries",
                "notes/queries.jsonl",
                "--out",
                "h.trec",
                "--layout",
                "compactds",
            ),
            "the layout compactds is JSON Lines",
        ),
        (
            ("search", "store", "--queries", "notes/queries.jsonl", "--out", "h.trec", "--text"),
            "a TREC file holds no text",
        ),
        (("search", "store", "--queries", "notes/queries.jsonl", "--out", "h.trec", "-k", "0"), "k must be"),
        (("eval", "retrieval", "--data", "notes"), "at least one retriever"),
    ],
)
def test_what_cannot_be_asked_exits_with_2(invoke, live, arguments, message):
    done = invoke(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
