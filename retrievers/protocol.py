"""A chain says how to search; bound to a store it becomes a retriever, which does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar, runtime_checkable

from datastore import Datastore, Hits, UsageError
from datastore.checks import integer
from datastore.request import check_texts

_ATTEMPTS = 3

Found = TypeVar("Found")


class Retriever(Protocol):
    """Texts in, ranked passages of one version of one store out. Safe for concurrent use."""

    def retrieve(
        self, queries: Sequence[str], k: int, where: str | None = None, explain: bool = False
    ) -> Hits:
        """The k best passages for each query, of those that `where` allows; `timings_ms` has a key for each stage.

        `where` is a condition in SQL over the store's metadata, as in `Datastore.search`. With `explain` the hits are
        `ChainHits` whose `stages` say what each part of the chain ranked, and how long it took.

        Raises
        ------
        UsageError
            If k is not positive, a query is empty or not a string, or `where` is no condition over the metadata.
        """


@runtime_checkable
class Chain(Protocol):
    """How to search, as data: frozen, hashable, equal by value, bound to nothing.

    Its `str` is what one writes to get it, in Python and through `parse`.
    """

    def on(self, store: Datastore) -> Retriever:
        """Bind to the version that `store` has open."""


class MovedOnError(UsageError):
    """Parts of one answer are of two versions of the store: it was refreshed in between."""

    def __init__(self) -> None:
        super().__init__(
            "the store moves on during every search: rows of two versions cannot be compared",
            hint="refresh it less often",
        )


def of_one_version(ask: Callable[[], Found]) -> Found:
    """What `ask` gives; asked again where the store was refreshed in between.

    Raises
    ------
    MovedOnError
        If it was every time.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(MovedOnError):
            return ask()
    return ask()


def check_request(queries: Sequence[str], k: int) -> list[str]:
    """The queries as a list, once they and k are known to make sense.

    Raises
    ------
    UsageError
        If k is not positive, or a query is empty or not a string.
    """
    integer("k", k, at_least=1)
    return check_texts(queries)
