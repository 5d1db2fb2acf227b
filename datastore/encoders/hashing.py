"""Signed feature hashing of words: a lexical baseline that needs no model and embeds over 10,000 passages a second.

Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (ICML 2009), section 2: each word adds
its sign to one of `dimension` cells. Deviation: term frequency enters as 1 + log(tf), and the vector is scaled to
length one. Words are lowercased; nothing is learned and no word weighs more than another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..errors import UsageError
from ..text import word_spans, words
from .config import EncoderConfig, EncoderFingerprint

_DIMENSION = 256
_MAX_TOKENS = 256


@lru_cache(maxsize=1 << 18)
def _cell_and_sign(word: str) -> tuple[int, float]:
    digest = xxhash.xxh3_64_intdigest(word.encode())
    return digest % _DIMENSION, 1.0 if digest >> 63 else -1.0


class HashingEncoder:
    """See the module; a token is a word."""

    def __init__(self, config: EncoderConfig) -> None:
        self.token_budget = config.max_tokens or _MAX_TOKENS
        self.fingerprint = EncoderFingerprint(
            model="hashing",
            revision="1",
            dimension=_DIMENSION,
            pooling="signed sum of 1 + log(tf)",
            normalised=True,
            query_prompt="",
            passage_prompt="",
            max_tokens=self.token_budget,
            dtype="float32",
        )

    def token_spans(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        return [np.array(word_spans(text), dtype=np.int32).reshape(-1, 2) for text in texts]

    def encode_passages(
        self,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        threads: int = 1,  # noqa: ARG002 (pure Python: a second thread would only wait for the first)
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), _DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            tokens = words(text.lower())
            if len(tokens) > self.token_budget and not truncate:
                raise UsageError(
                    f"passage {row} has {len(tokens)} tokens, the encoder reads {self.token_budget}"
                )
            for word, count in Counter(tokens[: self.token_budget]).items():
                cell, sign = _cell_and_sign(word)
                vectors[row, cell] += sign * (1.0 + np.log(count))
            if not vectors[row].any():
                # No word, or all cancelled: any fixed unit vector keeps the length-one invariant.
                vectors[row, 0] = 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if on_batch is not None:
            on_batch(len(texts))
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_passages(texts, truncate=True)
