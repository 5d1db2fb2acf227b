"""Quality: a linear classifier of words and pairs of words, trained by `compendia quality train` on one's own samples.

As fastText's, the score is linear in the mean of what the words and pairs weigh: Joulin et al., "Bag of Tricks for
Efficient Text Classification" (EACL 2017). Deviations: weights belong to hashed features directly, not to vectors of
them; punctuation marks are words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from datastore.errors import UsageError

from .batch import TextBatch
from .rule import Rule

FORMAT = "compendia.quality/1"
CELLS = 1 << 18
_ABOUT = "compendia"
_BLOCK_BYTES = 1 << 18
_SHIFT = np.uint64(64 - 18)
_BASE = 0x9E3779B97F4A7C15
# Odd constants of splitmix64: a pair's cell depends on its order.
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# Signs that only tell how a source is typeset: its quotes, dashes and blanks.
_TYPESET = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2013": "-",
    "\u2014": "-",
    "\xa0": " ",
}
_SPACE, _WORD, _MARK = 0, 1, 2


class QualityModel(NamedTuple):
    """What a training gives: a weight for each cell that features are hashed to, and what it was trained on."""

    weights: NDArray[np.float32]  # (CELLS,)
    bias: float
    trained_on: dict[str, object]  # plain data, to read


class Features(NamedTuple):
    """The features of n texts."""

    cells: NDArray[np.int64]  # (t,)
    rows: NDArray[np.int64]  # (t,) the text of each
    counts: NDArray[np.int64]  # (n,) how many each text has


class QualityFilter(BaseModel):
    """Drop what a trained classifier takes for the negative kind (`quality`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="File that `compendia quality train` has written")
    characters: int = Field(
        default=100_000, ge=100, description="Only the beginning of a longer text is looked at"
    )
    min_score: float = Field(default=0.5, ge=0.0, le=1.0)

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """The probability that a text is of the positive kind, to four decimals.

        Raises
        ------
        UsageError
            If the model's file is not there or is none.
        """
        model = load(self.model)
        return {
            "quality_score": probabilities(model, [text[: self.characters] for text in batch.texts]).round(4)
        }

    def rules(self) -> tuple[Rule, ...]:
        return (Rule("quality", "quality_score", minimum=self.min_score),)

    def content_hash(self) -> str:
        """A hash of the model: where it is equal, so are the scores."""
        model = load(self.model)
        digest = xxhash.xxh3_64(model.weights.tobytes())
        digest.update(repr(model.bias).encode())
        return f"xxh3:{digest.hexdigest()}"


def probabilities(model: QualityModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """(n,) float64. Each sum runs in the order of its text on one thread: it is equal wherever it is made."""
    cells, rows, counts = features(texts)
    sums = np.bincount(rows, model.weights[cells], minlength=len(texts))
    margins = (sums / np.maximum(counts, 1) + model.bias).clip(-500.0, 500.0)
    return np.asarray(1.0 / (1.0 + np.exp(-margins)))


def features(texts: Sequence[str]) -> Features:
    """The words and punctuation marks of texts, in lower case, and the pairs of neighbours.

    A word is a run of ASCII letters, digits, underscores and of whatever is not ASCII.
    """
    cells = [np.empty(0, dtype=np.int64)]
    rows = [np.empty(0, dtype=np.int64)]
    counts = [np.empty(0, dtype=np.int64)]
    block: list[bytes] = []
    size = 0
    for number, text in enumerate(texts, start=1):
        block.append(_plain(text))
        size += len(block[-1])
        if size >= _BLOCK_BYTES or number == len(texts):
            found = _features(block)
            cells.append(found.cells)
            rows.append(found.rows + (number - len(block)))
            counts.append(found.counts)
            block, size = [], 0
    return Features(np.concatenate(cells), np.concatenate(rows), np.concatenate(counts))


def _plain(text: str) -> bytes:
    text = text.lower()
    if not text.isascii():
        for sign, plain in _TYPESET.items():
            text = text.replace(sign, plain)
    return text.encode("utf-8", "surrogatepass")


def _features(texts: Sequence[bytes]) -> Features:
    """All words of a block are hashed at once: a word's hash is a difference of sums over the block."""
    characters = np.frombuffer(b"\n".join([*texts, b""]), dtype=np.uint8)
    kinds = _kinds()[characters]
    is_word, is_mark = kinds == _WORD, kinds == _MARK
    starts, ends = is_word.copy(), is_word.copy()
    starts[1:] &= ~is_word[:-1]
    ends[:-1] &= ~is_word[1:]
    start, end = np.flatnonzero(starts | is_mark), np.flatnonzero(ends | is_mark) + 1
    powers, inverses = _powers(1 << max(len(characters) - 1, 1).bit_length())
    sums = np.zeros(len(characters) + 1, dtype=np.uint64)
    np.cumsum(powers[: len(characters)] * characters, out=sums[1:])
    hashes = (sums[end] - sums[start]) * inverses[start]
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _FIRST
    bounds = np.cumsum([len(text) + 1 for text in texts])
    lengths = np.diff(np.searchsorted(start, bounds), prepend=0)
    rows = np.repeat(np.arange(len(texts)), lengths)
    # The last word of a text and the first of the next are no neighbours.
    is_pair = rows[:-1] == rows[1:]
    pairs = ((hashes[:-1] * _FIRST + hashes[1:]) * _SECOND)[is_pair]
    return Features(
        (np.concatenate([hashes, pairs]) >> _SHIFT).astype(np.int64),
        np.concatenate([rows, rows[:-1][is_pair]]),
        lengths + np.maximum(lengths - 1, 0),
    )


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """(256,) what each byte of UTF-8 is: white space or a control character, of a word, a punctuation mark."""
    kinds = np.full(256, _WORD, dtype=np.uint8)
    for byte in range(128):
        character = chr(byte)
        if not (character.isalnum() or character == "_"):
            kinds[byte] = _MARK if character.isprintable() and character != " " else _SPACE
    return kinds


@lru_cache(maxsize=4)
def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The powers of `_BASE` and of its inverse, modulo 2**64."""
    found = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(count, base, dtype=np.uint64)
        factors[0] = 1
        found.append(np.cumprod(factors))
    return found[0], found[1]


def save(model: QualityModel, path: Path) -> None:
    """Write a model as one safetensors file."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, NDArray[Any]] = {
        "weights": model.weights,
        "bias": np.array([model.bias], dtype=np.float64),
    }
    # One key: safetensors writes several in any order.
    about = json.dumps({"format": FORMAT, "trained_on": model.trained_on}, sort_keys=True)
    save_file(tensors, path, metadata={_ABOUT: about})


def load(path: str) -> QualityModel:
    """The model in a file; the last one stays loaded while its file does not change.

    Raises
    ------
    UsageError
        If the file is not there or holds no model of this format.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise UsageError(
            f"the quality model {path} cannot be read: {error.strerror}",
            hint="compendia quality train --positive FILE --negative FILE --out model.safetensors writes one; "
            "set filters.quality.model to it",
        ) from error
    return _load(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: str, _bytes: int, _modified_ns: int) -> QualityModel:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
            found = {name: file.get_tensor(name) for name in ("weights", "bias") if name in file.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no quality model: {error}") from error
    shapes = {name: tensor.shape for name, tensor in found.items()}
    if about.get("format") != FORMAT or shapes != {"weights": (CELLS,), "bias": (1,)}:
        raise UsageError(f"{path} is no quality model of the format {FORMAT}")
    return QualityModel(found["weights"], float(found["bias"][0]), about.get("trained_on", {}))
