"""A run: every question in every arm, from wherever an earlier run of the same folder was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from typing import Any, NamedTuple

from datastore import Datastore
from datastore.errors import CompendiaError, IntegrityError, UsageError
from datastore.files import crash_point
from retrievers import parse

from ..engines import Engine
from ..tasks.task import Prompt
from .answers.asking import Answer, Asker
from .answers.cache import AnswerCache
from .answers.grading import grade
from .arms import Arm
from .bound import ENGINE, Bound
from .config import Evaluation, OracleArm, RetrieverArm
from .folder import RunFolder, describe
from .log import Log, read
from .passages.finders import Search
from .passages.prepare import Advance, Prepared, Seconds, make_prompt, prepare, prompt_hash, read_prepared
from .questions import Questions

Progress = Callable[[str, int | None, str], AbstractContextManager[Advance]]
"""`with progress(stage, questions, unit) as advance:`; `advance(n)` says that n more are done."""


class Done(NamedTuple):
    """`seconds` is of this call alone: what an earlier one did, and what was cached, took none."""

    folder: RunFolder
    asked: dict[str, Any]  # run.json
    questions: Questions
    arms: list[Arm]
    seconds: dict[str, float]
    retries: int


def silent(stage: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:  # noqa: ARG001 (the Progress signature)
    return nullcontext(lambda _: None)


def ask(
    evaluation: Evaluation,
    engine: Engine,
    store: Datastore | None = None,
    *,
    restart: bool = False,
    progress: Progress = silent,
) -> Done:
    """Ask what is not answered yet, into the evaluation's folder; killed at any moment, the same call goes on.

    Passages of all arms are found, and all prompts known to fit, before the model is asked.

    Raises
    ------
    UsageError
        If the evaluation makes no sense, a prompt does not fit, or the folder holds another run.
    CompendiaError
        If a server fails on more than `max_failed` questions of an arm: what was answered is kept.
    """
    folder = RunFolder(evaluation.folder)
    with closing(Bound(evaluation, store, engine)) as bound:
        questions, arms = bound.questions, bound.arms
        finders = [bound.finder(arm) for arm in arms]  # what cannot be found is known before the first search
        asked = describe(evaluation, questions, engine.fingerprint, store, arms)
        with folder.locked(asked, restart=restart):
            found = Seconds()
            for arm, finder in zip(arms, finders, strict=True):
                with progress(f"passages of {arm.name}", len(questions.items), "questions") as advance:
                    took = prepare(
                        arm,
                        finder,
                        questions,
                        engine,
                        folder.passages(arm),
                        batch=evaluation.batch,
                        max_failed=evaluation.max_failed,
                        advance=advance,
                    )
                found = Seconds(found.find + took.find, found.prompts + took.prompts)
            asking = _Seconds()
            with closing(AnswerCache(evaluation.cache or folder.path)) as cache:
                asker = Asker(engine, questions.task, cache, seed=evaluation.seed)
                for arm in arms:
                    with progress(f"answers of {arm.name}", len(questions.items), "questions") as advance:
                        _ask_arm(arm, questions, asker, folder, evaluation, advance, asking)
    decontamination = sum(
        finder.timings_ms.get("decontaminate", 0.0) / 1e3 for finder in finders if isinstance(finder, Search)
    )
    seconds = {
        "retrieval": found.find - decontamination,
        "decontamination": decontamination,
        "prompts": found.prompts + asking.prompts,
        "engine": asker.engine_s,
        "cache": asker.cache_s,
        "log": asking.log,
    }
    return Done(folder, asked, questions, arms, seconds, engine.retries)


def prompts_of(
    evaluation: Evaluation, number: int, store: Datastore | None, engine: Engine | None
) -> list[tuple[str, Prompt]]:
    """(arm, prompt) of question `number`, from 1, in every arm.

    Raises
    ------
    UsageError
        If there is no such question, or an arm needs the engine and there is none.
    """
    with closing(Bound(evaluation, store, engine)) as bound:
        items = bound.questions.items
        if not 1 <= number <= len(items):
            raise UsageError(f"there is no question {number}, there are {len(items)}")
        item = items[number - 1]
        return [
            (
                arm.name,
                make_prompt(
                    arm,
                    bound.questions,
                    item,
                    bound.finder(arm).find([item], number - 1)[0].passages,
                ),
            )
            for arm in bound.arms
        ]


def needs_engine(evaluation: Evaluation) -> bool:
    """Whether passages cannot be found without the model."""
    return any(
        isinstance(arm, OracleArm)
        or (isinstance(arm, RetrieverArm) and f"model={ENGINE!r}" in str(parse(arm.retriever)))
        for arm in evaluation.arms
    )


class _Seconds:
    prompts = 0.0
    log = 0.0


def _ask_arm(
    arm: Arm,
    questions: Questions,
    asker: Asker,
    folder: RunFolder,
    evaluation: Evaluation,
    advance: Advance,
    seconds: _Seconds,
) -> None:
    path = folder.samples(arm)
    refused = [row["error"] for row in read(folder.passages(arm)) if "error" in row]
    failed, reason = len(refused), (refused or [""])[-1]
    with closing(Log(path)) as log:
        done = {row["id"] for row in read(path) if "error" not in row}
        advance(len(done))
        waiting = (one for one in read_prepared(folder.passages(arm), questions) if one.item.id not in done)
        while batch := list(islice(waiting, evaluation.batch)):
            started = time.perf_counter()
            prompts = [_same_prompt(arm, questions, one) for one in batch]
            asking = time.perf_counter()
            answers = asker.ask([one.item for one in batch], prompts)
            answered = time.perf_counter()
            rows = [_row(questions, one, answer) for one, answer in zip(batch, answers, strict=True)]
            log.append(rows)
            crash_point("after_samples")
            seconds.prompts += asking - started
            seconds.log += time.perf_counter() - answered
            failures = [row["error"] for row in rows if "error" in row]
            failed, reason = failed + len(failures), (failures or [reason])[-1]
            advance(len(batch) - len(failures))
            if len(failures) == len(batch) > evaluation.max_failed:
                break  # the server is gone: the others would fail too
    if failed > evaluation.max_failed:
        raise CompendiaError(
            f"{failed} of {len(questions.items)} questions of the arm {arm.name} were not answered, "
            f"the last because: {reason}",
            hint="run the same command again to ask them again, those that were answered are kept; or allow for it: "
            f"--set max_failed={failed}",
        )


def _same_prompt(arm: Arm, questions: Questions, prepared: Prepared) -> Prompt:
    prompt = make_prompt(arm, questions, prepared.item, prepared.passages)
    if prompt_hash(prompt) != prepared.row["prompt"]:
        raise IntegrityError(
            f"the prompt of question {prepared.item.id!r} in the arm {arm.name} is no longer what it was: the code has "
            "changed since its passages were found",
            hint="--restart makes the run anew",
        )
    return prompt


def _row(questions: Questions, prepared: Prepared, answer: Answer) -> dict[str, Any]:
    """What the log has of one question."""
    item, row = prepared.item, prepared.row
    error = answer.error
    if not all(math.isfinite(score.nats) for score in (*answer.scores, *answer.unconditional)):
        error = "the engine gave an answer no finite log-probability"
    if error:
        return {"id": item.id, "prompt": row["prompt"], "error": error}
    graded = grade(questions.task, item, answer)
    generation = answer.generation
    return {
        "id": item.id,
        "subject": item.subject,
        "prompt": row["prompt"],
        "prompt_tokens": row["prompt_tokens"],
        "passages": [[passage["id"], passage["score"]] for passage in row["passages"]],
        "output": generation.text if generation else [list(score) for score in answer.scores],
        "finish": generation.finish if generation else None,
        "tokens": generation.tokens if generation else sum(score.tokens for score in answer.scores),
        "parsed": graded.parsed,
        "right": graded.right,
        "metrics": dict(graded.metrics),
        "seconds": round(answer.seconds, 6),
        "cached": answer.cached,
    }
