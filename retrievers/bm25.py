"""BM25 over the words of titles and texts.

Robertson et al., "Okapi at TREC-3" (1994), in Lucene's variant: Kamphuis et al., "Which BM25 Do You Mean?"
(ECIR 2020), table 1, "Lucene (accurate)", computed by bm25s. k1 = 0.9 and b = 0.4 are Anserini's defaults, those
of the published BEIR baseline; stop words stay.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import Stemmer
from numpy.typing import NDArray

from datastore import Datastore, Hits, UsageError
from datastore.errors import nearest
from datastore.hits import rank
from datastore.request import LARGEST_K
from datastore.text import words

from .explain import noted
from .parameters import number, written
from .protocol import check_request


@dataclass(frozen=True, repr=False)
class Bm25:
    """Lexical search.

    Attributes
    ----------
    k1
        How slowly further occurrences of a term stop counting, above 0.
    b
        How much a long passage is marked down, from 0 (not at all) to 1.
    language
        Of the Snowball stemmer; None: words are matched as written, but for case.
    """

    k1: float = 0.9
    b: float = 0.4
    language: str | None = "english"

    def __post_init__(self) -> None:
        object.__setattr__(self, "k1", number("k1", self.k1))
        object.__setattr__(self, "b", number("b", self.b))
        if self.k1 <= 0:
            raise UsageError(f"k1 must be above 0, got {self.k1}")
        if not 0 <= self.b <= 1:
            raise UsageError(f"b must be between 0 and 1, got {self.b}")
        languages = Stemmer.algorithms()
        if self.language is not None and self.language not in languages:
            raise UsageError(
                f"language must be that of a Snowball stemmer, or None, got {self.language!r}",
                hint=nearest(str(self.language), languages),
            )

    def __call__(self, *, k1: float = k1, b: float = b, language: str | None = language) -> Bm25:
        """A chain with these parameters; what is not given has its default."""
        return Bm25(k1, b, language)

    def __repr__(self) -> str:
        return written("bm25", self)

    def on(self, store: Datastore) -> Bm25Retriever:
        """Bind: reads all titles and texts and indexes their terms in memory.

        That takes about 15 s and 0.1 GB per 100,000 passages of 200 words.
        """
        return Bm25Retriever(self, store)


def split_terms(texts: Sequence[str], language: str | None) -> Iterator[list[str]]:
    """The terms of each text, in order: its words in NFKC and lower case, stemmed."""
    # A stemmer may not be shared between threads. Looking up a known word is faster than its own cache.
    stem = str if language is None else cache(Stemmer.Stemmer(language, 0).stemWord)
    for text in texts:
        yield list(map(stem, words(unicodedata.normalize("NFKC", text).lower())))


class Bm25Retriever:
    """See `Bm25`; holds the terms of the version that was open when it was bound."""

    def __init__(self, chain: Bm25, store: Datastore) -> None:
        import bm25s

        self._chain = chain
        self._snapshot = store.snapshot
        self._rows = store.live_rows()
        self._language = chain.language
        self._vocabulary: dict[str, int] = {}
        columns = self._snapshot.catalog.read_column
        titles, texts = columns("title"), columns("text")
        passages = [f"{titles[row]} {texts[row]}" for row in self._rows.tolist()]
        number_of = self._vocabulary
        ids = [
            [number_of.setdefault(term, len(number_of)) for term in terms]
            for terms in split_terms(passages, chain.language)
        ]
        self._index = bm25s.BM25(method="lucene", k1=chain.k1, b=chain.b)
        if number_of:  # bm25s cannot index a corpus without a single term
            self._index.index((ids, number_of), create_empty_token=False, show_progress=False)

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> Hits:
        """Passages that share a term with the query; one without is no hit."""
        queries = check_request(queries, k)
        mask = self._snapshot.mask(where)
        refused = None if where is None or mask is None else ~mask[self._rows]
        started = time.perf_counter()
        k = min(k, max(len(self._rows), LARGEST_K))
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for i, terms in enumerate(split_terms(queries, self._language)):
            known = [self._vocabulary[term] for term in terms if term in self._vocabulary]
            if known:
                places, scores[i] = _best(self._index.get_scores_from_ids(known), k, refused)
                rows[i] = np.where(places < 0, -1, self._rows[places])
        timings_ms = {"bm25": (time.perf_counter() - started) * 1e3}
        hits = Hits(self._snapshot.version, rows, scores, self._snapshot, timings_ms)
        return noted(hits, str(self._chain)) if explain else hits


def _best(
    scores: NDArray[np.float32], k: int, refused: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k highest of (n,) scores that are above 0 and not refused; ties by row ascending."""
    if refused is not None:
        scores = np.where(refused, 0, scores)
    rows = np.flatnonzero(scores > 0)
    if len(rows) > k:
        # Everything that ties with the k-th stays: `rank` decides among them.
        rows = rows[scores[rows] >= np.partition(scores[rows], -k)[-k]]
    best_rows, best_scores = rank(rows[None], scores[rows][None], k)
    return best_rows[0], best_scores[0]


bm25 = Bm25()
