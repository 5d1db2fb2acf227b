"""Which candidates are near-duplicates: the true Jaccard similarity of their word n-grams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..executors import Executor
from .bands import Candidates, distinct
from .minhash import NearDuplicates, shingles

Texts: TypeAlias = Callable[[NDArray[np.int64]], Sequence[str]]
"""The texts of documents, whose numbers are ascending and distinct. Picklable: workers call it."""

_CHARACTERS = 1 << 22  # of both sides of the pairs that are compared at a time
_PAIRS = 1 << 14  # a task
# Of a shingle: a chance match in one pair of texts of 10,000 words has a probability of 1e-4.
_HASH_BITS = np.uint64(40)


class Corpus(NamedTuple):
    """What is needed to compare documents: `lengths` is a .npy of the characters of each, so that RAM is bounded."""

    texts: Texts
    lengths: Path
    config: NearDuplicates


class _Block(NamedTuple):
    corpus: Corpus
    candidates: Candidates
    number: int


class _Pairs(NamedTuple):
    corpus: Corpus
    pairs: NDArray[np.int64]
    start: int


@dataclass(frozen=True)
class PairFiles:
    """Blocks of pairs (m, 2), read anew at each pass."""

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return map(np.load, self.files)


def verified_pairs(candidates: Candidates, corpus: Corpus, executor: Executor) -> PairFiles:
    """The candidates that `similar` confirms."""
    tasks = (_Block(corpus, candidates, number) for number in candidates.blocks())
    return PairFiles(tuple(sorted(file for _, file in executor.map(_verify_block, tasks))))


def compare(pairs: NDArray[np.int64], corpus: Corpus, executor: Executor) -> NDArray[np.bool_]:
    """`similar`, shared among the workers."""
    alike = np.zeros(len(pairs), dtype=np.bool_)
    starts = range(0, len(pairs), _PAIRS)
    tasks = (_Pairs(corpus, pairs[start : start + _PAIRS], start) for start in starts)
    for task, found in executor.map(_compare_pairs, tasks):
        alike[task.start : task.start + len(found)] = found
    return alike


def _verify_block(block: _Block) -> Path:
    pairs = block.candidates.pairs(block.number)
    file = block.candidates.folder / f"verified-{block.number:06}.npy"
    np.save(file, pairs[similar(pairs, block.corpus)])
    return file


def _compare_pairs(task: _Pairs) -> NDArray[np.bool_]:
    return similar(task.pairs, task.corpus)


def similar(pairs: NDArray[np.int64], corpus: Corpus) -> NDArray[np.bool_]:
    """(m,) whether the similarity of each pair, rounded to 4 decimals, is at least `min_jaccard`.

    RAM: about 50 MB, or 15 bytes a character of the longest pair.
    """
    lengths = np.load(corpus.lengths, mmap_mode="r")
    alike = [np.empty(0, dtype=np.bool_)]
    for lot in np.split(pairs, _cuts(lengths[pairs].sum(axis=1, dtype=np.int64))) if len(pairs) else []:
        rows, sides = np.unique(lot, return_inverse=True)
        scores = jaccard(corpus.texts(rows), sides.reshape(-1, 2), corpus.config.ngram_words)
        alike.append(scores >= corpus.config.min_jaccard)
    return np.concatenate(alike)


def _cuts(characters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions that cut pairs into lots of about `_CHARACTERS`, of which each pair takes up 100 at least."""
    lots = np.cumsum(characters + 100) // _CHARACTERS
    return np.flatnonzero(lots[1:] != lots[:-1]) + 1


def jaccard(texts: Sequence[str], pairs: NDArray[np.int64], ngram_words: int) -> NDArray[np.float64]:
    """(m,) similarities of pairs (m, 2) of positions in `texts`, rounded to 4 decimals."""
    found = shingles(texts, ngram_words)
    mask = (np.uint64(1) << _HASH_BITS) - np.uint64(1)
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64), np.diff(found.starts))
    keys = distinct(owners << _HASH_BITS | found.hashes & mask)
    sizes = np.bincount((keys >> _HASH_BITS).astype(np.int64), minlength=len(texts))
    starts = np.cumsum(sizes) - sizes

    sides = pairs.ravel()
    lengths = sizes[sides]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    pair = np.repeat(np.arange(len(sides), dtype=np.uint64) // np.uint64(2), lengths)
    both = np.sort(pair << _HASH_BITS | keys[np.repeat(starts[sides], lengths) + within] & mask)
    shared = both[1:][both[1:] == both[:-1]] >> _HASH_BITS
    common = np.bincount(shared.astype(np.int64), minlength=len(pairs))
    return np.asarray(np.round(common / (lengths.reshape(-1, 2).sum(axis=1) - common), 4))
