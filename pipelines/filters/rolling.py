"""Hashes of runs of strings that depend on the characters only, not on where they are cut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_BASE = 0x9E3779B97F4A7C15  # odd: it has an inverse modulo 2 ** 64
_INVERSE = pow(_BASE, -1, 2**64)
_LOW_BITS = 16


def scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Well spread 64 bits for each number (the finaliser of splitmix64): equal for equal numbers only."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _powers(base: int, exponents: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Powers base ** exponents modulo 2 ** 64, from two small tables."""
    low = _first_powers(base, 1 << _LOW_BITS)
    high = _first_powers(pow(base, 1 << _LOW_BITS, 2**64), int(exponents.max(initial=0) >> _LOW_BITS) + 1)
    return np.asarray(low[exponents & 0xFFFF] * high[exponents >> _LOW_BITS])


@lru_cache(maxsize=4)
def _first_powers(base: int, count: int) -> NDArray[np.uint64]:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


class RollingHash:
    """Polynomial hashes, modulo 2 ** 64, of any run of a sequence of strings.

    Two runs whose characters are equal, laid end to end, have equal hashes. Different ones collide with probability
    2 ** -64 a pair, unless someone builds runs of over a thousand characters for it (Thue-Morse strings).

    hashes: (n,) of each string, as `string_hashes` gives them; ends: (n,) characters up to and with each string.
    """

    def __init__(self, hashes: NDArray[np.uint64], ends: NDArray[np.int64]) -> None:
        self._sums = np.zeros(len(hashes) + 1, np.uint64)
        np.cumsum(hashes * _powers(_INVERSE, ends), out=self._sums[1:])
        self._scales = np.concatenate((np.zeros(1, np.uint64), _powers(_BASE, ends)))

    def runs(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Hash of each run [start, stop), counted in strings."""
        return np.asarray((self._sums[stops] - self._sums[starts]) * self._scales[stops])


def string_hashes(strings: list[str]) -> NDArray[np.uint64]:
    """Hash of each string, for `RollingHash`."""
    characters = np.frombuffer("".join(strings).encode("utf-32-le", "surrogatepass"), np.uint32)
    stops = np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)))
    starts = np.concatenate((np.zeros(1, np.int64), stops[:-1])) if strings else stops
    hashes = scrambled(characters.astype(np.uint64) + np.uint64(_BASE))
    return RollingHash(hashes, np.arange(1, len(characters) + 1)).runs(starts, stops)
