from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from datastore.errors import NotFoundError, UsageError
from eval import beir

CORPUS = '{"_id": "d1", "title": "", "text": "one"}\n'
QUERIES = '{"_id": "q2", "text": "second"}\n{"_id": "q1", "text": "first"}\n{"_id": "q3", "text": "third"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t1\nq3\td1\t0\n"


def write(folder: Path, *, corpus: str = CORPUS, queries: str = QUERIES, qrels: str = QRELS) -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text(corpus, encoding="utf-8")
    (folder / "queries.jsonl").write_text(queries, encoding="utf-8")
    (folder / "qrels/test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_judged_queries_come_in_file_order_with_all_their_grades(tmp_path):
    collection = beir.load(write(tmp_path / "small"))
    assert (collection.name, collection.split) == ("small", "test")
    assert list(collection.queries.items()) == [("q2", "second"), ("q1", "first")]
    assert collection.qrels == {"q2": {"d1": 1}, "q1": {"d1": 2, "d2": 0}}
    assert collection.unjudged_queries == 1
    assert collection.corpus == tmp_path / "small" / "corpus.jsonl"


def test_gzip_reads_the_same(tmp_path):
    plain = beir.load(write(tmp_path / "x"))
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        path = tmp_path / "x" / file
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = beir.load(tmp_path / "x")
    assert (packed.queries, packed.qrels) == (plain.queries, plain.qrels)
    assert packed.corpus.name == "corpus.jsonl.gz"


def test_a_missing_folder_says_what_the_layout_is(tmp_path):
    with pytest.raises(
        NotFoundError, match=r"no folder .*\n.*corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
    ):
        beir.load(tmp_path / "none")


def test_a_missing_split_says_which_there_are(tmp_path):
    with pytest.raises(NotFoundError, match=r"qrels/dev.tsv is not there; that folder has: test.tsv"):
        beir.load(write(tmp_path), split="dev")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"queries": QUERIES + "{oops\n"}, r"queries.jsonl:4 is not JSON"),
        ({"queries": QUERIES + "[1]\n"}, r"queries.jsonl:4: expected a JSON object, got list"),
        ({"queries": QUERIES + '{"_id": "q9"}\n'}, r'queries.jsonl:4: expected text in "text", got null'),
        (
            {"queries": QUERIES + '{"_id": 9, "text": "x"}\n'},
            r'queries.jsonl:4: expected text in "_id", got 9',
        ),
        (
            {"queries": QUERIES + '{"_id": "q1", "text": "x"}\n'},
            r"queries.jsonl:4: query 'q1' is there twice",
        ),
        ({"qrels": "q1\td1\t1\n"}, r"test.tsv:1 is a judgement, not a header"),
        ({"qrels": QRELS + "q1 d1 1\n"}, r"test.tsv:6: expected .* separated by tabs, got 1 fields"),
        ({"qrels": QRELS + "q1\td3\tyes\n"}, r"test.tsv:6: expected a whole number as grade, got 'yes'"),
        ({"qrels": QRELS + "q1\td1\t1\n"}, r"test.tsv:6: document 'd1' has two grades for query 'q1'"),
        ({"qrels": QRELS + "q7\td1\t1\n"}, r"1 queries of .* are not in .*queries.jsonl, for example 'q7'"),
        ({"qrels": "query-id\tcorpus-id\tscore\nq1\td1\t0\n"}, r"judges no document relevant"),
    ],
)
def test_a_broken_file_is_an_error_that_names_file_and_line(tmp_path, files, message):
    with pytest.raises(UsageError, match=message):
        beir.load(write(tmp_path, **files))


def test_a_cut_gzip_file_and_bytes_that_are_no_text_are_errors(tmp_path):
    write(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    lines = "".join(f'{{"_id": "q{i}", "text": "question {i * i}"}}\n' for i in range(1000))
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-20])
    with pytest.raises(UsageError, match=r"queries.jsonl.gz:\d+ cannot be read"):
        beir.load(tmp_path)
    (tmp_path / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "\xff"}\n')
    with pytest.raises(UsageError, match=r"queries.jsonl:1 cannot be read"):
        beir.load(tmp_path)


def test_real_collections_have_the_counts_of_their_papers(test_data):
    scifact = beir.load(test_data / "scifact")
    assert (len(scifact.queries), scifact.unjudged_queries) == (300, 0)
    assert sum(map(len, scifact.qrels.values())) == 339
    msmarco = beir.load(test_data / "msmarco5k")
    assert (len(msmarco.queries), msmarco.unjudged_queries) == (43, 7)
