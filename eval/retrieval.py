"""Retrievers against a collection's judgements: every arm on the same queries, with how sure each number is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore
from datastore.errors import UsageError
from retrievers import Chain, Retriever
from retrievers.documents import retrieve_documents

from .beir import Collection
from .files import read_records, text_field
from .metrics import METRICS, Run, cutoff, per_query
from .report import StoreDescription
from .runs import RunFile, rank_documents
from .statistics import RESAMPLES, Difference, Estimate, interval, paired_difference


@dataclass(frozen=True)
class RetrievalArm:
    """One retriever; `difference` is to the first arm, None for the first itself.

    `timings_ms` and `seconds` are of the one call that asks all queries at once for `depth` passages; a file of
    rankings has none.
    """

    retriever: str
    metrics: Mapping[str, Estimate]
    difference: Mapping[str, Difference] | None
    timings_ms: Mapping[str, float]
    seconds: float | None

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
    """`missing_documents` counts relevant documents that the store does not hold: no retriever can find them.

    Of files of rankings alone no store is needed: then `store` and `passages` are None, and documents are the corpus's.
    """

    name: str
    split: str
    queries: int
    unjudged_queries: int
    documents: int
    passages: int | None
    missing_documents: int
    store: StoreDescription | None
    seed: int
    arms: tuple[RetrievalArm, ...]
    run_warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        missing = self.missing_documents
        where = "corpus" if self.store is None else "store"
        return [
            *(
                [f"relevant documents that are not in the {where}: {missing}; every arm misses them"]
                if missing
                else []
            ),
            *self.run_warnings,
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
            "store": self.store and self.store.to_json(),
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


class _Answers(NamedTuple):
    run: Run
    timings_ms: Mapping[str, float]
    seconds: float | None


def evaluate(
    store: Datastore | None,
    collection: Collection,
    chains: Sequence[Chain | RunFile],
    *,
    depth: int = 100,
    seed: int = 0,
    on_arm: Callable[[RetrievalArm], None] | None = None,
) -> RetrievalReport:
    """Ask every query of a collection, of every chain.

    Parameters
    ----------
    store
        Holds the collection's corpus, under its document ids. None: files of rankings are compared with the corpus.
    chains
        Retrievers, or files that have their rankings.
    depth
        Documents that are ranked for a query; metrics that look deeper are left out.
    on_arm
        Called with each arm when it is done.

    Raises
    ------
    UsageError
        If there is no chain, one that has no store to search, `depth` is below every metric's, the store holds no
        relevant document at all, or a file answers other queries or with other documents.
    """
    metrics = [metric for metric in METRICS if cutoff(metric) <= depth]
    if not chains or not metrics:
        raise UsageError(
            f"expected at least one retriever and a depth of 5 or more, got {len(chains)} and {depth}"
        )
    documents = None if store is None else _Documents.of(store)
    ids = _corpus_ids(collection) if documents is None else set(documents.ids)
    relevant = {
        document for grades in collection.qrels.values() for document, grade in grades.items() if grade > 0
    }
    missing = relevant - ids
    if missing == relevant:
        raise UsageError(
            f"{collection.corpus if store is None else store.path} holds none of the {len(relevant)} relevant documents of {collection.name}, "
            f"for example {min(relevant)!r}",
            hint=f"build a store of {collection.corpus} and evaluate that",
        )
    runs = any(isinstance(chain, RunFile) for chain in chains)
    of_passage = _documents_of_passages(store) if runs and store is not None else {}
    deepest_metric = min(max(map(cutoff, metrics)), len(ids))
    arms: list[RetrievalArm] = []
    run_warnings: list[str] = []
    baseline: dict[str, dict[str, float]] = {}
    for chain in chains:
        if isinstance(chain, RunFile):
            run, warnings = rank_documents(
                chain, collection.queries, depth, of_passage, ids, deepest_metric=deepest_metric
            )
            answers = _Answers(run, {}, None)
            run_warnings += warnings
        elif store is None or documents is None:
            raise UsageError(f"{chain} needs a store to search")
        else:
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
        documents=len(ids),
        passages=None if store is None else len(store),
        missing_documents=len(missing),
        store=None if store is None else StoreDescription.of(store),
        seed=seed,
        arms=tuple(arms),
        run_warnings=tuple(run_warnings),
    )


def _corpus_ids(collection: Collection) -> set[str]:
    return {text_field(record, "_id", place) for place, record in read_records(collection.corpus)}


def _documents_of_passages(store: Datastore) -> dict[str, str]:
    passages, documents = store.read_column("passage_id"), store.read_column("document_id")
    return {passages[row]: documents[row] for row in store.live_rows().tolist()}


def _answer(retriever: Retriever, queries: Mapping[str, str], documents: _Documents, depth: int) -> _Answers:
    """Ask for `depth` documents of every query; see `retrieve_documents`."""
    of_row, ids = documents.of_row, documents.ids
    hits, seconds = retrieve_documents(
        retriever, list(queries.values()), depth, lambda rows: of_row[rows].tolist(), len(of_row)
    )
    run = {
        query: [
            (ids[of_row[row]], score)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            if row >= 0
        ]
        for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True)
    }
    return _Answers(run, hits.timings_ms, seconds)


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
