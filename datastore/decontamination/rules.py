"""When a passage counts as contaminated, and what is said of one that is."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rule: TypeAlias = Literal["any", "coverage", "jaccard", "longest_run", "near"]


class DecontaminationConfig(BaseModel):
    """When a passage is contaminated by a question.

    Attributes
    ----------
    rule
        `any`: a common run of `ngram_words` words touches the passage. `longest_run`: one of at least `min_run_words`
        words and `min_run_share` of the question's does. `coverage`: common runs of `ngram_words` words do that in
        all cover `min_coverage` of the question and `min_run_words` of its words; with runs of 5 words it finds a
        question with a word changed here and there. `jaccard`: the Jaccard similarity of the n-grams of passage and
        question is above `max_jaccard`. `near`: as `any`, or `min_in_order` of a question's words stand there in
        their order and close together, so that some may have been replaced, left out or added.
    min_question_words
        A question with fewer is not used; one with fewer than `ngram_words` must be in a text whole.
    max_questions
        An n-gram that is in more different questions than this is a turn of phrase of those who write them, and no
        evidence.
    min_letter_words
        An n-gram with fewer words of two letters or more than this is a formula or a table, and no evidence. A run
        counts when one of its n-grams is evidence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Rule = "near"
    ngram_words: int = Field(default=13, ge=2)
    min_question_words: int = Field(default=8, ge=1)
    max_questions: int = Field(default=5, ge=1)
    min_letter_words: int = Field(default=4, ge=0)
    max_jaccard: float = Field(default=0.7, ge=0, lt=1)
    min_run_words: int = Field(default=13, ge=2)
    min_run_share: float = Field(default=0.5, ge=0, le=1)
    min_coverage: float = Field(default=0.5, ge=0, le=1)
    min_in_order: float = Field(default=0.8, gt=0, le=1)

    @model_validator(mode="after")
    def _found_by_ngrams(self) -> Self:
        if self.rule == "longest_run" and self.min_run_words < self.ngram_words:
            raise ValueError(
                f"runs are found by their n-grams: min_run_words {self.min_run_words} is below "
                f"ngram_words {self.ngram_words}"
            )
        return self


class Question(NamedTuple):
    """One text of an item of an evaluation; an item may have several."""

    task: str
    item: str
    text: str


class Match(NamedTuple):
    """Words that a text shares with a question: a run, as long as it can be, or those of a question that is nearly there."""

    task: str
    item: str
    start: int  # characters [start, end) of the text
    end: int
    words: int  # that are common
    span: str  # the text there, as written
    question: int  # position among the matcher's questions
    place: int  # of the run's first word in the question; 0 of one that is nearly there


class Leak(NamedTuple):
    """A passage, and a question that it gives away."""

    text: int  # position of the document's text
    passage: int  # position of the passage in it
    task: str
    item: str
    span: str  # what touches the passage and has most words in common
    words: int  # of the span, those in common
    value: float  # what the rule compares: words (any, near), share of the question, similarity (jaccard)

    @property
    def rank(self) -> tuple[float, int]:
        """Of leaks of one passage the one of the highest rank says most."""
        return self.value, self.words
