"""Runs of equal words between texts, found by the hashes of their n-grams and verified by the words themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class Runs(NamedTuple):
    """Of equal length: `size` words from word `first` of the texts equal those from `place` of the questions."""

    first: NDArray[np.int64]
    place: NDArray[np.int64]
    size: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NgramIndex:
    """The n-grams of questions. Words are numbers from 1; 0 is a word of no question, and stands between texts.

    Attributes
    ----------
    length
        Words of an n-gram; a question of fewer words is one n-gram.
    words
        int32, all questions, a 0 before, between and after them.
    starts
        (questions + 1,) int64: question i is words[starts[i] : starts[i + 1] - 1].
    ngrams, places
        uint64 hashes, ascending, and int64 where in `words` each n-gram begins.
    present
        bool, a power of two long: whether there is an n-gram whose hash begins with these bits. One look here
        instead of a binary search turns most n-grams of clean text away.
    """

    length: int
    words: NDArray[np.int32]
    starts: NDArray[np.int64]
    ngrams: NDArray[np.uint64]
    places: NDArray[np.int64]
    present: NDArray[np.bool_]

    def question(self, number: int) -> NDArray[np.int32]:
        return self.words[self.starts[number] : self.starts[number + 1] - 1]

    def owners(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The questions that positions in `words` belong to."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def runs(self, numbers: NDArray[np.int32]) -> Runs:
        """The longest runs of `numbers`, texts with a 0 before, between and after them, that hold an n-gram."""
        nothing = np.zeros(0, dtype=np.int64)
        first, place, size = [nothing], [nothing], [nothing]
        for length, at, hashes in _ngrams(numbers, self._lengths()):
            likely = self.present[_slots(hashes, len(self.present))]
            at, hashes = at[likely], hashes[likely]  # noqa: PLW2901 (the likely ones)
            left = np.searchsorted(self.ngrams, hashes, side="left")
            there = self.ngrams[np.minimum(left, len(self.ngrams) - 1)] == hashes
            at, left = at[there], left[there]  # noqa: PLW2901 (those there are)
            counts = np.searchsorted(self.ngrams, hashes[there], side="right") - left
            hit = np.repeat(at, counts)
            entry = np.repeat(left - np.cumsum(counts) + counts, counts) + np.arange(len(hit))
            question = self.places[entry]
            same = np.ones(len(hit), dtype=np.bool_)
            for word in range(length):  # the words themselves: equal hashes alone drop no text
                same &= numbers[hit + word] == self.words[question + word]
            first.append(hit[same])
            place.append(question[same])
            size.append(np.full(np.count_nonzero(same), length))
        runs = Runs(np.concatenate(first), np.concatenate(place), np.concatenate(size))
        return self._grown(numbers, _joined(runs)) if len(runs.first) else runs

    def _lengths(self) -> list[int]:
        return [int(length) for length in np.unique(np.minimum(np.diff(self.starts) - 1, self.length))]

    def _grown(self, numbers: NDArray[np.int32], runs: Runs) -> Runs:
        """Runs with the words before and after them that are common too: turns of phrase are not in the index."""
        first, place, size = runs
        while (more := (numbers[first - 1] != 0) & (numbers[first - 1] == self.words[place - 1])).any():
            first, place, size = first - more, place - more, size + more
        while (
            more := (numbers[first + size] != 0) & (numbers[first + size] == self.words[place + size])
        ).any():
            size = size + more
        return Runs(*np.unique(np.stack([first, place, size]), axis=1))


def index_ngrams(
    questions: Sequence[Sequence[int]],
    spelt: NDArray[np.bool_],
    *,
    length: int,
    max_questions: int,
    min_letter_words: int,
) -> NgramIndex:
    """Index the n-grams that are evidence: in at most so many different questions, with at least so many spelt words.

    Parameters
    ----------
    questions
        Their words by number.
    spelt
        For each number of a word, 0 included, whether it is spelt in letters.
    """
    known: dict[tuple[int, ...], int] = {}
    texts = np.array([known.setdefault(tuple(words), len(known)) for words in questions], dtype=np.int64)
    words = np.array([0, *(number for numbers in questions for number in (*numbers, 0))], dtype=np.int32)
    starts = np.cumsum([1, *(len(numbers) + 1 for numbers in questions)], dtype=np.int64)
    sizes = np.minimum(np.diff(starts) - 1, length)
    spelt_before = np.cumsum(np.append(False, spelt[words]))
    all_hashes, all_places = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    for size, at, hashes in _ngrams(words, [int(size) for size in np.unique(sizes)]):
        question = np.searchsorted(starts, at, side="right") - 1
        order = np.lexsort((texts[question], hashes))
        ngram, text = hashes[order], texts[question][order]
        first = np.ones(len(order), dtype=np.bool_)  # of its n-gram in its text
        first[1:] = (ngram[1:] != ngram[:-1]) | (text[1:] != text[:-1])
        distinct, occurrences = np.unique(ngram[first], return_counts=True)
        evidence = occurrences[np.searchsorted(distinct, hashes)] <= max_questions
        evidence &= spelt_before[at + size] - spelt_before[at] >= min(min_letter_words, size)
        evidence &= sizes[question] == size  # those of another length are counted only
        all_hashes.append(hashes[evidence])
        all_places.append(at[evidence])
    ngrams, places = np.concatenate(all_hashes), np.concatenate(all_places)
    order = np.lexsort((places, ngrams))
    present = np.zeros(1 << (len(ngrams).bit_length() + 3), dtype=np.bool_)
    present[_slots(ngrams, len(present))] = True
    return NgramIndex(length, words, starts, ngrams[order], places[order], present)


def _slots(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """The first bits of hashes: positions in an array of `size`, a power of two."""
    return hashes >> np.uint64(65 - size.bit_length())


def _ngrams(
    numbers: NDArray[np.int32], lengths: Sequence[int]
) -> Iterable[tuple[int, NDArray[np.int64], NDArray[np.uint64]]]:
    """For each of ascending lengths: where a run of so many known words begins, and its hash.

    Equal for equal words and lengths, wherever they stand.
    """
    end = len(numbers)
    stops = np.where(numbers == 0, np.arange(end), end)
    known = np.minimum.accumulate(stops[::-1])[::-1] - np.arange(end)
    values = _mixed(numbers.astype(np.uint64))
    at = np.flatnonzero(known >= min(lengths, default=end + 1))
    hashes, done = np.zeros(len(at), dtype=np.uint64), 0
    for length in lengths:
        keep = known[at] >= length
        at, hashes = at[keep], hashes[keep]
        for word in range(done, length):
            hashes = hashes * _FACTOR + values[at + word]
        done = length
        yield length, at, _mixed(hashes + np.uint64(length))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., OOPSLA 2014): a bijection that spreads every bit."""
    values = (values + _FACTOR).astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _joined(runs: Runs) -> Runs:
    """Runs of which one begins a word after another, on both sides, as one."""
    diagonal = runs.first - runs.place
    order = np.lexsort((runs.first, diagonal))
    first, place, size, diagonal = runs.first[order], runs.place[order], runs.size[order], diagonal[order]
    opens = np.ones(len(first), dtype=np.bool_)
    opens[1:] = (diagonal[1:] != diagonal[:-1]) | (first[1:] != first[:-1] + 1)
    begin = np.flatnonzero(opens)
    last = np.append(begin[1:], len(first)) - 1
    return Runs(first[begin], place[begin], first[last] + size[last] - first[begin])
