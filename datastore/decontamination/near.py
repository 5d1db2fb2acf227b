"""Questions that stand in a text but for a few words: found by short n-grams, decided by their longest common subsequence.

A question whose words were replaced, left out or added here and there has no long run in common with its source, but many
short ones, in order and hardly shifted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ngrams import NgramIndex

SEED_WORDS = 4  # one edit leaves a run of so many words in every question of 8 or more
SEED_LETTER_WORDS = 3  # with 2, tables and formulas are found that share no more than their form
# Of a question's words, what seeds must cover before all are compared. It decides about time, hardly about what is found.
_SEEDED_SHARE = 0.4
_SHIFT_SHARE = 0.2  # of a question's length: words added or left out move what follows by so much


class Common(NamedTuple):
    """`words` of a question's words, from its word `place` on, stand in order between words [first, end) of the texts."""

    text: int
    question: int
    first: int
    end: int
    words: int
    place: int


def near_questions(
    numbers: NDArray[np.int32], text_starts: NDArray[np.int64], seeds: NgramIndex, min_share: float
) -> list[Common]:
    """The questions of which at least `min_share` of the words stand in a text, in order and close together.

    Parameters
    ----------
    numbers
        Words of the texts by number, a 0 before, between and after them.
    text_starts
        Where each text begins in them, ascending.
    """
    runs = seeds.runs(numbers)
    if not len(runs.first):
        return []
    question, text = seeds.owners(runs.place), np.searchsorted(text_starts, runs.first, side="right") - 1
    sizes = np.diff(seeds.starts) - 1
    shifts = np.maximum(2, (sizes * _SHIFT_SHARE).astype(np.int64))
    # Where the question's first word would stand, in windows of two shifts that overlap by one.
    window = (runs.first - runs.place + seeds.starts[question]) // shifts[question]
    least = int(window.min()) - 1
    windows = int(window.max()) - least + 1
    key = (text * len(seeds.starts) + question) * windows + (window - least)
    keys, owner = np.unique(np.concatenate([key, key - 1]), return_inverse=True)
    covered = np.bincount(owner, np.concatenate([runs.size, runs.size]))
    texts_questions, at = np.divmod(keys, windows)
    of_text, of_question = np.divmod(texts_questions, len(seeds.starts))
    size, shift = sizes[of_question], shifts[of_question]
    likely = covered >= _SEEDED_SHARE * size
    text_ends = np.append(text_starts[1:], len(numbers)) - 1
    first = np.maximum((at + least) * shift, text_starts[of_text])
    end = np.minimum((at + least + 2) * shift + size, text_ends[of_text])
    found = []
    for i in np.flatnonzero(likely).tolist():
        words = seeds.question(int(of_question[i])).tolist()
        near = _stretch(words, numbers[first[i] : end[i]].tolist())
        if round(near.words / len(words), 4) >= min_share:
            begin = int(first[i])
            where = begin + near.first, begin + near.end
            found.append(Common(int(of_text[i]), int(of_question[i]), *where, near.words, 0))
    return _apart(found)


class _Stretch(NamedTuple):
    first: int
    end: int
    words: int


def _stretch(question: Sequence[int], words: Sequence[int]) -> _Stretch:
    """A short stretch of `words` that holds the longest subsequence they share with the question."""
    count, end = common_subsequence(question, words)
    _, length = common_subsequence(question[::-1], words[end - 1 :: -1] if end else [])
    return _Stretch(end - length, end, count)


def common_subsequence(one: Sequence[int], other: Sequence[int]) -> tuple[int, int]:
    """Length of the longest common subsequence, and the fewest first items of `other` that hold one.

    Hyyrö, "Bit-parallel LCS-length computation revisited" (AWOCA 2004): a bit for each item of `one`.
    """
    places: dict[int, int] = {}
    for place, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << place
    all_bits = (1 << len(one)) - 1
    rest, length, end = all_bits, 0, 0
    for place, item in enumerate(other, start=1):
        if (here := rest & places.get(item, 0)) == 0:
            continue
        rest = ((rest + here) | (rest - here)) & all_bits
        if (found := len(one) - rest.bit_count()) > length:
            length, end = found, place
    return length, end


def _apart(found: Sequence[Common]) -> list[Common]:
    """Of stretches of one question that overlap the one with most words, the first of equals."""
    kept: dict[tuple[int, int], list[tuple[int, int, Common]]] = {}
    for near in sorted(found, key=lambda near: (near.text, near.question, -near.words, near.first)):
        others = kept.setdefault((near.text, near.question), [])  # ascending, apart from each other
        place = bisect_left(others, (near.first,))
        before, after = others[max(place - 1, 0) : place], others[place : place + 1]
        if all(end <= near.first for _, end, _ in before) and all(near.end <= first for first, _, _ in after):
            others.insert(place, (near.first, near.end, near))
    return [near for others in kept.values() for _, _, near in others]


def not_in(near: Sequence[Common], runs: Sequence[Common]) -> list[Common]:
    """Those of `near` that no run of the same question there has as many words as."""
    of: dict[tuple[int, int], list[Common]] = {}
    for run in sorted(runs, key=lambda run: run.first):
        of.setdefault((run.text, run.question), []).append(run)
    longest = max((run.words for run in runs), default=0)

    def stands(one: Common) -> bool:
        same = of.get((one.text, one.question), [])
        first = bisect_left(same, one.first - longest, key=lambda run: run.first)
        end = bisect_left(same, one.end, key=lambda run: run.first)
        return not any(run.words >= one.words and run.end > one.first for run in same[first:end])

    return [one for one in near if stands(one)]
