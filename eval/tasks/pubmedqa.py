"""PubMedQA (Jin et al., EMNLP 2019): yes, no or maybe, and the conclusion, of a question that an abstract answers.

The 1,000 questions that experts labelled (PQA-L). An abstract is given without its conclusion, which is the reference
long answer: reading the abstract helps, and does not give the reference away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datastore.errors import NotFoundError, UsageError

from ..files import find_file, read_records, text_field

NAME = "pubmedqa"
CHOICES = ("yes", "no", "maybe")


@dataclass(frozen=True)
class Question:
    id: str  # the PubMed id; a corpus of the abstracts uses it as document id
    text: str
    abstract: str  # without the conclusion
    long_answer: str  # the conclusion
    answer: str  # one of CHOICES


def questions_file(path: str | Path) -> Path:
    """The file of the questions: `path`, or pqal.jsonl in the folder `path`, as it is or with .gz.

    Raises
    ------
    NotFoundError
        If there is no such file.
    """
    path = Path(path)
    file = find_file(path / "pqal.jsonl" if path.is_dir() else path)
    if file is None:
        raise NotFoundError(
            f"there are no PubMedQA questions at {path}", hint="give pqal.jsonl or the folder that holds it"
        )
    return file


def read(path: str | Path) -> list[Question]:
    """The questions of a file or folder.

    Raises
    ------
    NotFoundError
        If there is no such file.
    UsageError
        If a line is not such a question, or an id is there twice.
    """
    questions: dict[str, Question] = {}
    for place, record in read_records(questions_file(path)):
        contexts = record.get("contexts")
        if (
            not isinstance(contexts, list)
            or not contexts
            or not all(isinstance(part, str) for part in contexts)
        ):
            raise UsageError(f'{place}: expected a list of texts in "contexts"')
        question = Question(
            id=text_field(record, "pmid", place),
            text=text_field(record, "question", place).strip(),
            abstract=" ".join(part.strip() for part in contexts),
            long_answer=text_field(record, "long_answer", place).strip(),
            answer=text_field(record, "final_decision", place),
        )
        if question.answer not in CHOICES:
            raise UsageError(
                f"{place}: expected one of {', '.join(CHOICES)} in final_decision, got {question.answer!r}"
            )
        if question.id in questions:
            raise UsageError(f"{place}: question {question.id} is there twice")
        questions[question.id] = question
    return list(questions.values())


def sample(questions: Sequence[Question], n: int, seed: int = 0) -> list[Question]:
    """Draw n of the questions without replacement, in their order.

    Raises
    ------
    UsageError
        If there are fewer than n.
    """
    if not 1 <= n <= len(questions):
        raise UsageError(f"cannot draw {n} of {len(questions)} questions")
    chosen = np.random.default_rng(seed).choice(len(questions), size=n, replace=False)
    return [questions[i] for i in sorted(chosen.tolist())]


def prompt(question: Question, passages: Sequence[str] = ()) -> str:
    """What the model reads; `passages` best first.

    As in CompactDS (Lyu et al., 2025): plain text without titles or markers, the best passage nearest to the question.
    """
    return "\n\n".join([*reversed(passages), f"Question: {question.text}\nAnswer:"])
