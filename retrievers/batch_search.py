"""The queries of a part, asked at once: their hits with the columns that a file wants of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from datastore import Datastore, Hits, UsageError

from .columns import PassageColumns
from .documents import retrieve_documents
from .explain import ChainHits
from .protocol import Chain
from .queries import Query
from .run_parts import Found
from .runs import ID_COLUMNS, TEXT_COLUMNS, Layout


class Batch(NamedTuple):
    """What is wanted of a search in batches.

    Attributes
    ----------
    by_document
        One hit, its best passage, of each document; k counts documents then.
    with_text
        Titles and texts of the hits too.
    """

    k: int
    layout: Layout
    where: str | None = None
    by_document: bool = False
    with_text: bool = False


class BatchSearch:
    """A chain bound to a store, with what reads the columns of its hits."""

    def __init__(self, store: Datastore, chain: Chain, batch: Batch) -> None:
        self._store = store
        self._batch = batch
        self._retriever = chain.on(store)
        self._names = [*ID_COLUMNS, *(TEXT_COLUMNS if batch.with_text else ())]
        self._columns = PassageColumns(store, self._names)
        self._document_ids = PassageColumns(store, ["document_id"])

    def answer(self, asked: Sequence[Query]) -> list[Found]:
        hits = self._retrieve([query.text for query in asked])
        there = hits.rows >= 0
        table = self._columns.take(hits.rows[there])
        found, first = [], 0
        for number, (query, scores, kept) in enumerate(zip(asked, hits.scores, there, strict=True)):
            count = int(kept.sum())
            lines = table.slice(first, count)
            columns = {name: lines.column(name).to_pylist() for name in self._names}
            if self._batch.with_text and isinstance(hits, ChainHits) and hits.spans:
                columns["text"] = [hit.text for hit in hits[number]]
            found.append(Found(query, scores[kept], columns))
            first += count
        return found

    def _retrieve(self, texts: list[str]) -> Hits:
        store, (k, where) = self._store, (self._batch.k, self._batch.where)
        if not self._batch.by_document:
            hits = self._retriever.retrieve(texts, k, where)
        else:
            hits = retrieve_documents(
                self._retriever,
                texts,
                k,
                lambda rows: self._document_ids.take(rows).column(0).to_pylist(),
                store.snapshot.rows,
                where,
            ).hits
        if hits.version != store.version:
            raise UsageError(
                f"{store.path} has moved on from version {store.version} to {hits.version}",
                hint="run the command again",
            )
        return hits
