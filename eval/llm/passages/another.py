"""Passages of other questions: the control for what any text of the kind does."""

from __future__ import annotations

from collections.abc import Sequence

from ...tasks.task import Item, Passage
from ..config import Options
from ..questions import query_of
from .clean import clean
from .finders import Finder, Found

_OTHERS = 10  # questions whose passages are tried, before fewer are shown


class OfAnother:
    """As many passages as `finder` finds for a question, but found for another: `order` has the other's number for each.

    What was found for the question itself, is gold to it, or gives it away is left out; where too few remain, the
    other's other gives more.
    """

    def __init__(self, finder: Finder, items: Sequence[Item], order: Sequence[int], options: Options) -> None:
        self._finder = finder
        self._items = items
        self._order = order
        self._options = options

    def find(self, items: Sequence[Item], first: int) -> list[Found]:
        own = self._finder.find(items, first)
        known = [_names((*one.passages, *item.gold)) for item, one in zip(items, own, strict=True)]
        others = list(range(first, first + len(items)))
        ranked: list[list[Passage]] = [[] for _ in items]
        found = [Found() for _ in items]
        for _ in range(min(_OTHERS, len(self._items) - 1)):
            lacking = [n for n in range(len(items)) if len(found[n].passages) < len(own[n].passages)]
            if not lacking:
                break
            for n in lacking:
                others[n] = self._order[others[n]]
            theirs = self._finder.find([self._items[others[n]] for n in lacking], first)
            for n, other in zip(lacking, theirs, strict=True):
                new = [passage for passage in other.passages if not _is_known(passage, other, known[n])]
                ranked[n] += new
                known[n] |= _names(new)
                found[n] = self._shown(items[n], ranked[n], len(own[n].passages))
        return found

    def _shown(self, item: Item, ranked: Sequence[Passage], k: int) -> Found:
        if not self._options.decontaminate:
            return Found(ranked[:k])
        return Found(*clean(query_of(item, self._options), ranked, k))


def _names(passages: Sequence[Passage]) -> set[str]:
    """Ids and texts: some files have no ids, and some texts have several."""
    return {name for passage in passages for name in (passage.id, passage.text) if name}


def _is_known(passage: Passage, found: Found, known: set[str]) -> bool:
    return not known.isdisjoint((passage.id, passage.text, found.documents.get(passage.id, "")))
