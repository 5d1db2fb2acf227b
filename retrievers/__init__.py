"""Texts to ranked passages: chains that are data, bound to a store to search it.

`rrf(dense(candidates=200), bm25).on(store).retrieve(["how do I open a file?"], k=10)`
"""

from .bm25 import bm25
from .decontaminate import decontaminated
from .dense import dense
from .fusion import rrf, weighted
from .parse import parse
from .protocol import Chain, Retriever

__all__ = ["Chain", "Retriever", "bm25", "decontaminated", "dense", "parse", "rrf", "weighted"]
