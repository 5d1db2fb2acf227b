"""Where the passages of an arm come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from datastore import Datastore, Hit
from retrievers import Chain, decontaminated
from retrievers.decontaminate import CleanHits, Decontaminated, Removal

from ...tasks.task import Item, Passage
from ..config import Options
from ..questions import query_of
from .clean import Removed, clean
from .given import GivenPassages


class Found(NamedTuple):
    """The passages of one question, best first."""

    passages: Sequence[Passage] = ()
    removed: Sequence[Removed] = ()  # left out because they give the question away
    gold_rank: int | None = None  # of the first that holds the answer by its id, from 1
    documents: Mapping[str, str] = {}  # passage id -> its document's, where that is known


class Finder(Protocol):
    def find(self, items: Sequence[Item], first: int) -> list[Found]:
        """The passages of some questions, of which the first is question number `first` of the run."""


class Nothing:
    def find(self, items: Sequence[Item], first: int) -> list[Found]:  # noqa: ARG002 (the Protocol's)
        return [Found() for _ in items]


class Gold:
    """The k first passages that the data give with each question."""

    def __init__(self, options: Options) -> None:
        self._k = options.k

    def find(self, items: Sequence[Item], first: int) -> list[Found]:  # noqa: ARG002 (the Protocol's)
        return [Found(item.gold[: self._k], gold_rank=1) for item in items]


class FromFile:
    """The first k passages of a file, of the sources that are wanted."""

    def __init__(self, given: GivenPassages, options: Options) -> None:
        self._given = given
        self._options = options

    def find(self, items: Sequence[Item], first: int) -> list[Found]:  # noqa: ARG002 (the Protocol's)
        return [self._of(item) for item in items]

    def _of(self, item: Item) -> Found:
        options = self._options
        query = query_of(item, options)
        given = self._given.of(item, query)
        ranked = [
            passage
            for passage in given.passages
            if passage.source not in options.leave_out
            and (not options.keep or passage.source in options.keep)
        ]
        passages, removed = (
            clean(query, ranked, options.k) if options.decontaminate else (ranked[: options.k], [])
        )
        return Found(passages, removed, _gold_rank(item, passages, given.documents), given.documents)


class Search:
    """What a chain finds in a store."""

    def __init__(self, store: Datastore, chain: Chain, options: Options) -> None:
        own_rule = isinstance(chain, Decontaminated)
        self.chain = decontaminated(chain) if options.decontaminate and not own_rule else chain
        self._retriever = self.chain.on(store)
        self._options = options
        self._where = condition(options)
        self.timings_ms: dict[str, float] = {}

    def find(self, items: Sequence[Item], first: int) -> list[Found]:  # noqa: ARG002 (the Protocol's)
        hits = self._retriever.retrieve(
            [query_of(item, self._options) for item in items], self._options.k, self._where
        )
        for stage, duration_ms in hits.timings_ms.items():
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + duration_ms
        removed = hits.removed if isinstance(hits, CleanHits) else [()] * len(items)
        return [self._found(item, hits[place], removed[place]) for place, item in enumerate(items)]

    @staticmethod
    def _found(item: Item, hits: Sequence[Hit], removed: Sequence[Removal]) -> Found:
        passages = [Passage(hit.passage_id, hit.text, hit.title, hit.source, hit.score) for hit in hits]
        documents = {hit.passage_id: hit.document_id for hit in hits}
        return Found(
            passages,
            [Removed(removal.passage_id, removal.span) for removal in removed],
            _gold_rank(item, passages, documents),
            documents,
        )


def condition(options: Options) -> str | None:
    """The sources that are wanted, as a filter of the store."""
    parts = []
    for word, names in (("IN", options.keep), ("NOT IN", options.leave_out)):
        if names:
            quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
            parts.append(f"source {word} ({quoted})")
    return " AND ".join(parts) or None


def _gold_rank(item: Item, passages: Sequence[Passage], documents: Mapping[str, str]) -> int | None:
    gold = {passage.id for passage in item.gold}
    for rank, passage in enumerate(passages, start=1):
        if passage.id in gold or documents.get(passage.id) in gold:
            return rank
    return None
