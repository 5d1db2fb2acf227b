"""A store in LangChain: a chain on it as a retriever, and the store itself as a vector store."""

from __future__ import annotations

from datastore.errors import optional_import

optional_import("langchain_core", extra="langchain")  # before the imports that need it

from .retriever import CompendiaRetriever  # noqa: E402 (see the line above)
from .vectorstore import CompendiaVectorStore  # noqa: E402 (see above)

__all__ = ["CompendiaRetriever", "CompendiaVectorStore"]
