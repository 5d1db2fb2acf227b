"""Passages without those that give the question away, where no store is searched: the next best take their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from datastore.decontamination import Question, build_matcher

from ...tasks.task import Passage


class Removed(NamedTuple):
    """A passage that was left out, and the words that it shares with the question."""

    id: str
    span: str


class Clean(NamedTuple):
    passages: list[Passage]
    removed: list[Removed]  # those above the last of the passages


def clean(query: str, ranked: Sequence[Passage], k: int) -> Clean:
    """The k best of `ranked` that do not give the query away, by the rule of `decontaminated`."""
    matcher = build_matcher([Question("", "", query)])
    spans: dict[int, str] = {}
    for leak in matcher.leaks(
        [passage.text for passage in ranked], [[(0, len(passage.text))] for passage in ranked]
    ):
        spans.setdefault(leak.text, leak.span)
    passages: list[Passage] = []
    removed: list[Removed] = []
    for place, passage in enumerate(ranked):
        if len(passages) == k:
            break
        if place in spans:
            removed.append(Removed(passage.id, spans[place]))
        else:
            passages.append(passage)
    return Clean(passages, removed)
