"""Putting questions to an engine: from the cache what was asked before, one call for the others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datastore.protocols import LogLikelihood

from ...engines import Engine, Generation, RequestsFailedError
from ...tasks.task import Item, Prompt, Task
from .cache import AnswerCache, answer_key


class Answer(NamedTuple):
    """What the model said to one question; `error` says why it did not."""

    scores: Sequence[LogLikelihood] = ()  # of the task's continuations
    unconditional: Sequence[LogLikelihood] = ()  # the same behind `task.unconditional`
    generation: Generation | None = None
    seconds: float = 0.0  # its share of the call, all questions of which count the same; 0 from the cache
    cached: bool = False
    error: str = ""


class Asker:
    """`engine_s` and `cache_s` are the seconds spent with each so far."""

    def __init__(self, engine: Engine, task: Task, cache: AnswerCache, *, seed: int = 0) -> None:
        self._engine = engine
        self._task = task
        self._cache = cache
        self._seed = seed
        self._fingerprint = engine.fingerprint.model_dump()
        self.engine_s = self.cache_s = 0.0

    def ask(self, items: Sequence[Item], prompts: Sequence[Prompt]) -> list[Answer]:
        """The answer to each question, in one call to the engine; equal prompts of a call are asked once."""
        started = time.perf_counter()
        engine_s = self.engine_s
        wanted = [self._task.continuations(item) for item in items]
        keys = [self._key(prompt, texts) for prompt, texts in zip(prompts, wanted, strict=True)]
        answers = {
            key: self._read(value)
            for key, value in zip(keys, self._cache.get(keys), strict=True)
            if value is not None
        }
        new = {key: number for number, key in enumerate(keys) if key not in answers}
        if new:
            numbers = list(new.values())
            asked = self._ask([prompts[n] for n in numbers], [wanted[n] for n in numbers])
            answers.update(zip(new, asked, strict=True))
            self._cache.put({key: _written(answers[key]) for key in new if not answers[key].error})
        self.cache_s += time.perf_counter() - started - (self.engine_s - engine_s)
        return [answers[key] for key in keys]

    def _ask(self, prompts: Sequence[Prompt], wanted: Sequence[Sequence[str]]) -> list[Answer]:
        started = time.perf_counter()
        answers = self._generate(prompts) if self._task.form == "generate" else self._score(prompts, wanted)
        seconds = time.perf_counter() - started
        self.engine_s += seconds
        return [answer._replace(seconds=seconds / len(prompts)) for answer in answers]

    def _generate(self, prompts: Sequence[Prompt]) -> list[Answer]:
        generated: Sequence[Generation | None]
        failures: Mapping[int, str] = {}
        try:
            generated = self._engine.generate(
                prompts, max_tokens=self._task.max_tokens, stop=self._task.stop, seed=self._seed
            )
        except RequestsFailedError as error:
            generated, failures = error.answers, error.failures
        return [
            Answer(generation=text, error=failures.get(number, "")) for number, text in enumerate(generated)
        ]

    def _score(self, prompts: Sequence[Prompt], wanted: Sequence[Sequence[str]]) -> list[Answer]:
        """A question's continuations stand together, so that an engine reads its prompt once."""
        behind = [(prompt, text) for prompt, texts in zip(prompts, wanted, strict=True) for text in texts]
        if self._task.normalise == "unconditional":
            behind += [(self._task.unconditional, text) for texts in wanted for text in texts]
        scores: Sequence[LogLikelihood | None]
        failures: Mapping[int, str] = {}
        try:
            scores = self._engine.log_likelihoods(*map(list, zip(*behind, strict=True)))
        except RequestsFailedError as error:
            scores, failures = error.answers, error.failures
        answers = []
        place, half = 0, sum(map(len, wanted))
        for texts in wanted:
            own = range(place, place + len(texts))
            alone = range(half + own.start, half + own.stop) if len(behind) > half else range(0)
            answers.append(_scored(scores, failures, own, alone))
            place = own.stop
        return answers

    def _key(self, prompt: Prompt, continuations: Sequence[str]) -> str:
        task = self._task
        request: dict[str, Any] = {"prompt": prompt}
        if task.form == "generate":
            request |= {
                "max_tokens": task.max_tokens,
                "stop": task.stop,
                "temperature": 0.0,
                "seed": self._seed,
            }
        else:
            request |= {"continuations": continuations}
        if task.normalise == "unconditional":
            request |= {"unconditional": task.unconditional}
        return answer_key(self._fingerprint, request)

    def _read(self, value: Mapping[str, Any]) -> Answer:
        """As `_written` left it."""
        generation = value["generation"] and Generation(*value["generation"])
        scores, alone = (
            [LogLikelihood(*score) for score in value[name]] for name in ("scores", "unconditional")
        )
        return Answer(scores, alone, generation, cached=True)


def _scored(
    scores: Sequence[LogLikelihood | None], failures: Mapping[int, str], own: range, alone: range
) -> Answer:
    reasons = [failures[number] for number in (*own, *alone) if number in failures]
    if reasons:
        return Answer(error=reasons[0])
    given = [score for score in (scores[number] for number in own) if score is not None]
    return Answer(given, [score for score in (scores[number] for number in alone) if score is not None])


def _written(answer: Answer) -> dict[str, Any]:
    return {
        "scores": answer.scores,
        "unconditional": answer.unconditional,
        "generation": answer.generation,
    }
