"""What retrieval does for a language model: the same questions with no passage, with retrieved ones, right and wrong.

closed     the question alone: the baseline
retrieved  the passages that the retriever finds in the store
gold       the abstract that answers the question: what perfect retrieval would give
wrong      another question's abstract: what any text of the kind gives, relevant or not
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import xxhash

from datastore import Datastore
from datastore.errors import CompendiaError, UsageError
from datastore.protocols import LogLikelihood
from retrievers import Chain

from .engines import Engine, EngineFingerprint
from .report import StoreDescription
from .statistics import (
    RESAMPLES,
    Difference,
    Estimate,
    Losses,
    interval,
    paired_difference,
    perplexity,
    perplexity_difference,
)
from .tasks import pubmedqa
from .tasks.pubmedqa import CHOICES, Question

BASELINE = "closed"


class _Passage(NamedTuple):
    document_id: str
    text: str


@dataclass(frozen=True)
class Record:
    """One question in one arm."""

    arm: str
    question: str
    prompt_hash: str  # xxh3-64 of the prompt, hex
    passages: tuple[str, ...]  # document ids, best first
    nll_nats: float  # minus the log-likelihood of the reference long answer
    tokens: int  # of the reference
    choices_nats: Mapping[str, float]  # log-likelihood of each choice
    prediction: str
    answer: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LLMArm:
    """One setting; `accuracy_difference` and `perplexity_difference` are to `closed`, None for `closed` itself."""

    arm: str
    accuracy: Estimate
    perplexity: Estimate
    accuracy_difference: Difference | None
    perplexity_difference: Difference | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        difference = None
        if self.accuracy_difference is not None and self.perplexity_difference is not None:
            difference = {
                "accuracy": self.accuracy_difference.to_json(),
                "perplexity": self.perplexity_difference.to_json(),
            }
        return {
            "arm": self.arm,
            "accuracy": self.accuracy.to_json(),
            "perplexity": self.perplexity.to_json(),
            "difference": difference,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class LLMReport:
    """`gold_retrieved` is the share of questions whose own abstract is among the passages retrieved."""

    task: str
    questions: int
    engine: EngineFingerprint
    store: StoreDescription
    retriever: str
    passages: int
    seed: int
    arms: tuple[LLMArm, ...]
    gold_retrieved: float
    records: tuple[Record, ...]  # arm by arm, in the order of the questions; not part of `to_json`

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "compendia.eval.llm/1",
            "task": self.task,
            "questions": self.questions,
            "engine": self.engine.model_dump(),
            "store": self.store.to_json(),
            "retriever": self.retriever,
            "passages": self.passages,
            "seed": self.seed,
            "resamples": RESAMPLES,
            "arms": [arm.to_json() for arm in self.arms],
            "gold_retrieved": self.gold_retrieved,
        }


def evaluate(
    questions: Sequence[Question],
    engine: Engine,
    store: Datastore,
    chain: Chain,
    *,
    passages: int = 3,
    seed: int = 0,
    on_arm: Callable[[LLMArm], None] | None = None,
) -> LLMReport:
    """Ask every question in every arm. Accuracy is by the likeliest choice, perplexity that of the long answer.

    Parameters
    ----------
    passages
        How many retrieved passages a prompt holds.
    seed
        Of the wrong abstracts and of the intervals.
    on_arm
        Called with each arm when it is done.

    Raises
    ------
    UsageError
        If there are fewer than two questions, an id is there twice, or a prompt does not fit the engine's context.
    """
    if len(questions) < 2:
        raise UsageError(
            f"expected at least two questions, got {len(questions)}: the wrong abstract is another question's"
        )
    if len({question.id for question in questions}) < len(questions):
        raise UsageError("a question is there twice")
    hits = chain.on(store).retrieve([question.text for question in questions], passages)
    found = [[_Passage(hit.document_id, hit.text) for hit in some] for some in hits]
    gold = [[_Passage(question.id, question.abstract)] for question in questions]
    shown: dict[str, list[list[_Passage]]] = {
        BASELINE: [[] for _ in questions],
        "retrieved": found,
        "gold": gold,
        "wrong": [gold[other] for other in derangement(len(questions), seed)],
    }
    arms: list[LLMArm] = []
    records: dict[str, list[Record]] = {}
    for arm, given in shown.items():
        started = time.perf_counter()
        records[arm] = _ask(arm, questions, given, engine)
        _check_same_questions(records[BASELINE], records[arm])
        seconds = time.perf_counter() - started
        arms.append(_summarise(records[arm], None if arm == BASELINE else records[BASELINE], seconds, seed))
        if on_arm is not None:
            on_arm(arms[-1])
    return LLMReport(
        task=pubmedqa.NAME,
        questions=len(questions),
        engine=engine.fingerprint,
        store=StoreDescription.of(store),
        retriever=str(chain),
        passages=passages,
        seed=seed,
        arms=tuple(arms),
        gold_retrieved=_share_retrieved(records["retrieved"]),
        records=tuple(record for some in records.values() for record in some),
    )


def _share_retrieved(records: Sequence[Record]) -> float:
    return sum(record.question in record.passages for record in records) / len(records)


def derangement(n: int, seed: int) -> list[int]:
    """A seeded permutation of n >= 2 positions that leaves none where it is: one cycle through all, in random order."""
    cycle = np.random.default_rng(seed).permutation(n)
    after = np.empty(n, dtype=np.int64)
    after[cycle] = np.roll(cycle, -1)
    return [int(position) for position in after]


def _ask(
    arm: str, questions: Sequence[Question], given: Sequence[Sequence[_Passage]], engine: Engine
) -> list[Record]:
    """One call to the engine: each prompt with each choice and with the reference."""
    prompts = [pubmedqa.prompt(q, [p.text for p in shown]) for q, shown in zip(questions, given, strict=True)]
    continuations = [f" {text}" for q in questions for text in (*CHOICES, q.long_answer)]
    per_question = len(CHOICES) + 1
    scores = engine.log_likelihoods([p for p in prompts for _ in range(per_question)], continuations)
    records = []
    for i, (question, prompt) in enumerate(zip(questions, prompts, strict=True)):
        *choices, reference = scores[i * per_question : (i + 1) * per_question]
        records.append(_record(arm, question, prompt, given[i], choices, reference))
    return records


def _record(
    arm: str,
    question: Question,
    prompt: str,
    given: Sequence[_Passage],
    choices: Sequence[LogLikelihood],
    reference: LogLikelihood,
) -> Record:
    nats = {choice: score.nats for choice, score in zip(CHOICES, choices, strict=True)}
    return Record(
        arm=arm,
        question=question.id,
        prompt_hash=xxhash.xxh3_64_hexdigest(prompt.encode()),
        passages=tuple(passage.document_id for passage in given),
        nll_nats=-reference.nats,
        tokens=reference.tokens,
        choices_nats=nats,
        prediction=max(CHOICES, key=nats.__getitem__),  # the first of equals, in the order of CHOICES
        answer=question.answer,
    )


def _check_same_questions(baseline: Sequence[Record], arm: Sequence[Record]) -> None:
    """A comparison of perplexities means something only over the same tokens of the same references."""
    for expected, got in zip(baseline, arm, strict=True):
        if (expected.question, expected.tokens) != (got.question, got.tokens):
            raise CompendiaError(
                f"arm {got.arm} scores {got.tokens} tokens of question {got.question}, "
                f"arm {expected.arm} {expected.tokens} of {expected.question}: they cannot be compared"
            )


def _summarise(
    records: Sequence[Record], baseline: Sequence[Record] | None, seconds: float, seed: int
) -> LLMArm:
    right, losses = _results(records)
    differences: tuple[Difference | None, Difference | None] = (None, None)
    if baseline is not None:
        right_before, losses_before = _results(baseline)
        differences = (
            paired_difference(right, right_before, seed=seed),
            perplexity_difference(losses, losses_before, seed=seed),
        )
    return LLMArm(
        records[0].arm,
        interval(right, seed=seed),
        perplexity(losses, seed=seed),
        *differences,
        seconds=seconds,
    )


def _results(records: Sequence[Record]) -> tuple[list[float], Losses]:
    return (
        [float(record.prediction == record.answer) for record in records],
        Losses([record.nll_nats for record in records], [record.tokens for record in records]),
    )
