"""Nearest neighbours of the query's vector: an index proposes, exact vectors decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datastore import Datastore, Hits, UsageError
from datastore.checks import integer

from .explain import noted
from .parameters import number, written
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
    """

    candidates: int | None = None
    recall: float = 0.95

    def __post_init__(self) -> None:
        object.__setattr__(self, "recall", number("recall", self.recall))
        if not 0 < self.recall <= 1:
            raise UsageError(f"recall must be above 0 and at most 1, got {self.recall}")
        if self.candidates is not None:
            object.__setattr__(self, "candidates", integer("candidates", self.candidates, at_least=1))

    def __call__(self, *, candidates: int | None = candidates, recall: float = recall) -> Dense:
        """A chain with these parameters; what is not given has its default."""
        return Dense(candidates, recall)

    def __repr__(self) -> str:
        return written("dense", self)

    def on(self, store: Datastore) -> DenseRetriever:
        return DenseRetriever(self, store)


@dataclass(frozen=True)
class DenseRetriever:
    chain: Dense
    store: Datastore

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> Hits:
        texts = check_request(queries, k)
        candidates = self.chain.candidates
        if candidates is not None and candidates < k:
            raise UsageError(
                f"{self.chain} has at most {candidates} hits, {k} were asked for",
                hint=f"dense(candidates={4 * k}); a fusion asks each of its arms for depth hits, 100 if not set",
            )
        hits = self.store.search(texts, k, candidates=candidates, recall=self.chain.recall, where=where)
        return noted(hits, str(self.chain)) if explain else hits


dense = Dense()
