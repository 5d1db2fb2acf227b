"""Nearest neighbours of the query's vector: an index proposes, exact vectors decide."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from datastore import Datastore, Hits, UsageError
from datastore.checks import integer
from datastore.encoders import Encoder, load_encoder
from datastore.features import Feature, searching
from datastore.index.vectors import searcher
from datastore.kinds import check_fingerprint
from datastore.request import LARGEST_K
from datastore.request import check_request as check_search
from datastore.snapshot import Snapshot
from datastore.vector_search import VectorSearch

from .explain import noted
from .parameters import check_name, number, written
from .protocol import check_request


@dataclass(frozen=True, repr=False)
class Dense:
    """`Datastore.search` as a chain.

    Attributes
    ----------
    candidates
        Rows that the index proposes and exact vectors decide about, hence the most hits there can be.
        None: as many as `recall` needs.
    recall
        Share of the true nearest that the index must find, as measured when it was built.
    vectors
        Of which encoder: the name of an index of kind `vectors`; None: the store's own.
    """

    candidates: int | None = None
    recall: float = 0.95
    vectors: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "recall", number("recall", self.recall))
        if not 0 < self.recall <= 1:
            raise UsageError(f"recall must be above 0 and at most 1, got {self.recall}")
        if self.candidates is not None:
            object.__setattr__(self, "candidates", integer("candidates", self.candidates, at_least=1))
        check_name(self.vectors, "vectors")

    def __call__(
        self, *, candidates: int | None = candidates, recall: float = recall, vectors: str | None = vectors
    ) -> Dense:
        """A chain with these parameters; what is not given has its default."""
        return Dense(candidates, recall, vectors)

    def __repr__(self) -> str:
        return written("dense", self)

    def on(self, store: Datastore) -> DenseRetriever:
        """Bind.

        Raises
        ------
        UsageError
            If the store has no `vectors` of this name.
        """
        if self.vectors is not None:
            store.snapshot.feature("vectors", self.vectors)
        return DenseRetriever(self, store, _Spaces())


@dataclass(frozen=True)
class DenseRetriever:
    chain: Dense
    store: Datastore
    spaces: _Spaces

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it is bound to, without what it has open."""
        return self.chain.on, (self.store,)

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> Hits:
        texts = check_request(queries, k)
        k = min(k, max(len(self.store), LARGEST_K))
        candidates = self.chain.candidates
        if candidates is not None and candidates < k:
            raise UsageError(
                f"{self.chain} has at most {candidates} hits, {k} were asked for",
                hint=f"dense(candidates={4 * k}); a fusion asks each of its arms for `depth` hits",
            )
        if self.chain.vectors is None:
            hits = self.store.search(texts, k, candidates=candidates, recall=self.chain.recall, where=where)
        else:
            hits = self._search(self.chain.vectors, texts, k, where)
        return noted(hits, str(self.chain)) if explain else hits

    def _search(self, name: str, texts: list[str], k: int, where: str | None) -> Hits:
        snapshot, chain = self.store.snapshot, self.chain
        request = check_search(snapshot, k, chain.recall, chain.candidates, None, fused=False, timeout_s=None)
        mask = snapshot.mask(where)
        started = time.perf_counter()
        space = self.spaces.get(snapshot, name)
        vectors = space.encoder.encode_queries(texts)
        encode_ms = (time.perf_counter() - started) * 1e3
        with searching(snapshot.path, space.feature):
            found = space.search.search(vectors, request, mask)
        timings_ms = {"encode": encode_ms, **found.timings_ms}
        return Hits(snapshot.version, found.rows, found.scores, snapshot, timings_ms, found.route)


class _Space(NamedTuple):
    """Vectors of a version with their encoder, which stays loaded as long as they are searched."""

    snapshot: Snapshot
    feature: Feature
    encoder: Encoder
    search: VectorSearch


class _Spaces:
    """The vectors that were searched last, open."""

    def __init__(self) -> None:
        self._last: _Space | None = None

    def get(self, snapshot: Snapshot, name: str) -> _Space:
        last = self._last
        if last is None or last.snapshot is not snapshot:
            feature = snapshot.feature("vectors", name)
            check_fingerprint(feature.entry)
            encoder = load_encoder(feature.config.encoder)
            with searching(snapshot.path, feature):
                last = self._last = _Space(snapshot, feature, encoder, searcher(feature))
        return last


dense = Dense()
