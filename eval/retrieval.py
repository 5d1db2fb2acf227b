"""Retrievers against a collection's judgements: every arm on the same queries, with how sure each number is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore
from datastore.errors import UsageError
from retrievers import Chain, Retriever

from .beir import Collection
from .metrics import METRICS, Run, cutoff, per_query
from .report import StoreDescription
from .statistics import RESAMPLES, Difference, Estimate, interval, paired_difference


@dataclass(frozen=True)
class RetrievalArm:
    """One retriever; `difference` is to the first arm, None for the first itself.

    `timings_ms` and `seconds` are of the one call that asks all queries at once for `depth` passages.
    """

    retriever: str
    metrics: Mapping[str, Estimate]
    difference: Mapping[str, Difference] | None
    timings_ms: Mapping[str, float]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        difference = self.difference
        return {
            "retriever": self.retriever,
            "metrics": {name: value.to_json() for name, value in self.metrics.items()},
            "difference": difference and {name: value.to_json() for name, value in difference.items()},
            "timings_ms": dict(self.timings_ms),
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class RetrievalReport:
    """`missing_documents` counts relevant documents that the store does not hold: no retriever can find them."""

    name: str
    split: str
    queries: int
    unjudged_queries: int
    documents: int
    passages: int
    missing_documents: int
    store: StoreDescription
    seed: int
    arms: tuple[RetrievalArm, ...]

    @property
    def warnings(self) -> list[str]:
        if not self.missing_documents:
            return []
        return [
            f"relevant documents that are not in the store: {self.missing_documents}; every arm misses them"
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "compendia.eval.retrieval/1",
            "data": {
                "name": self.name,
                "split": self.split,
                "queries": self.queries,
                "unjudged_queries": self.unjudged_queries,
                "documents": self.documents,
                "passages": self.passages,
                "missing_documents": self.missing_documents,
            },
            "store": self.store.to_json(),
            "seed": self.seed,
            "resamples": RESAMPLES,
            "arms": [arm.to_json() for arm in self.arms],
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class _Documents:
    """Which document each row of a store belongs to."""

    ids: list[str]
    of_row: NDArray[np.int64]  # (rows,) positions in `ids`

    @classmethod
    def of(cls, store: Datastore) -> _Documents:
        numbers: dict[str, int] = {}
        of_row = [numbers.setdefault(document, len(numbers)) for document in store.read_column("document_id")]
        return cls(list(numbers), np.array(of_row, dtype=np.int64))

    def ranking(self, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[tuple[str, float]]:
        """A query's documents, best first, each with the score of its best passage."""
        rows, scores = rows[rows >= 0], scores[rows >= 0]
        numbers, first = np.unique(self.of_row[rows], return_index=True)
        order = np.argsort(first)
        return [(self.ids[numbers[i]], float(scores[first[i]])) for i in order]


class _Answers(NamedTuple):
    run: Run
    timings_ms: Mapping[str, float]
    seconds: float


def evaluate(
    store: Datastore,
    collection: Collection,
    chains: Sequence[Chain],
    *,
    depth: int = 100,
    seed: int = 0,
    on_arm: Callable[[RetrievalArm], None] | None = None,
) -> RetrievalReport:
    """Ask every query of a collection, of every chain.

    Parameters
    ----------
    store
        Holds the collection's corpus, under its document ids.
    depth
        Documents that are ranked for a query; metrics that look deeper are left out.
    on_arm
        Called with each arm when it is done.

    Raises
    ------
    UsageError
        If there is no chain, `depth` is below every metric's, or the store holds no relevant document at all.
    """
    metrics = [metric for metric in METRICS if cutoff(metric) <= depth]
    if not chains or not metrics:
        raise UsageError(
            f"expected at least one retriever and a depth of 5 or more, got {len(chains)} and {depth}"
        )
    documents = _Documents.of(store)
    relevant = {
        document for grades in collection.qrels.values() for document, grade in grades.items() if grade > 0
    }
    missing = relevant.difference(documents.ids)
    if missing == relevant:
        raise UsageError(
            f"{store.path} holds none of the {len(relevant)} relevant documents of {collection.name}, "
            f"for example {min(relevant)!r}",
            hint=f"build a store of {collection.corpus} and evaluate that",
        )
    arms: list[RetrievalArm] = []
    baseline: dict[str, dict[str, float]] = {}
    for chain in chains:
        answers = _answer(chain.on(store), collection.queries, documents, depth)
        values = per_query(metrics, collection.qrels, answers.run)
        arms.append(_summarise(str(chain), answers, values, baseline, seed))
        baseline = baseline or values
        if on_arm is not None:
            on_arm(arms[-1])
    return RetrievalReport(
        name=collection.name,
        split=collection.split,
        queries=len(collection.queries),
        unjudged_queries=collection.unjudged_queries,
        documents=len(documents.ids),
        passages=len(store),
        missing_documents=len(missing),
        store=StoreDescription.of(store),
        seed=seed,
        arms=tuple(arms),
    )


def _answer(retriever: Retriever, queries: Mapping[str, str], documents: _Documents, depth: int) -> _Answers:
    """Ask for `depth` passages of every query, then deeper where passages of one document crowd out other documents.

    What a deeper search adds is appended: it never moves the documents that came first, although a fusion scores
    passages otherwise when it is asked for more of them.
    """
    run: dict[str, dict[str, float]] = {query: {} for query in queries}
    asked, k = list(queries), min(depth, len(documents.of_row))
    started = time.perf_counter()
    hits = retriever.retrieve([queries[query] for query in asked], k)
    seconds, timings_ms = time.perf_counter() - started, hits.timings_ms
    while True:
        crowded = []
        for query, rows, scores in zip(asked, hits.rows, hits.scores, strict=True):
            for document, score in documents.ranking(rows, scores):
                run[query].setdefault(document, score)
            if len(run[query]) < depth and np.count_nonzero(rows >= 0) == k:
                crowded.append(query)
        if not crowded or k == len(documents.of_row):
            break
        asked, k = crowded, min(2 * k, len(documents.of_row))
        try:
            hits = retriever.retrieve([queries[query] for query in asked], k)
        except UsageError:  # the queries are good: the chain has a limit of its own, as dense(candidates=200)
            break
    return _Answers(
        {query: list(ranked.items())[:depth] for query, ranked in run.items()}, timings_ms, seconds
    )


def _summarise(
    retriever: str,
    answers: _Answers,
    values: Mapping[str, Mapping[str, float]],
    baseline: Mapping[str, Mapping[str, float]],
    seed: int,
) -> RetrievalArm:
    columns = {metric: np.array(list(of_query.values())) for metric, of_query in values.items()}
    difference = {
        metric: paired_difference(column, np.array(list(baseline[metric].values())), seed=seed)
        for metric, column in columns.items()
        if baseline
    }
    return RetrievalArm(
        retriever=retriever,
        metrics={metric: interval(column, seed=seed) for metric, column in columns.items()},
        difference=difference or None,
        timings_ms=answers.timings_ms,
        seconds=answers.seconds,
    )
