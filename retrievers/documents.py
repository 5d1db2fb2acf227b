"""Documents ranked by their best passage."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Hits, UsageError

from .explain import revised
from .protocol import MovedOnError, Retriever

DocumentsOf = Callable[[NDArray[np.int64]], Sequence[Hashable]]
"""(m,) rows to the documents that they belong to."""


class DocumentHits(NamedTuple):
    """`hits` has one passage, the best, of each document; `timings_ms` and `seconds` are of the first call alone."""

    hits: Hits
    seconds: float


def retrieve_documents(
    retriever: Retriever,
    queries: Sequence[str],
    k: int,
    documents_of: DocumentsOf,
    rows: int,
    where: str | None = None,
) -> DocumentHits:
    """Ask for k passages of every query, then deeper where passages of one document crowd out other documents.

    What a deeper search adds is appended: it never moves the documents that came first, although a fusion scores
    passages otherwise when it is asked for more of them. No score is above the one before it.

    Parameters
    ----------
    rows
        Of the store, deleted ones included: where asking deeper ends.
    """
    best: list[dict[Hashable, tuple[int, float]]] = [{} for _ in queries]
    asked, depth = list(range(len(queries))), min(k, max(rows, 1))
    started = time.perf_counter()
    first = hits = retriever.retrieve(queries, depth, where)
    seconds = time.perf_counter() - started
    while True:
        there = hits.rows >= 0
        found = zip(
            np.repeat(asked, there.sum(axis=1)).tolist(),
            documents_of(hits.rows[there]),
            hits.rows[there].tolist(),
            hits.scores[there].tolist(),
            strict=True,
        )
        for number, document, row, score in found:
            best[number].setdefault(document, (row, score))
        full = there.sum(axis=1) == depth
        crowded = [number for number, more in zip(asked, full, strict=True) if more and len(best[number]) < k]
        if not crowded or depth >= rows:
            break
        asked, depth = crowded, min(2 * depth, rows)
        try:
            hits = retriever.retrieve([queries[number] for number in asked], depth, where)
        except MovedOnError:
            raise
        except UsageError:  # the queries are good: the chain has a limit of its own, as dense(candidates=200)
            break
    best_rows = np.full((len(queries), k), -1, dtype=np.int64)
    best_scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for number, of_query in enumerate(best):
        for place, (row, score) in enumerate(list(of_query.values())[:k]):
            best_rows[number, place], best_scores[number, place] = row, score
    best_scores = np.minimum.accumulate(best_scores, axis=1)
    return DocumentHits(revised(first, rows=best_rows, scores=best_scores), seconds)
