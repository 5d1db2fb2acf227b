from __future__ import annotations

import gzip
import json

import pytest

from datastore import NotFoundError, UsageError
from datastore.decontamination import Question, build_matcher
from eval.questions import parse_questions, read_questions


def write(path, *records):
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_questions_of_a_file_with_its_name_and_line_numbers(tmp_path):
    file = write(
        tmp_path / "riddles.jsonl.gz", {"question": "What walks?"}, {"question": "What flies?", "id": 7}
    )

    assert list(read_questions(file)) == [
        Question("riddles", "0", "What walks?"),
        Question("riddles", "7", "What flies?"),
    ]


def test_fields_are_chosen_nested_listed_and_null(tmp_path):
    file = write(
        tmp_path / "q.jsonl",
        {"question": {"stem": "What walks?", "notes": None}, "choices": ["a cat", "a hat"], "_id": "x"},
    )

    found = read_questions(file, "riddles", ["question.stem", "choices", "question.notes"])

    assert list(found) == [
        Question("riddles", "x", "What walks?"),
        Question("riddles", "x", "a cat"),
        Question("riddles", "x", "a hat"),
    ]


def test_a_task_knows_its_texts(tmp_path):
    write(
        tmp_path / "pqal.jsonl",
        {
            "pmid": "11",
            "question": "Do cats sleep?",
            "contexts": ["Cats were watched."],
            "long_answer": "They do.",
            "final_decision": "yes",
        },
    )
    texts = [Question("pubmedqa", "11", "Do cats sleep?"), Question("pubmedqa", "11", "They do.")]

    assert list(read_questions(tmp_path, "pubmedqa")) == texts
    assert list(parse_questions(f"pubmedqa={tmp_path}")) == texts
    assert list(read_questions(tmp_path / "pqal.jsonl", "pubmedqa", ["contexts"])) == [
        Question("pubmedqa", "0", "Cats were watched.")
    ]


def test_a_source_is_a_path_with_or_without_a_name(tmp_path):
    file = write(tmp_path / "test.jsonl", {"problem": "Add 1 to 1."})

    assert list(parse_questions(f"math={file}")) == [Question("math", "0", "Add 1 to 1.")]
    assert list(parse_questions(str(file))) == [Question("test", "0", "Add 1 to 1.")]


@pytest.mark.parametrize(
    ("record", "fields", "message"),
    [
        ({"answer": "4"}, [], "there is no question, the fields are answer"),
        ({"question": "Why?"}, ["choices"], 'there is no field "choices"'),
        ({"question": "Why?"}, ["question.stem"], 'there is no field "question.stem"'),
        ({"question": 4}, [], 'expected text or a list of texts in "question"'),
    ],
)
def test_errors_name_the_line(tmp_path, record, fields, message):
    file = write(tmp_path / "q.jsonl", {"question": "Fine?", "choices": []}, record)

    with pytest.raises(UsageError) as error:
        list(read_questions(file, None, fields))

    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="there are no questions at"):
        list(read_questions(tmp_path / "none.jsonl"))


def test_real_sets_are_read_and_nearly_all_are_used(test_data):
    questions = [
        *read_questions(test_data / "mmlu" / "test_half.jsonl.gz", "mmlu"),
        *read_questions(test_data / "gsm8k" / "test_half.jsonl.gz", "gsm8k"),
        *read_questions(test_data / "math" / "test_half.jsonl.gz", "math"),
        *read_questions(test_data / "csqa" / "dev.jsonl.gz", "csqa", ["question.stem"]),
        *read_questions(test_data / "pubmedqa", "pubmedqa"),
    ]

    assert len(questions) == 7056 + 651 + 2529 + 1221 + 2 * 1000
    assert len({question.item for question in questions if question.task == "mmlu"}) == 7056
    matcher = build_matcher(questions)
    assert len(matcher.names) > 0.9 * len(questions)
