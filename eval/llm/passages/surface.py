"""Whether the answer is in what a model was shown."""

from __future__ import annotations

from collections.abc import Sequence

from datastore.text import words

from ...tasks.task import Item, Passage, Task


def right_texts(task: Task, item: Item) -> tuple[str, ...]:
    """What is right, in words: references where the model writes or scores them, else the right option."""
    free = task.form in ("generate", "likelihood") and item.references
    return item.references if free else item.right_answers


def answer_rank(
    answers: Sequence[str], passages: Sequence[Passage], characters: int | None = None
) -> int | None:
    """The rank, from 1, of the first passage that has an answer's words in a row, whatever their case.

    Only the first `characters` of a passage are looked at, as only they are shown. A short answer surfaces by chance:
    what this says is where the string is, not where the evidence is.
    """
    wanted = [folded for answer in answers if (folded := _folded(answer)).strip()]
    for rank, passage in enumerate(passages, start=1):
        text = _folded(passage.text[:characters])
        if any(answer in text for answer in wanted):
            return rank
    return None


def _folded(text: str) -> str:
    """Words between blanks, one before the first and behind the last."""
    return f" {' '.join(words(text.casefold()))} "
