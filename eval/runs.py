"""Files of rankings in the place of a retriever: of a search in batches, or of any tool that writes TREC files."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from datastore.errors import UsageError
from retrievers.runs import read_run

from .metrics import Run


@dataclass(frozen=True)
class RunFile:
    """A file that `retrievers.runs.read_run` reads. Its `str` says also what made it, where the file beside it knows."""

    path: Path

    def __str__(self) -> str:
        try:
            record = self.path.with_name(f"{self.path.name}.run.json").read_text(encoding="utf-8")
            return f"{self.path} ({json.loads(record)['retriever']})"
        except (OSError, ValueError, LookupError, TypeError):
            return str(self.path)


class RankedDocuments(NamedTuple):
    run: Run
    warnings: list[str]


def rank_documents(
    file: RunFile,
    queries: Collection[str],
    depth: int,
    of_passage: Mapping[str, str],
    documents: Container[str],
    *,
    deepest_metric: int,
) -> RankedDocuments:
    """A run's documents, each where its best passage stands, at most `depth` a query; a query at a time is in RAM.

    Parameters
    ----------
    of_passage
        The document of each passage id, for files that name no document. An id that is not there is a document's.
    documents
        Those of the corpus.

    Raises
    ------
    UsageError
        If the file answers none of the queries, or names no document of the corpus; and see `read_run`.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    known = crowded = deepest = 0
    example = ""
    for query_id, hits in read_run(file.path):
        if query_id not in queries:
            continue
        best: dict[str, float] = {}
        for hit in hits:
            document = of_passage.get(hit.id, hit.id) if hit.document_id is None else hit.document_id
            best.setdefault(document, hit.score)
        run[query_id] = list(best.items())[:depth]
        known += sum(document in documents for document in best)
        crowded += len(best) < min(len(hits), depth)
        deepest = max(deepest, len(best))
        example = next(iter(best), example)
    if not run:
        raise UsageError(
            f"{file.path} answers none of the queries that are judged", hint="ask those of queries.jsonl"
        )
    if deepest and not known:
        raise UsageError(
            f"{file.path} names no document of the corpus, {example!r} for example",
            hint="passages are looked up in a store, --store FOLDER; or search again with --by document",
        )
    warnings = []
    if unanswered := sum(query not in run for query in queries):
        warnings.append(f"{file.path}: no hits for {unanswered} judged queries, which count 0")
    if deepest < deepest_metric:
        warnings.append(f"{file.path}: at most {deepest} documents a query; no metric sees further")
    if crowded:
        warnings.append(
            f"{file.path}: for {crowded} queries several hits are of one document; "
            "a live retriever would be asked deeper, as `compendia search --by document` does"
        )
    return RankedDocuments(run, warnings)
