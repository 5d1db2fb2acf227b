"""A chain on a store as a LangChain retriever."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, PositiveInt, PrivateAttr

from datastore import Datastore, Hit
from datastore.errors import optional_import

from .dense import dense
from .parse import parse
from .protocol import Chain, Retriever

optional_import("langchain_core", extra="langchain")  # before the imports that need it

from langchain_core.callbacks import (  # noqa: E402 (see the line above)
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document  # noqa: E402 (see above)
from langchain_core.retrievers import BaseRetriever  # noqa: E402 (see above)
from langchain_core.runnables import run_in_executor  # noqa: E402 (see above)


def _opened(store: Datastore | str | Path) -> Datastore:
    return store if isinstance(store, Datastore) else Datastore.open(store)


def _parsed(retriever: Chain | str) -> Chain:
    return parse(retriever) if isinstance(retriever, str) else retriever


class CompendiaRetriever(BaseRetriever):
    """Passages of a store as LangChain documents, best first.

    `CompendiaRetriever(store="path", retriever="rrf(dense, bm25)").invoke("a question", k=8)`

    A document's id is the passage's. Its metadata is the passage's own, with `passage_id`, `document_id`,
    `source`, `title` and `score` added; these five always mean what `Hit` says of them, and a key of the passage's
    own that has one of their names is found under `metadata_<name>`.

    Attributes
    ----------
    store
        A store, or the path of one, which is opened.
    retriever
        A chain, or the text of one. It is bound to the store here, once, not by each query.
    k
        Documents to return where the call does not say; fewer only if the retriever finds fewer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: Annotated[Datastore | str | Path, AfterValidator(_opened)] = Field(frozen=True)
    retriever: Annotated[Chain | str, AfterValidator(_parsed)] = Field(default=dense, frozen=True)
    k: PositiveInt = 4

    _bound: Retriever = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        assert isinstance(self.store, Datastore)
        assert not isinstance(self.retriever, str)
        self._bound = self.retriever.on(self.store)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager  # LangChain reports the run's start, end and errors itself
        return [_document(hit) for hit in self._bound.retrieve([query], self.k if k is None else k)[0]]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager.get_sync(), k=k
        )


def _document(hit: Hit) -> Document:
    added = {
        "passage_id": hit.passage_id,
        "document_id": hit.document_id,
        "source": hit.source,
        "title": hit.title,
        "score": hit.score,
    }
    own = {f"metadata_{key}" if key in added else key: value for key, value in hit.metadata.items()}
    return Document(id=hit.passage_id, page_content=hit.text, metadata=own | added)
