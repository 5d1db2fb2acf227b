"""MinHash signatures (Broder 1997) of texts, kept as one hash a band (Leskovec et al., Mining of Massive Datasets, 3.4).

A text is the set of its word n-grams, in lower case. A text of fewer words is one shingle of all of them, and
a text without any word is one word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from datastore.text import words

# 64-bit odd constants of good avalanche: the shingle polynomial (Steele and Vigna 2021) and the mixing (MurmurHash3).
_BASE = np.uint64(0xD1342543DE82EF95)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_CACHED_SHINGLES = 1 << 15  # as 32-bit numbers, they stay in the second-level cache for all permutations


class NearDuplicates(BaseModel):
    """Which documents count as copies: those whose word n-grams have a Jaccard similarity of `min_jaccard` or more.

    Pairs that share one of `bands` bands of `rows` min-hashes are looked at: 92.4 % of the pairs at .8, 98.8 % at .85,
    half of those at .68.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ngram_words: int = Field(default=5, ge=1)
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    min_jaccard: float = Field(default=0.8, gt=0, le=1)
    seed: int = Field(default=1, ge=0)

    def signature_key(self) -> int:
        """64 bits that are equal where `signatures` can be compared."""
        return xxhash.xxh3_64_intdigest(f"{self.ngram_words} {self.bands} {self.rows} {self.seed}".encode())


class Shingles(NamedTuple):
    """Hashes of word n-grams in order, repeats included; those of text i are `hashes[starts[i]:starts[i + 1]]`."""

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]


def shingles(texts: Sequence[str], ngram_words: int) -> Shingles:
    """The word n-grams of texts; each text has one or more. RAM: about 50 bytes a word."""
    found: list[int] = []  # words of each text

    def words_of_each() -> Iterator[list[str]]:
        for text in texts:
            run = words(text.lower()) or [text]
            found.append(len(run))
            yield run

    hash_of = _WordHashes().__getitem__
    hashes = np.fromiter(map(hash_of, chain.from_iterable(words_of_each())), np.uint64)
    # Short texts end in zeros, the hash of no word.
    counts = np.array(found, dtype=np.int64)
    lengths = np.maximum(counts, ngram_words)
    ends = np.cumsum(lengths)
    padding = np.cumsum(lengths - counts) - (lengths - counts)
    padded = np.zeros(lengths.sum(), dtype=np.uint64)
    padded[np.arange(len(hashes)) + np.repeat(padding, counts)] = hashes
    combined = padded.copy()
    for offset in range(1, ngram_words):
        combined[:-offset] *= _BASE
        combined[:-offset] += padded[offset:]
    inside = np.ones(len(padded), dtype=np.bool_)
    for offset in range(1, ngram_words):
        inside[ends - offset] = False
    return Shingles(_mixed(combined[inside]), np.append(0, np.cumsum(lengths - ngram_words + 1)))


def signatures(texts: Sequence[str], config: NearDuplicates) -> NDArray[np.uint64]:
    """(n, bands) band hashes in Fortran order: saved as .npy, each band is one stretch of the file.

    The permutations are linear modulo 2**32, on 32 bits of the shingle's hash; datatrove's are modulo a prime on 64.
    """
    generator = np.random.default_rng(config.seed)
    drawn = generator.integers(0, 1 << 32, size=(2, config.bands * config.rows), dtype=np.uint32)
    found = shingles(texts, config.ngram_words)
    values = (found.hashes >> np.uint64(32)).astype(np.uint32)
    minima = np.empty((config.bands * config.rows, len(texts)), dtype=np.uint32)
    for first, end in _blocks(found.starts):
        start = found.starts[first]
        block, starts = values[start : found.starts[end]], found.starts[first:end] - start
        permuted = np.empty_like(block)
        for row, (factor, offset) in enumerate(zip(drawn[0] | np.uint32(1), drawn[1], strict=True)):
            np.multiply(block, factor, out=permuted)
            permuted += offset
            np.minimum.reduceat(permuted, starts, out=minima[row, first:end])
    hashes = np.zeros((config.bands, len(texts)), dtype=np.uint64)
    for nth_of_band in minima.reshape(config.bands, config.rows, len(texts)).swapaxes(0, 1):
        hashes = _mixed((hashes + nth_of_band) * _BASE)
    return hashes.T


class _WordHashes(dict[str, int]):
    """Each distinct word is hashed once."""

    def __missing__(self, word: str) -> int:
        value = self[word] = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
        return value


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(33))) * _MIX
    return np.asarray(values ^ (values >> np.uint64(33)))


def _blocks(starts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of whole texts, each of about `_CACHED_SHINGLES` shingles."""
    first, texts = 0, len(starts) - 1
    while first < texts:
        end = int(np.searchsorted(starts, starts[first] + _CACHED_SHINGLES, side="right")) - 1
        end = max(end, first + 1)
        yield first, end
        first = end
