from __future__ import annotations

import gzip
import json

import pytest

from datastore.errors import NotFoundError, UsageError
from eval.tasks import pubmedqa
from eval.tasks.pubmedqa import Question

RECORD = {
    "pmid": "7",
    "question": " Do leaves fall? ",
    "contexts": ["In autumn. ", "Leaves were counted."],
    "long_answer": "They do.\n",
    "final_decision": "yes",
}
QUESTION = Question("7", "Do leaves fall?", "In autumn. Leaves were counted.", "They do.", "yes")


def test_a_file_its_gzip_and_its_folder_read_the_same(tmp_path):
    line = json.dumps(RECORD) + "\n"
    (tmp_path / "pqal.jsonl").write_text(line)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/pqal.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    for place in (tmp_path, tmp_path / "pqal.jsonl", tmp_path / "packed"):
        assert pubmedqa.read(place) == [QUESTION]


def test_the_prompt_without_passages():
    assert pubmedqa.prompt(QUESTION) == "Question: Do leaves fall?\nAnswer:"


def test_the_prompt_puts_the_best_passage_nearest_to_the_question():
    assert pubmedqa.prompt(QUESTION, ["Best.", "Second.", "Third."]) == (
        "Third.\n\nSecond.\n\nBest.\n\nQuestion: Do leaves fall?\nAnswer:"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pmid": None}, 'expected text in "pmid"'),
        ({"question": " "}, 'expected text in "question"'),
        ({"contexts": "text"}, 'expected a list of texts in "contexts"'),
        ({"contexts": []}, 'expected a list of texts in "contexts"'),
        ({"long_answer": ""}, 'expected text in "long_answer"'),
        ({"final_decision": "perhaps"}, "expected one of yes, no, maybe in final_decision, got 'perhaps'"),
        ({}, "question 7 is there twice"),
    ],
)
def test_a_broken_record_is_an_error_that_names_file_and_line(tmp_path, change, message):
    file = tmp_path / "pqal.jsonl"
    file.write_text(f"{json.dumps(RECORD)}\n{json.dumps({**RECORD, **change})}\n")
    with pytest.raises(UsageError, match=f"pqal.jsonl:2: {message}"):
        pubmedqa.read(file)


def test_no_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="no PubMedQA questions at"):
        pubmedqa.read(tmp_path)


def test_a_sample_is_seeded_distinct_and_in_order():
    questions = [Question(str(i), "?", "a", "b", "no") for i in range(50)]
    chosen = pubmedqa.sample(questions, 10, seed=1)
    assert chosen == pubmedqa.sample(questions, 10, seed=1) != pubmedqa.sample(questions, 10, seed=2)
    numbers = [int(question.id) for question in chosen]
    assert numbers == sorted(set(numbers))
    assert pubmedqa.sample(questions, 50) == questions
    with pytest.raises(UsageError, match="cannot draw 51 of 50"):
        pubmedqa.sample(questions, 51)


def test_the_real_questions_do_not_give_the_conclusion_away(test_data):
    questions = pubmedqa.read(test_data / "pubmedqa")
    assert len(questions) == 1000
    assert [sum(q.answer == choice for q in questions) for choice in pubmedqa.CHOICES] == [552, 338, 110]
    assert sum(question.long_answer in question.abstract for question in questions) == 0
