"""Hits without the question itself: a passage that gives an evaluation question away is replaced by the next best."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from datastore import Datastore, Hits, UsageError
from datastore.decontamination import (
    DecontaminationConfig,
    Leak,
    Matcher,
    Question,
    Rule,
    build_matcher,
    open_matcher,
)

from .dense import dense
from .explain import ChainHits, Part, Step, noted, revised, total_ms
from .parameters import written
from .protocol import Chain, MovedOnError, Retriever, check_request, of_one_version

_DEFAULT = DecontaminationConfig()
_RULE = (
    "rule",
    "ngram_words",
    "min_question_words",
    "max_jaccard",
    "min_run_words",
    "min_run_share",
    "min_coverage",
    "min_in_order",
)


class Removal(NamedTuple):
    """A hit that was left out, and the question that it gives away."""

    passage_id: str
    task: str  # empty where the question is the query
    item: str
    span: str  # what is common, as the passage has it
    words: int
    value: float  # what the rule compares


@dataclass(frozen=True, eq=False)
class CleanHits(ChainHits):
    """Hits, and for each query what was left out above the last of them, best first."""

    removed: Sequence[Sequence[Removal]] = ()


@dataclass(frozen=True, repr=False)
class Decontaminated:
    """The hits of a chain without those that give the query away; the next best take their places.

    Attributes
    ----------
    rule, ngram_words, min_question_words, max_jaccard, min_run_words, min_run_share, min_coverage, min_in_order
        As in `datastore.decontamination.DecontaminationConfig`.
    questions
        Folder of saved questions that no hit may give away, whatever the query; they have their own rule. None: the
        query is the question.
    """

    arms: tuple[Chain, ...] = (dense,)
    rule: Rule = _DEFAULT.rule
    ngram_words: int = _DEFAULT.ngram_words
    min_question_words: int = _DEFAULT.min_question_words
    max_jaccard: float = _DEFAULT.max_jaccard
    min_run_words: int = _DEFAULT.min_run_words
    min_run_share: float = _DEFAULT.min_run_share
    min_coverage: float = _DEFAULT.min_coverage
    min_in_order: float = _DEFAULT.min_in_order
    questions: str | None = None

    def __post_init__(self) -> None:
        if len(self.arms) != 1 or not isinstance(self.arms[0], Chain):
            raise UsageError(
                f"decontaminated takes one retriever, got {', '.join(map(repr, self.arms)) or 'none'}",
                hint="decontaminated(rrf(dense, bm25))",
            )
        config = self.config
        for name in _RULE:
            object.__setattr__(self, name, getattr(config, name))
        if self.questions is not None:
            if not isinstance(self.questions, str):
                raise UsageError(f"questions must be the name of a folder, got {self.questions!r}")
            if config != _DEFAULT:
                raise UsageError(
                    "saved questions have their own rule", hint="give questions or a rule, not both"
                )

    @property
    def config(self) -> DecontaminationConfig:
        try:
            return DecontaminationConfig.model_validate(
                {name: getattr(self, name) for name in _RULE}, strict=True
            )
        except ValidationError as error:
            first = error.errors()[0]
            name = "".join(map(str, first["loc"])) or "rule"
            raise UsageError(f"{name}={getattr(self, name)!r} cannot be: {first['msg']}") from error

    def __call__(
        self,
        *arms: Chain,
        rule: Rule = rule,
        ngram_words: int = ngram_words,
        min_question_words: int = min_question_words,
        max_jaccard: float = max_jaccard,
        min_run_words: int = min_run_words,
        min_run_share: float = min_run_share,
        min_coverage: float = min_coverage,
        min_in_order: float = min_in_order,
        questions: str | None = questions,
    ) -> Decontaminated:
        """A chain over this one (none: dense); a parameter that is not given has its default."""
        return Decontaminated(
            arms or (dense,),
            rule,
            ngram_words,
            min_question_words,
            max_jaccard,
            min_run_words,
            min_run_share,
            min_coverage,
            min_in_order,
            questions,
        )

    def __repr__(self) -> str:
        return written("decontaminated", self, *self.arms)

    def on(self, store: Datastore) -> DecontaminatedRetriever:
        given = None if self.questions is None else open_matcher(Path(self.questions))
        return DecontaminatedRetriever(self, store, self.arms[0].on(store), given)


@dataclass(frozen=True)
class DecontaminatedRetriever:
    chain: Decontaminated
    store: Datastore
    arm: Retriever
    given: Matcher | None

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> CleanHits:
        texts = check_request(queries, k)
        return of_one_version(lambda: self._retrieve(texts, k, where, explain))

    def _retrieve(self, texts: list[str], k: int, where: str | None, explain: bool) -> CleanHits:
        lines = [_Line(self.given or self._own(text), k) for text in texts]
        first = hits = self.arm.retrieve(texts, k, where, explain)
        timings: list[Mapping[str, float]] = []
        asked, depth = list(range(len(texts))), k
        while True:
            started = time.perf_counter()
            for place, number in enumerate(asked):
                lines[number].take(hits, place)
            timings += [hits.timings_ms, {"decontaminate": (time.perf_counter() - started) * 1e3}]
            asked = [number for number in asked if lines[number].wants_more]
            if not asked or depth >= len(self.store):
                break
            depth = min(2 * depth, len(self.store))
            try:
                hits = self.arm.retrieve([texts[number] for number in asked], depth, where)
            except MovedOnError:
                raise
            except (
                UsageError
            ):  # the queries are good: the chain has a limit of its own, as dense(candidates=200)
                break
            if hits.version != first.version:
                raise MovedOnError
        rows = np.full((len(lines), k), -1, dtype=np.int64)
        scores = np.full((len(lines), k), -np.inf, dtype=np.float32)
        for number, line in enumerate(lines):
            rows[number, : len(line.rows)] = line.rows
            scores[number, : len(line.scores)] = line.scores
        clean = CleanHits(
            first.version,
            rows,
            scores,
            first.reader,
            total_ms(timings),
            first.route,
            spans=[line.spans for line in lines] if any(line.spans for line in lines) else (),
            paths=[line.paths for line in lines] if any(line.paths for line in lines) else (),
            removed=tuple(tuple(line.removed) for line in lines),
        )
        if not explain:
            return clean
        # What the first answer of the arm said; a deeper one changes its times alone.
        return replace(clean, stages=noted(clean, str(self.chain), total_ms(timings[1::2]), [first]).stages)

    def _own(self, query: str) -> Matcher:
        return build_matcher([Question("", "", query)], self.chain.config)


class _Line:
    """The clean hits of one query so far."""

    def __init__(self, matcher: Matcher, k: int) -> None:
        self.rows: list[int] = []
        self.scores: list[float] = []
        self.removed: list[Removal] = []
        self.spans: Mapping[int, tuple[Part, ...]] = {}
        self.paths: Mapping[int, tuple[Step, ...]] = {}
        self.wants_more = False
        self._matcher = matcher
        self._k = k
        self._judged: dict[int, Removal | None] = {}

    def take(self, hits: Hits, line: int) -> None:
        """Choose anew from line `line` of a search that went at least as deep as those before."""
        rows, scores = hits.rows[line], hits.scores[line]
        self.spans = hits.spans[line] if isinstance(hits, ChainHits) and hits.spans else {}
        paths = hits.paths[line] if isinstance(hits, ChainHits) and hits.paths else {}
        self._judge(hits, line)
        self.rows, self.scores, self.removed = [], [], []
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if row < 0 or len(self.rows) == self._k:
                break
            removal = self._judged[row]
            if removal is None:
                self.rows.append(row)
                self.scores.append(score)
            else:
                self.removed.append(removal)
        self.paths = {row: paths[row] for row in self.rows if row in paths}
        self.wants_more = len(self.rows) < self._k and bool((rows >= 0).all())

    def _judge(self, hits: Hits, line: int) -> None:
        rows = hits.rows[line]
        new = np.array([row >= 0 and row not in self._judged for row in rows.tolist()], dtype=np.bool_)
        # A hit may stand for several passages: its text is theirs.
        found = revised(hits, rows=rows[new][None], scores=hits.scores[line][new][None], spans=[self.spans])[
            0
        ]
        texts = [hit.text for hit in found]
        leaks: dict[int, Leak] = {}
        for leak in self._matcher.leaks(texts, [[(0, len(text))] for text in texts]):
            best = leaks.get(leak.text)
            if best is None or leak.rank > best.rank:
                leaks[leak.text] = leak
        for place, (row, hit) in enumerate(zip(rows[new].tolist(), found, strict=True)):
            leak_of = leaks.get(place)
            self._judged[row] = None if leak_of is None else Removal(hit.passage_id, *leak_of[2:])


decontaminated = Decontaminated()
