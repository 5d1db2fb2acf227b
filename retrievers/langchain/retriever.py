"""A chain on a store as a LangChain retriever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from pydantic import AfterValidator, ConfigDict, Field, PositiveInt, PrivateAttr

from datastore import Datastore, Hit

from ..dense import dense
from ..explain import ChainHits, Reached
from ..parse import parse
from ..protocol import Chain, Retriever
from .documents import KEPT
from .filters import Filter, where_of


def _opened(store: Datastore | str | Path) -> Datastore:
    return store if isinstance(store, Datastore) else Datastore.open(store)


def _parsed(retriever: Chain | str) -> Chain:
    return parse(retriever) if isinstance(retriever, str) else retriever


class CompendiaRetriever(BaseRetriever):
    """Passages of a store as LangChain documents, best first.

    `CompendiaRetriever(store="path", retriever="rrf(dense, bm25)").invoke("a question", k=8)`

    A document's id is the passage's. Its metadata is the passage's own, with `passage_id`, `document_id`,
    `source`, `title` and `score` added; these five always mean what `Hit` says of them, and a key of the passage's
    own that has one of their names is found under `metadata_<name>`. A hit that `graph` reached has a `path` besides:
    the passages on the way to it, each with the relation that led there.

    Attributes
    ----------
    store
        A store, or the path of one, which is opened.
    retriever
        A chain, or the text of one. It is bound to the store here, once, not by each query.
    k
        Documents to return where the call does not say; fewer only if the retriever finds fewer.
    filter
        Of which passages, where the call does not say: a condition in SQL over the metadata, or values that it must
        have: `{"source": "wikipedia", "year": 2020}`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: Annotated[Datastore | str | Path, AfterValidator(_opened)] = Field(frozen=True)
    retriever: Annotated[Chain | str, AfterValidator(_parsed)] = Field(default=dense, frozen=True)
    k: PositiveInt = 4
    filter: Filter | None = None

    _bound: Retriever = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        assert isinstance(self.store, Datastore)
        assert not isinstance(self.retriever, str)
        self._bound = self.retriever.on(self.store)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,  # noqa: A002 (LangChain's word)
    ) -> list[Document]:
        del run_manager  # LangChain reports the run's start, end and errors itself
        assert isinstance(self.store, Datastore)
        where = where_of(self.filter if filter is None else filter, self.store)
        hits = self._bound.retrieve([query], self.k if k is None else k, where)
        paths = hits.read_paths(0) if isinstance(hits, ChainHits) else [[] for _ in hits[0]]
        return [_document(hit, path) for hit, path in zip(hits[0], paths, strict=True)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,  # noqa: A002 (see above)
    ) -> list[Document]:
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager.get_sync(), k=k, filter=filter
        )


def _document(hit: Hit, path: Sequence[Reached]) -> Document:
    added: dict[str, Any] = {
        "passage_id": hit.passage_id,
        "document_id": hit.document_id,
        "source": hit.source,
        "title": hit.title,
        "score": hit.score,
    }
    if path:
        added["path"] = [step._asdict() for step in path]
    given = dict(hit.metadata)
    given |= given.pop(KEPT, {})
    own = {f"metadata_{key}" if key in added else key: value for key, value in given.items()}
    return Document(id=hit.passage_id, page_content=hit.text, metadata=own | added)
