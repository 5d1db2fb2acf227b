"""Questions, indexed by their n-grams, and the texts that share runs of words with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError, NotFoundError
from ..files import published_folder
from .folding import folded_word_spans, folded_words
from .near import SEED_WORDS, Common, near_questions, not_in
from .ngrams import NgramIndex
from .rules import DecontaminationConfig, Leak, Match

FORMAT = 2
_ARRAYS = ("words", "starts", "ngrams", "places", "present")
_SEED_ARRAYS = ("ngrams", "places", "present")  # the questions are the same
_BATCH_CHARACTERS = 1 << 18  # what it takes in arrays fits a core's cache


@dataclass(frozen=True, eq=False)
class Matcher:
    """Questions, ready to be found in texts.

    Attributes
    ----------
    names
        (task, item) of each question that is used.
    vocabulary
        Number of each word of the questions, from 1.
    index
        Their n-grams.
    seeds
        Their short n-grams, for the rule `near`.
    unused
        How many questions are not used, by reason.
    key
        Content hash of questions and configuration.
    """

    config: DecontaminationConfig
    names: Sequence[tuple[str, str]]
    vocabulary: Mapping[str, int]
    index: NgramIndex
    seeds: NgramIndex | None
    unused: Mapping[str, int]
    key: str
    folder: Path | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """A saved matcher travels as the name of its folder, so that all workers share its pages."""
        if self.folder is not None:
            return open_matcher, (self.folder,)
        return Matcher, tuple(getattr(self, part.name) for part in fields(self))

    def matches(self, text: str) -> list[Match]:
        """All that a text shares with questions, by start, then question; overlapping ones included."""
        return self.matches_of([text])[0]

    def matches_of(self, texts: Sequence[str]) -> list[list[Match]]:
        """`matches` of each text."""
        found: list[list[Match]] = [[] for _ in texts]
        batch: list[int] = []
        waiting = 0
        for number, text in enumerate(texts):
            batch.append(number)
            waiting += len(text)
            if waiting >= _BATCH_CHARACTERS or number == len(texts) - 1:
                self._match([texts[i] for i in batch], [found[i] for i in batch])
                batch, waiting = [], 0
        return found

    def _match(self, texts: Sequence[str], found: Sequence[list[Match]]) -> None:
        numbers, starts = self._numbered(texts)
        common = self._runs(numbers, starts)
        if self.seeds is not None:
            common += not_in(near_questions(numbers, starts, self.seeds, self.config.min_in_order), common)
        spans: dict[int, list[tuple[int, int]]] = {}
        for text, question, first, end, words, place in sorted(common, key=lambda one: (one.first, *one)):
            if text not in spans:
                spans[text] = folded_word_spans(texts[text])
            before = int(starts[text])
            start, stop = spans[text][first - before][0], spans[text][end - before - 1][1]
            found[text].append(
                Match(*self.names[question], start, stop, words, texts[text][start:stop], question, place)
            )

    def _runs(self, numbers: NDArray[np.int32], starts: NDArray[np.int64]) -> list[Common]:
        runs = self.index.runs(numbers)
        texts = np.searchsorted(starts, runs.first, side="right") - 1
        questions = self.index.owners(runs.place)
        places = runs.place - self.index.starts[questions]
        columns = texts, questions, runs.first, runs.first + runs.size, runs.size, places
        return [Common(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def _numbered(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The words of texts by number, a 0 before, between and after them, and where each text begins."""
        number = self.vocabulary.get
        parts = [np.zeros(1, dtype=np.int32)]
        for text in texts:
            found = folded_words(text)
            part = np.zeros(len(found) + 1, dtype=np.int32)
            part[:-1] = np.fromiter(map(number, found, repeat(0)), dtype=np.int32, count=len(found))
            parts.append(part)
        ends = np.cumsum([len(part) for part in parts])
        return np.concatenate(parts), ends[:-1]

    def leaks(self, texts: Sequence[str], ranges: Sequence[Sequence[tuple[int, int]]]) -> list[Leak]:
        """The contaminated passages of texts, by text, passage, task and item; one leak a passage and question.

        Parameters
        ----------
        ranges
            For each text the characters [start, end) of its passages. A run that crosses from one into the next
            contaminates both.
        """
        found: list[Leak] = []
        for number, matches in enumerate(self.matches_of(texts)):
            if not matches:
                continue
            begins, ends = np.array(ranges[number], dtype=np.int64).reshape(-1, 2).T
            touched: dict[int, list[tuple[Match, float]]] = {}
            for match, value in zip(matches, self._values(matches), strict=True):
                if value is not None:
                    for passage in np.flatnonzero((begins < match.end) & (match.start < ends)).tolist():
                        touched.setdefault(passage, []).append((match, value))
            for passage, touching in sorted(touched.items()):
                start, end = ranges[number][passage]
                if self.config.rule == "jaccard":
                    similar = self._similarities(touching, texts[number][start:end])
                    touching = [  # noqa: PLW2901 (those that are similar)
                        (match, similar[match.question])
                        for match, _ in touching
                        if similar[match.question] > self.config.max_jaccard
                    ]
                best: dict[tuple[str, str], Leak] = {}
                for match, value in touching:
                    leak = Leak(number, passage, match.task, match.item, match.span, match.words, value)
                    if match[:2] not in best or leak.rank > best[match[:2]].rank:
                        best[match[:2]] = leak
                found.extend(best[name] for name in sorted(best))
        return found

    def _values(self, matches: Sequence[Match]) -> list[float | None]:
        """For each match of a text what the rule compares; None where it lets the passages be."""
        config = self.config
        sizes = [len(self.index.question(match.question)) for match in matches]
        match config.rule:
            case "any" | "near":
                return [float(found.words) for found in matches]
            case "longest_run":
                shares = [round(found.words / size, 4) for found, size in zip(matches, sizes, strict=True)]
                return [
                    share
                    if share >= config.min_run_share and found.words >= min(config.min_run_words, size)
                    else None
                    for found, size, share in zip(matches, sizes, shares, strict=True)
                ]
            case "coverage":
                covered: dict[int, set[int]] = {}
                for found in matches:
                    places = range(found.place, found.place + found.words)
                    covered.setdefault(found.question, set()).update(places)
                shares = [
                    round(len(covered[found.question]) / size, 4)
                    for found, size in zip(matches, sizes, strict=True)
                ]
                return [
                    share
                    if share >= config.min_coverage
                    and len(covered[found.question]) >= min(config.min_run_words, size)
                    else None
                    for found, size, share in zip(matches, sizes, shares, strict=True)
                ]
            case "jaccard":
                return [0.0] * len(matches)  # each passage has its own

    def _similarities(self, matches: Sequence[tuple[Match, float]], passage: str) -> dict[int, float]:
        """Jaccard similarity of a passage's n-grams and those of each question that it has a run of."""
        words = folded_words(passage)
        numbers = {word: -place for place, word in enumerate(dict.fromkeys(words), start=1)}
        numbers.update((word, self.vocabulary[word]) for word in numbers if word in self.vocabulary)
        own = [numbers[word] for word in words]
        similar = {}
        for number in {match.question for match, _ in matches}:
            question = self.index.question(number).tolist()
            similar[number] = _jaccard(own, question, min(self.config.ngram_words, len(question)))
        return similar

    def save(self, folder: Path) -> Matcher:
        """Write it as `folder`, all of it or nothing, and open it from there."""
        with published_folder(folder) as unfinished:
            for name in _ARRAYS:
                np.save(unfinished / f"{name}.npy", getattr(self.index, name), allow_pickle=False)
            if self.seeds is not None:
                for name in _SEED_ARRAYS:
                    np.save(unfinished / f"seed_{name}.npy", getattr(self.seeds, name), allow_pickle=False)
            about = {
                "format": FORMAT,
                "key": self.key,
                "config": self.config.model_dump(),
                "unused": dict(self.unused),
                "names": list(self.names),
                "vocabulary": list(self.vocabulary),
            }
            (unfinished / "questions.json").write_text(
                json.dumps(about, ensure_ascii=False), encoding="utf-8"
            )
        return open_matcher(folder)


