"""A store as a LangChain vector store."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

from datastore import Datastore, Hits, NotFoundError, UsageError
from datastore.checks import integer
from datastore.index.dense import Metric
from datastore.snapshot import Snapshot

from .documents import Rows, to_document, to_rows
from .filters import where_of
from .marginal_relevance import maximal_marginal_relevance

Asked = list[str] | NDArray[np.floating[Any]]
"""One query: as text for the store's encoder, or as a (1, d) vector."""


class CompendiaVectorStore(VectorStore):
    """Documents of a store by LangChain's interface; each change is a version of the store.

    `CompendiaVectorStore("path", OpenAIEmbeddings()).add_documents(documents)`

    A document comes back as it went in, its id set; one from a recipe has its source, title and document's id in the
    metadata. Every search takes `filter`, a condition in SQL over the metadata or values that it must have, and the
    options of `Datastore.search`. Scores are the store's: cosines, unless it was created with another metric. Safe
    for concurrent use; what other processes write is seen after `store.refresh()`.
    """

    def __init__(self, store: Datastore | str | Path, embedding: Embeddings | None = None) -> None:
        """Documents in `store`, embedded by `embedding`, or by the store's encoder if it has one.

        At a path without a store, the first documents make one: by cosine, of as many dimensions as their vectors have.

        Raises
        ------
        NotFoundError
            If there is no store at the path, and no `embedding` to make one with.
        UsageError
            If the store has an encoder and `embedding` is given too, or neither.
        """
        self._embedding = embedding
        self._lock = threading.RLock()  # a store has one writer, and one handle here
        self._store: Datastore | None = None
        if isinstance(store, Datastore):
            self._path = store.path
            self._store = self._checked(store)
        else:
            self._path = Path(store).expanduser()
            _ = self.store  # what does not fit is said now

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path.absolute() if self._store is None else self._store, self._embedding)

    @property
    def store(self) -> Datastore | None:
        """The store; None as long as there is none at the path."""
        if self._store is not None:  # without the lock: searches do not wait for a write
            return self._store
        with self._lock:
            if self._store is None:
                try:
                    self._store = self._checked(Datastore.open(self._path))
                except NotFoundError:
                    if self._embedding is None:
                        raise
            return self._store

    def _checked(self, store: Datastore) -> Datastore:
        if (store.manifest.encoder is None) == (self._embedding is None):
            if self._embedding is None:
                raise UsageError(
                    f"{store.path} has no encoder: its vectors come from elsewhere",
                    hint="CompendiaVectorStore(path, embedding=…), with what made its vectors",
                )
            raise UsageError(
                f"{store.path} has an encoder of its own, vectors of another do not belong with its",
                hint=f"CompendiaVectorStore({str(store.path)!r})",
            )
        return store

    @property
    def embeddings(self) -> Embeddings | None:
        """What embeds texts; None where the store's encoder does."""
        return self._embedding

    @classmethod
    def from_texts(  # type: ignore[override]  # a store has to be somewhere
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: Datastore | str | Path,
        **kwargs: Any,
    ) -> Self:
        """A vector store of `store` with these texts added to what it has."""
        made = cls(store, embedding)
        made.add_texts(texts, metadatas, ids=ids, **kwargs)
        return made

    @classmethod
    async def afrom_texts(  # type: ignore[override]  # see above
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: Datastore | str | Path,
        **kwargs: Any,
    ) -> Self:
        """`from_texts`, off the event loop."""
        made = await run_in_executor(None, cls, store, embedding)
        await made.aadd_texts(texts, metadatas, ids=ids, **kwargs)
        return made

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, and see them; their ids. One whose id is there already, or comes again, takes its place.

        All of a call are embedded and written together: `batch_size`, which LangChain's indexing passes on, is ignored.

        Raises
        ------
        UsageError
            If a text cannot be stored, or its metadata would come back otherwise; nothing is added then.
        """
        _refuse(kwargs.keys() - {"batch_size"})
        rows = to_rows(texts, metadatas, ids)
        if rows.texts:
            self._write(
                rows, None if self._embedding is None else self._embedding.embed_documents(rows.texts)
            )
        return rows.names

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts`, off the event loop."""
        _refuse(kwargs.keys() - {"batch_size"})
        rows = to_rows(texts, metadatas, ids)
        if rows.texts:
            embedding = self._embedding
            vectors = None if embedding is None else await embedding.aembed_documents(rows.texts)
            await run_in_executor(None, self._write, rows, vectors)
        return rows.names

    def _write(self, rows: Rows, vectors: list[list[float]] | None) -> None:
        embedded = None if vectors is None else np.array(vectors, dtype=np.float32)
        with self._lock:
            store = self.store
            if store is None:
                assert embedded is not None
                store = self._store = Datastore.create(self._path, dimension=embedded.shape[-1])
            store.upsert(embedded, rows.ids, rows.texts, rows.records)

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Delete by id; ids that are not there are passed over. Without ids: everything, as LangChain has it.

        Earlier versions of the store keep what was deleted until `store.compact()` or `store.prune()`.
        """
        _refuse(kwargs)
        with self._lock:
            store = self.store
            if store is None:
                return True
            if ids is None:
                store.delete(where="TRUE")
                return True
            store.refresh()
            known = store.snapshot.catalog.rows_of_passages([ids] if isinstance(ids, str) else list(ids))
            if known:
                store.delete([*known])
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in their order, without those that are not there."""
        store = self.store
        return [] if store is None else [to_document(hit) for hit in store.get_by_ids(ids)]

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **options)]

    async def asimilarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **options)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """Documents with scores, higher ones better, best first."""
        return self._scored(self._asked(query), k, **options)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self._scored, await self._aasked(query), k, **options)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **options: Any
    ) -> list[Document]:
        return [document for document, _ in self._scored(np.array([embedding]), k, **options)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Documents that are near to the query and far from each other; see `maximal_marginal_relevance`.

        They are chosen among the `fetch_k` nearest, or k if that is more; `lambda_mult` is 1 for no diversity, 0 for
        the most.
        """
        return self._diverse(self._asked(query), k, fetch_k, lambda_mult, **options)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        asked = await self._aasked(query)
        return await run_in_executor(None, self._diverse, asked, k, fetch_k, lambda_mult, **options)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        return self._diverse(np.array([embedding]), k, fetch_k, lambda_mult, **options)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """From scores to [0, 1]: cosines as they are, negative ones as 0; other metrics as `_RELEVANCE` says."""
        store = self.store
        return _RELEVANCE["cosine" if store is None else store.manifest.metric]

    def _asked(self, query: str) -> Asked:
        return [query] if self._embedding is None else np.array([self._embedding.embed_query(query)])

    async def _aasked(self, query: str) -> Asked:
        return [query] if self._embedding is None else np.array([await self._embedding.aembed_query(query)])

    def _search(self, asked: Asked, k: int, options: dict[str, Any]) -> Hits | None:
        store = self.store
        where = where_of(options.pop("filter", None), store)
        if store is None:
            integer("k", k, at_least=1)
            return None
        return store.search(asked, k, where=where, **options)

    def _scored(self, asked: Asked, k: int, **options: Any) -> list[tuple[Document, float]]:
        hits = self._search(asked, k, options)
        return [] if hits is None else [(to_document(hit), hit.score) for hit in hits[0]]

    def _diverse(
        self, asked: Asked, k: int, fetch_k: int, lambda_mult: float, **options: Any
    ) -> list[Document]:
        integer("k", k, at_least=1)
        if not 0 <= lambda_mult <= 1:
            raise UsageError(f"lambda_mult must be from 0 to 1, got {lambda_mult!r}")
        hits = self._search(asked, max(k, integer("fetch_k", fetch_k, at_least=1)), options)
        if hits is None:
            return []
        snapshot = hits.reader
        assert isinstance(snapshot, Snapshot)
        found = hits.rows[0] >= 0
        rows, scores = hits.rows[0][found], hits.scores[0][found]
        vectors = snapshot.vectors.take(rows).astype(np.float32)
        chosen = maximal_marginal_relevance(scores, vectors, k, lambda_mult, snapshot.manifest.metric)
        return [to_document(hit) for hit in snapshot.read_hits(rows[chosen], scores[chosen])]


_RELEVANCE: dict[Metric, Callable[[float], float]] = {
    "cosine": lambda score: min(max(score, 0.0), 1.0),
    "inner_product": lambda score: (1 + math.tanh(score / 2)) / 2,  # the logistic function, without overflow
    "l2": lambda score: 1 / (1 + math.sqrt(-score)),  # the score is the negative squared distance
}


def _refuse(unknown: Iterable[str]) -> None:
    if names := ", ".join(sorted(unknown)):
        raise TypeError(f"unexpected arguments: {names}")
