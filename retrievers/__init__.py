"""Texts to ranked passages: chains that are data, bound to a store to search it.

`(rrf(dense(candidates=200), bm25) >> rerank).on(store).retrieve(["how do I open a file?"], k=10)`
"""

from .bm25 import bm25
from .decontaminate import decontaminated
from .dense import dense
from .explain import ChainHits
from .fusion import rrf, weighted
from .neighbours import neighbours
from .parse import parse
from .protocol import Chain, Retriever
from .rerank import rerank
from .rerank_lm import rerank_lm
from .selectors import Selector

__all__ = [
    "Chain",
    "ChainHits",
    "Retriever",
    "Selector",
    "bm25",
    "decontaminated",
    "dense",
    "neighbours",
    "parse",
    "rerank",
    "rerank_lm",
    "rrf",
    "weighted",
]
