"""Decide which documents stay, over the whole corpus, from scores and hashes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .document import Reject
from .filters import Filters, rules
from .stages.read import REJECTS_KEPT, SAMPLE_CHARACTERS
from .stages.score import ScoredShard, joined, read_documents

_BEFORE_RULES = ("duplicate_id", "repeated_id", "beyond_limit", "filter_failed")
_AFTER_RULES = ("exact_duplicate", "near_duplicate")


class Copies(Protocol):
    """Finds near-duplicates among the documents that passed everything else."""

    def __call__(self, passing: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each of the (m,) document numbers, the number of the one that stays in its place, or -1."""


class Decision(NamedTuple):
    """What stays. Documents are numbered through all shards, in their order."""

    shards: Sequence[ScoredShard]
    reasons: list[str]  # in the order in which they decide; "" first: it stays
    reason: NDArray[np.int16]  # (n,) number into `reasons`
    instead: NDArray[
        np.int64
    ]  # (n,) the document that stays in place of this one; itself where there is none

    def kept(self) -> list[NDArray[np.int64]]:
        """For each shard the positions that stay, ascending."""
        return [np.flatnonzero(self.reason[start:stop] == 0) for start, stop in self._ranges()]

    def _ranges(self) -> list[tuple[int, int]]:
        ends = np.cumsum([0, *(scored.shard.documents for scored in self.shards)])
        return [*pairwise(ends.tolist())]

    def totals(self, column: str) -> dict[str, dict[str, int]]:
        """The sum of `words` or `bytes`, or the number of `documents`, by source and reason; what stays has none."""
        found: dict[str, dict[str, int]] = {}
        for scored, (start, stop) in zip(self.shards, self._ranges(), strict=True):
            weights = None if column == "documents" else scored.numbers(column)
            sums = np.bincount(self.reason[start:stop], weights, minlength=len(self.reasons))
            of_source = found.setdefault(scored.shard.source, {})
            for number in np.flatnonzero(sums):
                name = self.reasons[number]
                of_source[name] = of_source.get(name, 0) + int(sums[number])
        return found

    def rejects(self, work: Path) -> list[tuple[str, Reject]]:
        """(source, reject): of each source and reason the first documents that were dropped, to read."""
        seen: dict[tuple[str, int], int] = {}
        found: list[tuple[str, Reject]] = []
        ranges = self._ranges()
        for scored, (start, stop) in zip(self.shards, ranges, strict=True):
            source = scored.shard.source
            chosen = []
            for position in np.flatnonzero(self.reason[start:stop]).tolist():
                key = source, int(self.reason[start + position])
                seen[key] = seen.get(key, 0) + 1
                if seen[key] <= REJECTS_KEPT:
                    chosen.append(position)
            if not chosen:
                continue
            names, locations, failures = (
                column.take(chosen).to_pylist() for column in scored.columns(("id", "location", "failure"))
            )
            samples = _samples(work, scored, chosen)
            for position, name, location, failure, sample in zip(
                chosen, names, locations, failures, samples, strict=True
            ):
                number = start + position
                reason = self.reasons[self.reason[number]]
                first = int(self.instead[number])
                what = "another text of the same id is" if reason == "repeated_id" else "the same as"
                detail = failure or "" if first == number else f"{what} {self._location(first, ranges)}"
                found.append((source, Reject(reason, location, name, detail, sample)))
        return found

    def _location(self, number: int, ranges: list[tuple[int, int]]) -> str:
        shard = int(np.searchsorted([stop for _, stop in ranges], number, side="right"))
        location: str = self.shards[shard].column("location")[number - ranges[shard][0]].as_py()
        return location


def _samples(work: Path, scored: ScoredShard, positions: list[int]) -> list[str]:
    """The starts of texts; empty where texts were not kept."""
    try:
        texts = read_documents(work, scored, ["text"], np.array(positions)).column("text").to_pylist()
    except FileNotFoundError:
        return [""] * len(positions)
    return [text[:SAMPLE_CHARACTERS] for text in texts]


def decide(
    shards: Sequence[ScoredShard],
    filters: Mapping[str, Filters],
    limits: Mapping[str, int | None],
    *,
    exact_duplicates: bool,
    near_duplicates: Copies | None = None,
) -> Decision:
    """Decide for every document; the first rule that drops it is the reason.

    In order: ids that repeat within a source, with the same text or another, the source's limit, filters that failed, the
    filters' rules, copies of the same normalised text, near-duplicates. Of exact copies the first stays. Filters and
    limits are by source.
    RAM: about 100 bytes a document, without those of `near_duplicates`.
    """
    listed = {source: rules(of_one) for source, of_one in filters.items()}
    by_rules = dict.fromkeys(rule.reason for of_one in listed.values() for rule in of_one)
    reasons = ["", *_BEFORE_RULES, *by_rules, *_AFTER_RULES]
    code = {name: number for number, name in enumerate(reasons)}
    counts = [scored.shard.documents for scored in shards]
    reason = np.zeros(sum(counts), dtype=np.int16)
    instead = np.arange(len(reason))
    starts = np.cumsum([0, *counts])
    for source, limit in limits.items():
        numbers = np.concatenate(
            [np.empty(0, dtype=np.int64)]
            + [
                np.arange(start, stop)
                for scored, (start, stop) in zip(shards, pairwise(starts), strict=True)
                if scored.shard.source == source
            ]
        )
        ids = joined([scored.hashes("id_hash") for scored in shards if scored.shard.source == source])
        _mark_copies(numbers, ids, code["duplicate_id"], reason, instead)
        texts = joined([scored.hashes("content_hash") for scored in shards if scored.shard.source == source])
        same_id = np.flatnonzero(reason[numbers])
        firsts = np.searchsorted(numbers, instead[numbers[same_id]])
        reason[numbers[same_id[texts[same_id] != texts[firsts]]]] = code["repeated_id"]
        if limit is not None:
            reason[numbers[reason[numbers] == 0][limit:]] = code["beyond_limit"]
    for scored, (start, stop) in zip(shards, pairwise(starts), strict=True):
        here = reason[start:stop]
        here[(here == 0) & scored.column("failure").is_valid().to_numpy()] = code["filter_failed"]
        scores = scored.scores()
        for rule in listed[scored.shard.source]:
            here[(here == 0) & rule.drops(scores)] = code[rule.reason]
    if exact_duplicates:
        numbers = np.flatnonzero(reason == 0)
        contents = joined([scored.hashes("content_hash") for scored in shards])[numbers]
        _mark_copies(numbers, contents, code["exact_duplicate"], reason, instead)
    if near_duplicates is not None:
        numbers = np.flatnonzero(reason == 0)
        stays = near_duplicates(numbers)
        reason[numbers[stays >= 0]] = code["near_duplicate"]
        instead[numbers[stays >= 0]] = stays[stays >= 0]
    return Decision(shards, reasons, reason, instead)


def _mark_copies(
    numbers: NDArray[np.int64],
    hashes: NDArray[np.void],
    code: int,
    reason: NDArray[np.int16],
    instead: NDArray[np.int64],
) -> None:
    """Mark all but the first of equal hashes."""
    if not len(numbers):
        return
    order = np.lexsort((hashes["low"], hashes["high"]))  # stable: the first of equals stays in front
    ordered = hashes[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = order[np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
    copies = ~is_first
    reason[numbers[order[copies]]] = code
    instead[numbers[order[copies]]] = numbers[first[copies]]
