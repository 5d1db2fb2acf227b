"""The texts of evaluation questions, for decontamination: of every task by its name, and of any JSON Lines file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datastore.decontamination import Question
from datastore.errors import NotFoundError, UsageError

from .files import find_file, read_records
from .tasks import TASKS
from .tasks.task import Item

# Where a file's questions are if nothing is said, and what they are called: the first that a record has.
TEXT_FIELDS = ("question", "problem", "Question", "text")
ID_FIELDS = ("id", "question_id", "_id")


def read_questions(
    path: str | Path, task: str | None = None, fields: Sequence[str] = ()
) -> Iterator[Question]:
    """The questions of a task of `eval.tasks`, whatever it reads, or of a JSON Lines file, plain or gzip.

    Parameters
    ----------
    task
        A task's name, else what reports call the questions; None: the file's name without its ending.
    fields
        Each is a text of its own; `question.stem` is a field of a field, a list of texts gives one text each, null
        gives none. None given: of a task see `_texts_of`, else the first of `TEXT_FIELDS`.

    Raises
    ------
    NotFoundError
        If there is no such file.
    UsageError
        If a line is no object, lacks a field, or is not a question of the task.
    """
    if task is not None and task in TASKS and not fields:
        yield from _of_task(task, path)
        return
    path = Path(path)
    file = find_file(path)
    if file is None:
        hint = "give a .jsonl or .jsonl.gz file"
        if path.name in TASKS:
            hint = f"{path.name} is a task: write {path.name}=PATH, where its questions lie"
        raise NotFoundError(f"there are no questions at {path}", hint=hint)
    name = task or file.name.removesuffix(".gz").removesuffix(".jsonl")
    for number, (place, record) in enumerate(read_records(file)):
        item = str(next((record[field] for field in ID_FIELDS if field in record), number))
        chosen = fields or [field for field in TEXT_FIELDS if field in record][:1]
        if not chosen:
            raise UsageError(
                f"{place}: there is no question, the fields are {', '.join(record)}", hint="name its fields"
            )
        for field in chosen:
            for text in _texts(record, field, place):
                yield Question(name, item, text)


def parse_questions(source: str, fields: Sequence[str] = (), root: Path | None = None) -> Iterator[Question]:
    """`read_questions` of `TASK=PATH`, or of a path alone; relative paths start from `root`, else from here."""
    task, equals, path = source.partition("=")
    place = path if equals else source
    if root is not None and not place.startswith("hf:"):
        place = str(root / Path(place).expanduser())
    return read_questions(place, task if equals else None, fields)


def _of_task(task: str, source: str | Path) -> Iterator[Question]:
    try:
        items = TASKS[task].read(source)
    except UsageError as error:
        raise UsageError(
            error.message,
            hint=error.hint or f"plain questions need another name than the task's: my_{task}=PATH",
        ) from error
    for item in items:
        yield from (Question(task, item.id, text) for text in _texts_of(item))


def _texts_of(item: Item) -> list[str]:
    """What an item gives away: its own passage, the question, the options, each right answer.

    Not its gold passages, which are there to be found. Each is a text of its own: a short question is then found also
    where no options stand behind it, and a passage that several items share is one text.
    """
    texts = (item.passage, item.question, "\n".join(item.options), *item.references)
    return [text for text in texts if text.strip()]


def _texts(record: Mapping[str, Any], field: str, place: str) -> list[str]:
    value: Any = record
    for part in field.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UsageError(f'{place}: there is no field "{field}"')
        value = value[part]
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f'{place}: expected text or a list of texts in "{field}"')
    return texts
