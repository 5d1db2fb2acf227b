"""Repetition rules of Gopher (Rae et al. 2021, https://arxiv.org/abs/2112.11446, Table A1), as datatrove decides them."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .batch import TextBatch
from .rolling import RollingHash, scrambled
from .rule import Rule
from .words import Words

_TOP = (2, 3, 4)
_DUPLICATE = (5, 6, 7, 8, 9, 10)
_PARAGRAPHS = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n+")


class GopherRepetitionFilter(BaseModel):
    """Drop what says the same again: paragraphs, lines, the most frequent short n-gram, all longer n-grams.

    All but the first two of each pair are shares of characters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_duplicate_paragraphs: float = 0.3
    max_duplicate_paragraph_characters: float = 0.2
    max_duplicate_lines: float = 0.3
    max_duplicate_line_characters: float = 0.2
    max_top_2_gram: float = 0.2
    max_top_3_gram: float = 0.18
    max_top_4_gram: float = 0.16
    max_duplicate_5_grams: float = 0.15
    max_duplicate_6_grams: float = 0.14
    max_duplicate_7_grams: float = 0.13
    max_duplicate_8_grams: float = 0.12
    max_duplicate_9_grams: float = 0.11
    max_duplicate_10_grams: float = 0.1

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """Shares; NaN for an empty text, and for a top n-gram where there are fewer than n words."""
        paragraphs = [repeats(_paragraphs(text)) for text in batch.texts]
        lines = [repeats(_lines(text)) for text in batch.texts]
        characters = np.where(batch.characters, batch.characters, np.nan)
        scores = {
            "gopher_repetition_characters": batch.characters.astype(np.float64),
            "gopher_repetition_duplicate_paragraphs": np.array([p.repeated / p.total for p in paragraphs]),
            "gopher_repetition_duplicate_paragraph_characters": np.array([p.characters for p in paragraphs])
            / characters,
            "gopher_repetition_duplicate_lines": np.array([line.repeated / line.total for line in lines]),
            "gopher_repetition_duplicate_line_characters": np.array([line.characters for line in lines])
            / characters,
        }
        for n, top in zip(_TOP, _top_characters(batch.words), strict=True):
            scores[f"gopher_repetition_top_{n}_gram"] = top / characters
        for n, duplicate in zip(_DUPLICATE, _duplicate_characters(batch.words), strict=True):
            scores[f"gopher_repetition_duplicate_{n}_grams"] = duplicate / characters
        return scores

    def rules(self) -> tuple[Rule, ...]:
        names = (
            "duplicate_paragraphs",
            "duplicate_paragraph_characters",
            "duplicate_lines",
            "duplicate_line_characters",
            *(f"top_{n}_gram" for n in _TOP),
            *(f"duplicate_{n}_grams" for n in _DUPLICATE),
        )
        return (
            Rule("gopher_empty", "gopher_repetition_characters", minimum=1),
            *(
                Rule(f"gopher_{name}", f"gopher_repetition_{name}", maximum=getattr(self, f"max_{name}"))
                for name in names
            ),
        )


class _Repeats(NamedTuple):
    total: int
    repeated: int  # elements that were there before
    characters: int  # of those


class _Groups(NamedTuple):
    """Things that occur more than once, in their order."""

    members: NDArray[np.int64]
    groups: NDArray[np.int64]  # (members,) equal for equal things


def repeats(elements: list[str]) -> _Repeats:
    """How much of the elements was there before in their list."""
    if len(set(elements)) == len(elements):
        return _Repeats(len(elements), 0, 0)
    seen: set[str] = set()
    repeated = characters = 0
    for element in elements:
        if element in seen:
            repeated += 1
            characters += len(element)
        else:
            seen.add(element)
    return _Repeats(len(elements), repeated, characters)


def _paragraphs(text: str) -> list[str]:
    return _PARAGRAPHS.split(text.strip())


def _lines(text: str) -> list[str]:
    return _LINES.split(text) if "\n\n" in text else text.split("\n")


def _groups(keys: NDArray[np.uint64]) -> _Groups:
    """Where keys occur more than once."""
    order = np.argsort(keys)
    ranked = keys[order]
    equal = ranked[1:] == ranked[:-1]
    if not equal.any():
        return _Groups(np.empty(0, np.int64), np.empty(0, np.int64))
    several = np.zeros(len(keys), np.bool_)
    several[1:] = equal
    several[:-1] |= equal
    groups = np.concatenate((np.zeros(1, np.int64), np.cumsum(~equal)))[several]
    members = order[several]
    back = np.argsort(members)
    return _Groups(members[back], groups[back])


def _top_characters(words: Words) -> list[NDArray[np.float64]]:
    """For n = 2, 3, 4: characters of the most frequent n-gram, blanks included, times its count.

    The first of several that are equally frequent; NaN where a text has fewer than n words.
    """
    texts, lengths = words.texts, words.vocabulary.lengths[words.ids]
    room = words.starts[1:][texts] - np.arange(len(texts))  # words from here to the end of the text
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    word_keys = scrambled(words.ids.astype(np.uint64) + np.uint64(1))
    keys = word_keys ^ scrambled(~texts.view(np.uint64))  # n-grams of different texts are never equal
    candidates = np.arange(len(texts))
    result = []
    for n in range(2, _TOP[-1] + 1):
        first = np.flatnonzero(words.counts >= n)
        top = np.full(len(words.counts), np.nan)
        begins = words.starts[first]
        top[first] = ends[begins + n] - ends[begins] + n - 1
        # An n-gram occurs again only where its first n - 1 words do.
        fits = room[candidates] >= n
        candidates, keys = candidates[fits], keys[fits]
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + word_keys[candidates + n - 1]
        members, groups = _groups(keys)
        candidates, keys = candidates[members], keys[members]
        if len(candidates):
            _, firsts, counts = np.unique(groups, return_index=True, return_counts=True)
            places = candidates[firsts]
            best = np.lexsort((places, -counts, texts[places]))
            chosen = best[np.flatnonzero(np.diff(texts[places][best], prepend=-1))]
            begins = places[chosen]
            top[texts[begins]] = (ends[begins + n] - ends[begins] + n - 1) * counts[chosen]
        result.append(top)
    return result


def _duplicate_characters(words: Words) -> list[NDArray[np.float64]]:
    """For n = 5 … 10: characters of n-grams that were met before in their text, walking from its start.

    As in datatrove, n-grams are equal if their words laid end to end are; behind a duplicate the walk goes on n words
    further, and n-grams that it steps over are not remembered.
    """
    texts = words.texts
    ends = np.cumsum(words.vocabulary.lengths[words.ids])
    rolling = RollingHash(words.vocabulary.hashes[words.ids], ends)
    salts = scrambled(~texts.view(np.uint64))
    room = words.starts[1:][texts] - np.arange(len(texts))
    before = np.concatenate((np.zeros(1, np.int64), ends))
    result = []
    for n in _DUPLICATE:
        starts = np.flatnonzero(room >= n)
        members, groups = _groups(rolling.runs(starts, starts + n) ^ salts[starts])
        places = starts[members]
        hits: list[int] = []
        seen: set[int] = set()
        next_place = 0
        for place, group in zip(places.tolist(), groups.tolist(), strict=True):
            if place < next_place:
                continue
            if group in seen:
                hits.append(place)
                next_place = place + n
            else:
                seen.add(group)
        found = np.array(hits, np.int64)
        characters = before[found + n] - before[found]
        result.append(np.bincount(texts[found], characters, len(words.counts)).astype(np.float64))
    return result