def open_matcher(folder: Path) -> Matcher:
    """A saved matcher; its arrays are memory-mapped.

    Raises
    ------
    NotFoundError
        If there is none.
    IntegrityError
        If it has another format, or files are missing.
    """
    try:
        about = json.loads((folder / "questions.json").read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"there are no saved questions at {folder}") from error
    if about.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder} has format {about.get('format')}, expected {FORMAT}",
            hint="remove the folder, and build it again",
        )
    config = DecontaminationConfig(**about["config"])
    names = [*_ARRAYS, *(f"seed_{name}" for name in _SEED_ARRAYS if config.rule == "near")]
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (FileNotFoundError, ValueError) as error:
        raise IntegrityError(
            f"{folder} is not complete: {error}", hint="remove the folder, and build it again"
        ) from error
    index = NgramIndex(config.ngram_words, *(arrays[name] for name in _ARRAYS))
    seeds = None
    if config.rule == "near":
        own = {name: arrays[f"seed_{name}"] for name in _SEED_ARRAYS}
        seeds = NgramIndex(SEED_WORDS, index.words, index.starts, **own)
    return Matcher(
        config=config,
        names=[(task, item) for task, item in about["names"]],
        vocabulary={word: number for number, word in enumerate(about["vocabulary"], start=1)},
        index=index,
        seeds=seeds,
        unused=about["unused"],
        key=about["key"],
        folder=folder,
    )


def _jaccard(one: Sequence[int], other: Sequence[int], size: int) -> float:
    """Similarity of the sets of runs of `size` words, rounded to 4 decimals."""
    sets = [
        {tuple(numbers[i : i + size]) for i in range(len(numbers) - size + 1)} for numbers in (one, other)
    ]
    return round(len(sets[0] & sets[1]) / max(1, len(sets[0] | sets[1])), 4)
