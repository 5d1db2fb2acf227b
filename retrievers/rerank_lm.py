"""Reranking by a language model that is handed over: what it makes of a passage is read from its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from datastore import UsageError
from datastore.protocols import LanguageModel

from .parameters import written
from .rerank import Reranking, Score

By = Literal["question", "rubric"]


@dataclass(frozen=True, repr=False)
class LanguageModelRerank(Reranking):
    """By a language model that is handed over; see `by_question` and `by_rubric`.

    It is written, and compared, by the name of the model. Read from text, it needs the model again:
    `parse(text, language_models={name: model})`.
    """

    model: str = "offline"
    candidates: int = 20
    by: By = "question"
    language_model: LanguageModel | None = field(default=None, compare=False)

    name: ClassVar[str] = "rerank_lm"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in get_args(By):
            raise UsageError(f"by must be one of {', '.join(get_args(By))}, got {self.by!r}")

    def __call__(
        self,
        *,
        model: LanguageModel | str = model,
        candidates: int = candidates,
        budget_s: float | None = Reranking.budget_s,
        by: By = by,
    ) -> LanguageModelRerank:
        """A selector with these parameters; what is not given has its default.

        A model's name is what its fingerprint says, else that of its class.
        """
        if isinstance(model, str):
            return LanguageModelRerank(model, candidates, budget_s, by)
        name = getattr(getattr(model, "fingerprint", None), "model", type(model).__name__)
        return LanguageModelRerank(name, candidates, budget_s, by, model)

    def __repr__(self) -> str:
        return written(self.name, replace(self, language_model=None))

    def load(self) -> Score:
        model = self.language_model
        if model is None:
            raise UsageError(
                f"{self} has only the name of its language model",
                hint="in Python: rerank_lm(model=…) with the model itself; "
                f"from text: parse(text, language_models={{{self.model!r}: …}})",
            )
        score = by_question if self.by == "question" else by_rubric
        return lambda questions, passages: score(model, questions, passages)


def by_question(
    model: LanguageModel, questions: Sequence[str], passages: Sequence[str]
) -> NDArray[np.float32]:
    """(m,) mean log-likelihood of a token of the question after the passage, in nats.

    Sachan et al., "Improving Passage Retrieval with Zero-Shot Question Generation" (EMNLP 2022).
    """
    found = model.log_likelihoods(
        [
            f"Passage: {passage}\n\nPlease write a question based on this passage.\nQuestion:"
            for passage in passages
        ],
        [f" {question}" for question in questions],
    )
    return np.array([one.nats / one.tokens for one in found], dtype=np.float32)


def by_rubric(model: LanguageModel, questions: Sequence[str], passages: Sequence[str]) -> NDArray[np.float32]:
    """(m,) expected rating of the passage's helpfulness, 0 to 10.

    The pointwise reranking of CompactDS (Lyu et al., 2025) lets the model write a reason and one whole number. Here
    the numbers are weighted by their probabilities, as in G-Eval (Liu et al., EMNLP 2023): nothing is generated, no
    answer can fail to parse, and few passages tie.
    """
    ratings = np.arange(11)
    found = model.log_likelihoods(
        [
            _rubric(question, passage)
            for question, passage in zip(questions, passages, strict=True)
            for _ in ratings
        ],
        [f" {rating}" for _ in questions for rating in ratings],
    )
    nats = np.array([one.nats for one in found]).reshape(-1, len(ratings))
    weights = np.exp(nats - nats.max(axis=1, keepdims=True))
    # To a tokenizer that cuts numbers into digits, 1 is also how 10 begins. Nothing behind the number tells them apart:
    # prompts that end alike share a forward pass.
    tokens = np.array([one.tokens for one in found]).reshape(-1, len(ratings))
    begins = tokens[:, 10] > tokens[:, 1]
    weights[begins, 1] = np.maximum(weights[begins, 1] - weights[begins, 10], 0)
    expected: NDArray[np.float32] = (weights @ ratings / weights.sum(axis=1)).astype(np.float32)
    return expected


def _rubric(question: str, passage: str) -> str:
    return f"""Rate how helpful the passage is for answering the question, with a whole number from 0 to 10.

0: it has nothing to do with the question
1 to 3: it is about the same subject, and does not help to answer
4 to 6: it gives background that helps in part
7 to 9: it gives most of what the answer needs
10: it gives all that the answer needs

Question: {question}

Passage: {passage}

Rating:"""


rerank_lm = LanguageModelRerank()
