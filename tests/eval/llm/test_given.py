from __future__ import annotations

import gzip
import json

import pytest

from datastore.errors import NotFoundError, UsageError
from eval.llm.config import Options
from eval.llm.passages.finders import FromFile
from eval.llm.passages.given import GivenPassages
from eval.tasks.task import Item, Passage


def test_a_file_of_compactds_is_read_by_id_and_by_question(tmp_path):
    lines = [
        {"id": "mmlu:0", "query": "Who was it?\nA\nB", "ctxs": [
            {"id": 7, "source": "arxiv", "retrieval text": "x", "retrieval score": "0.25"}]},
        {"id": "q1", "raw_query": "Other?", "ctxs": []},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "found.jsonl").write_text(text)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("found.jsonl", "packed.jsonl.gz"):
        given = GivenPassages(tmp_path / name)
        item = Item("0", "", "Who was it?", ("A", "B"), 0)
        assert given.of(item, item.full_question).passages == [Passage("7", "x", "", "arxiv", 0.25)]
        assert given.of(Item("q1", "", "?"), "?").passages == []
        assert given.sources == ["arxiv"]
        with pytest.raises(UsageError, match="no passages for question 'q2': every arm"):
            given.of(Item("q2", "", "Another?"), "Another?")
        given.close()


def test_passages_that_were_scored_again_are_in_the_order_that_is_named(tmp_path):
    scored = [
        {"retrieval text": text, "retrieval score": first, "grit score": second}
        for text, first, second in (("a", "0.9", 0.1), ("b", "0.8", 0.7), ("c", "0.7", 0.7))
    ]
    path = tmp_path / "exact.jsonl"
    path.write_text(json.dumps({"id": "q", "ctxs": scored}))
    item = Item("q", "", "?")
    for name, expected in (
        ("grit score", [("b", 0.7), ("c", 0.7), ("a", 0.1)]),
        ("retrieval score", [("a", 0.9), ("b", 0.8), ("c", 0.7)]),
    ):
        given = GivenPassages(path, name)
        assert [(passage.text, passage.score) for passage in given.of(item, "?").passages] == expected
        given.close()
    with pytest.raises(UsageError, match=r"exact.jsonl:1: .* scores, retrieval score, grit score") as error:
        GivenPassages(path)
    assert error.value.hint == 'score: "grit score", in the arm of the file'
    with pytest.raises(UsageError, match="expected a number as score, got None"):
        GivenPassages(path, "rubric score")


def test_passages_are_those_of_the_question_where_ids_are_another_files_numbers(tmp_path):
    lines = [
        {"id": "1", "raw_query": "Who came second?", "ctxs": [{"retrieval text": "of the second"}]},
        {"id": "2", "raw_query": "Who came first?", "ctxs": [{"retrieval text": "of the first"}]},
        {"id": "3", "raw_query": "Which is true?", "ctxs": [{"retrieval text": "of one"}]},
        {"id": "4", "raw_query": "Which is true?", "ctxs": [{"retrieval text": "of another"}]},
    ]
    (tmp_path / "found.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = GivenPassages(tmp_path / "found.jsonl")
    for name, question, text in (
        ("1", "Who came first?", "of the first"),
        ("2", "Who came second?", "of the second"),
        ("4", "Which is true?", "of another"),
        ("3", "which  IS true?", "of one"),
    ):
        (passage,) = given.of(Item(name, "", question), question).passages
        assert passage.text == text
    with pytest.raises(UsageError, match="no passages for question '5'"):
        given.of(Item("5", "", "Which is true?"), "Which is true?")
    given.close()


def given_of(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return GivenPassages(path)


def test_the_text_of_a_question_without_its_options_comes_before_another_files_id(tmp_path):
    lines = [
        {"id": str(number), "query": query, "ctxs": [{"retrieval text": text}]}
        for number, (query, text) in enumerate(
            [("Who came first?", "of the first"), ("Who came second?", "of the second")]
        )
    ]
    given = given_of(tmp_path / "found.jsonl", lines)
    item = Item("1", "", "Who came first?", ("Ann", "Bob"), 0)
    assert [passage.text for passage in given.of(item, item.full_question).passages] == ["of the first"]
    given.close()


def test_the_line_of_an_id_counts_where_it_holds_the_question_or_says_none(tmp_path):
    lines = [
        {"id": "1", "query": "Which  is TRUE?\n(A) Ann\n(B) Bob", "ctxs": [{"retrieval text": "of one"}]},
        {"id": "2", "question": "Which is true?", "ctxs": [{"retrieval text": "of another"}]},
        {"id": "3", "ctxs": [{"retrieval text": "of the third"}]},
    ]
    given = given_of(tmp_path / "found.jsonl", lines)
    for name, question, text in (("1", "Which is true?", "of one"), ("3", "Who?", "of the third")):
        item = Item(name, "", question, ("Ann", "Bob"), 0)
        assert [passage.text for passage in given.of(item, item.full_question).passages] == [text]
    given.close()


def test_the_line_of_an_id_that_is_of_another_question_is_an_error(tmp_path):
    given = given_of(tmp_path / "found.jsonl", [{"id": "1", "query": "Who came second?", "ctxs": []}])
    message = (
        r"found.jsonl:1: .* '1' were found for 'Who came second\?', and question '1' is 'Who came first\?'"
    )
    with pytest.raises(UsageError, match=message):
        given.of(Item("1", "", "Who came first?"), "Who came first?")
    given.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a"}', r'expected a list of objects in "ctxs" or "hits"'),
        ('{"id": "a", "hits": [{"passage_id": "x", "score": 1}]}', "a hit has no text"),
        ('{"id": "a", "ctxs": [{"retrieval text": "x", "retrieval score": "high"}]}', "number as score"),
        ("nonsense", "is not JSON"),
    ],
)
def test_a_file_of_passages_that_is_none_names_its_line(tmp_path, line, message):
    path = tmp_path / "found.jsonl"
    path.write_text(f'{{"id": "fine", "ctxs": []}}\n{line}\n')
    with pytest.raises(UsageError, match=rf"found.jsonl:2.*{message}"):
        GivenPassages(path)
    with pytest.raises(NotFoundError):
        GivenPassages(tmp_path / "absent.jsonl")


def test_gold_is_a_hits_passage_or_its_document(tmp_path):
    hits = [
        {"passage_id": f"pubmed/{name}#0", "document_id": name, "source": "pubmed", "text": f"of {name}"}
        for name in ("7", "8", "9")
    ]
    given = given_of(tmp_path / "hits.jsonl", [{"id": "q", "query": "Who?", "hits": hits}])
    for gold, rank in (("8", 2), ("pubmed/9#0", 3), ("pubmed/8", None)):
        item = Item("q", "", "Who?", gold=(Passage(gold, ""),))
        assert FromFile(given, Options(k=3)).find([item], 0)[0].gold_rank == rank
    given.close()
