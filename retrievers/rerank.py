"""The first candidates in the order that a model gives them when it reads each with the question."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, Hit, Hits, NotFoundError, UsageError
from datastore.checks import integer
from datastore.machine import available_cores
from datastore.quiet import quiet_transformers

from .explain import ChainHits, revised
from .parameters import number, written
from .selectors import Selector

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

Score = Callable[[Sequence[str], Sequence[str]], NDArray[np.float32]]
"""(m,) scores of m questions, each with its passage."""

_BATCH = 16  # pairs in one forward pass
_PAIRS_AT_ONCE = 256  # bounds the texts and tokens in RAM
_CANDIDATES_PER_LOOK = 16  # at the clock, of each query


@dataclass(frozen=True, repr=False)
class Reranking(Selector):
    """Scores the first candidates anew.

    Attributes
    ----------
    model
        Its name.
    candidates
        Hits that are scored; what comes behind them keeps its order behind them.
    budget_s
        Seconds for each query, after which the candidates that are left keep their order behind those that were scored;
        the first 16 always are. The hits' `scored` and `route` say so. Which candidates these are depends on the machine.
        None: no limit.
    """

    model: str
    candidates: int = 50
    budget_s: float | None = None

    def __post_init__(self) -> None:
        given: object = self.model
        if not isinstance(given, str) or not given:
            raise UsageError(f"model must be the name of one, got {given!r}")
        object.__setattr__(self, "candidates", integer("candidates", self.candidates, at_least=1))
        if self.budget_s is not None:
            object.__setattr__(self, "budget_s", number("budget_s", self.budget_s))
            if self.budget_s <= 0:
                raise UsageError(f"budget_s must be above 0, got {self.budget_s}")

    def __repr__(self) -> str:
        return written(self.name, self)

    def depth(self, k: int) -> int:
        return max(k, self.candidates)

    def bind(self, store: Datastore) -> BoundReranking:
        """Loads the model."""
        del store
        return BoundReranking(self, self.load())

    @abstractmethod
    def load(self) -> Score:
        """What scores, with its model in RAM."""


@dataclass(frozen=True, repr=False)
class CrossEncoderRerank(Reranking):
    """By a cross-encoder of sentence-transformers, by hub name or folder; scores are its logits.

    Nogueira and Cho, "Passage Re-ranking with BERT" (2019). It reads as much of a passage as fits its input.
    """

    model: str = "cross-encoder/ms-marco-MiniLM-L6-v2"

    name: ClassVar[str] = "rerank"

    def __call__(
        self,
        *,
        model: str = model,
        candidates: int = Reranking.candidates,
        budget_s: float | None = Reranking.budget_s,
    ) -> CrossEncoderRerank:
        """A selector with these parameters; what is not given has its default."""
        return CrossEncoderRerank(model, candidates, budget_s)

    def load(self) -> Score:
        return _Scorer(self.model)


class _Scorer:
    """A loaded cross-encoder.

    As in `datastore.encoders.sentence_transformer`, the forward passes are ours to schedule: batches of similar length,
    each on one thread, several at a time. On a busy CPU the threads of one `predict` wait for each other.
    """

    def __init__(self, name: str) -> None:
        self._model = _load(name)
        self._prompt = self._model.prompts.get(self._model.default_prompt_name or "")
        self._tokenizer_lock = threading.Lock()  # padding and truncation are state of the tokenizer

    def __call__(self, questions: Sequence[str], passages: Sequence[str]) -> NDArray[np.float32]:
        import torch

        pairs = list(zip(questions, passages, strict=True))
        scores = np.empty(len(pairs), dtype=np.float32)
        order = np.argsort([-len(question) - len(passage) for question, passage in pairs], kind="stable")
        batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]

        def score(batch: NDArray[np.int64]) -> None:
            torch.set_num_threads(1)  # of this thread; see above
            with self._tokenizer_lock:
                features = self._model.preprocess([pairs[i] for i in batch], prompt=self._prompt)
            with torch.inference_mode():
                features = {
                    name: value.to(self._model.device) if isinstance(value, torch.Tensor) else value
                    for name, value in features.items()
                }
                # Not through the sigmoid that models of one label have by default: it makes good hits equal.
                scores[batch] = self._model(features)["scores"].float().cpu().numpy().reshape(len(batch))

        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(max(1, min(available_cores(), len(batches)))) as pool:
                for _ in pool.map(score, batches):
                    pass  # raises what a batch raised
        finally:
            torch.set_num_threads(before)
        return scores


def _load(name: str) -> CrossEncoder:
    from sentence_transformers import CrossEncoder

    try:
        with quiet_transformers():
            model: CrossEncoder = CrossEncoder(
                name, trust_remote_code=False, model_kwargs={"use_safetensors": True}
            )
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"cannot load the cross-encoder {name!r}: {str(error).splitlines()[0]}",
            hint="rerank(model='…') takes the hub name of a cross-encoder of sentence-transformers, or a folder",
        ) from error
    if model.num_labels != 1:
        raise UsageError(
            f"the model {name!r} gives {model.num_labels} numbers for a pair, not one score",
            hint="rerank takes a cross-encoder that was trained to rank",
        )
    return model.eval()


@dataclass(frozen=True)
class BoundReranking:
    selector: Reranking
    score: Score

    def select(self, queries: Sequence[str], hits: Hits, k: int, where: str | None = None) -> ChainHits:
        del where
        rows, scores = hits.rows.copy(), hits.scores.copy()
        scored = np.zeros(len(hits), dtype=np.int64)
        wanted = np.minimum((rows >= 0).sum(axis=1), self.selector.candidates)
        queries_at_once = max(1, _PAIRS_AT_ONCE // self.selector.candidates)
        for start in range(0, len(hits), queries_at_once):
            block = range(start, min(start + queries_at_once, len(hits)))
            for query, found in zip(block, self._scores(queries, hits, block), strict=True):
                scored[query] = len(found)
                _reorder(rows[query], scores[query], found)
        route = hits.route
        if late := int((scored < wanted).sum()):
            least = f"{int(scored[scored < wanted].min())} of {self.selector.candidates}"
            note = f"{self.selector.name} ran out of time for {late} of {len(hits)} queries, at the least after {least} candidates"
            route = f"{route}; {note}" if route else note
        return revised(
            hits, rows=rows[:, :k], scores=scores[:, :k], route=route, scored=np.minimum(scored, k)
        )

    def _scores(self, queries: Sequence[str], hits: Hits, block: range) -> list[NDArray[np.float32]]:
        """Scores of each query's first candidates, as many as there was time for."""
        budget_s, candidates = self.selector.budget_s, self.selector.candidates
        deadline = np.inf if budget_s is None else time.perf_counter() + budget_s * len(block)
        first = revised(hits, rows=hits.rows[:, :candidates], scores=hits.scores[:, :candidates])
        texts = [[_passage(hit) for hit in first[query]] for query in block]
        found = [np.empty(0, dtype=np.float32) for _ in block]
        step = candidates if budget_s is None else _CANDIDATES_PER_LOOK
        for start in range(0, max(map(len, texts), default=0), step):
            if start and time.perf_counter() >= deadline:
                break
            parts = [line[start : start + step] for line in texts]
            asked = [queries[query] for query, part in zip(block, parts, strict=True) for _ in part]
            together = self.score(asked, [text for part in parts for text in part])
            ends = np.cumsum([len(part) for part in parts])
            for place, part in enumerate(np.split(together, ends[:-1])):
                found[place] = np.concatenate([found[place], part])
        return found


def _passage(hit: Hit) -> str:
    """What encoders are given by default."""
    return f"{hit.title}\n{hit.text}" if hit.title else hit.text


def _reorder(rows: NDArray[np.int64], scores: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    """Give a query's first hits the scores `found` and their order, ties by row; those behind, scores below."""
    count, all_hits = len(found), int((rows >= 0).sum())
    if not count:
        return
    order = np.lexsort((rows[:count], -found))
    rows[:count], scores[:count] = rows[:count][order], found[order]
    # As close as float32 tells them apart: what scales scores later should see the reranked ones.
    lowest = float(found[order[-1]])
    below = np.arange(1, all_hits - count + 1) * 1e-6 * max(1.0, abs(lowest))
    scores[count:all_hits] = lowest - below


rerank = CrossEncoderRerank()
