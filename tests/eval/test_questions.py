from __future__ import annotations

import gzip
import json

import pytest

from datastore import NotFoundError, UsageError
from datastore.decontamination import Question, build_matcher
from eval.questions import parse_questions, read_questions
from eval.tasks import TASKS, find_task


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


def test_relative_paths_start_from_the_root(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "q.jsonl", {"question": "What walks?"})
    expected = [Question("q", "0", "What walks?")]

    assert list(parse_questions("q.jsonl", root=tmp_path / "deep")) == expected
    assert list(parse_questions("q=q.jsonl", root=tmp_path / "deep")) == expected
    assert list(parse_questions(str(tmp_path / "deep" / "q.jsonl"), root=tmp_path / "other")) == expected
    with pytest.raises(NotFoundError, match="math is a task: write math=PATH"):
        list(parse_questions("math", root=tmp_path))


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
    texts = [Question("pubmedqa", "11", text) for text in ("Do cats sleep?", "yes\nno\nmaybe", "They do.")]

    assert list(read_questions(tmp_path, "pubmedqa")) == texts
    assert list(parse_questions(f"pubmedqa={tmp_path}")) == texts
    assert list(read_questions(tmp_path / "pqal.jsonl", "pubmedqa", ["contexts"])) == [
        Question("pubmedqa", "0", "Cats were watched.")
    ]


def test_an_exam_gives_away_its_passage_and_its_options_too(tmp_path):
    exam = {
        "passage": "A long story.", "question": "Who told it?", "options": ["(A)Ann", "(B)Ben"], "label": "B"
    }  # fmt: skip
    write(tmp_path / "sat-en.jsonl", exam)

    assert list(parse_questions(f"agieval={tmp_path}")) == [
        Question("agieval", "sat-en/1", text) for text in ("A long story.", "Who told it?", "Ann\nBen")
    ]


def test_a_source_is_a_path_with_or_without_a_name(tmp_path):
    file = write(tmp_path / "test.jsonl", {"problem": "Add 1 to 1."})

    assert list(parse_questions(f"sums={file}")) == [Question("sums", "0", "Add 1 to 1.")]
    assert list(parse_questions(str(file))) == [Question("test", "0", "Add 1 to 1.")]
    with pytest.raises(UsageError, match=r"test.jsonl:1: expected text in \"solution\".*") as error:
        list(parse_questions(f"math={file}"))
    assert error.value.hint == "plain questions need another name than the task's: my_math=PATH"


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


FOLDERS = {"arc": "arc_c", "math_500": "math"}


@pytest.mark.parametrize("task", sorted(name for name in TASKS if ":" not in name and name != "gpqa"))
def test_every_task_gives_its_questions(task, test_data):
    questions = list(parse_questions(f"{task}={test_data / FOLDERS.get(task, task)}"))

    items = find_task(task).read(test_data / FOLDERS.get(task, task))
    assert {question.item for question in questions} == {item.id for item in items}
    assert {item.question for item in items} <= {question.text for question in questions}
    assert len(build_matcher(questions[:500]).names) > 0


def test_a_passage_that_gives_away_options_is_found(test_data):
    questions = list(parse_questions(f"mmlu={test_data / 'mmlu'}"))
    options = max((question.text for question in questions if "\n" in question.text), key=len)

    (leak,) = build_matcher(questions).leaks([f"Quiz. {options}"], [[(0, len(options))]])

    assert leak.task == "mmlu"
    assert leak.words > 50


def test_plain_files_are_read_and_nearly_all_are_used(test_data):
    files = {"gsm8k": "test_half", "math": "test_half", "csqa": "dev"}
    questions = [
        question
        for name, file in files.items()
        for question in read_questions(
            test_data / name / f"{file}.jsonl.gz", f"plain {name}", ["question.stem"] * (name == "csqa")
        )
    ]

    assert len(questions) == 651 + 2529 + 1221
    assert len(build_matcher(questions).names) > 0.9 * len(questions)


def test_a_task_alone_is_told_apart_from_a_file():
    with pytest.raises(NotFoundError, match="write mmlu=PATH"):
        list(parse_questions("mmlu"))
