"""Queries to measure an index with when none are given: sentences of its passages, else rows with noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..encoders import Encoder
from ..index.dense import Vectors
from ..index.dense.exact import ExactIndex
from ..text import sentence_ends, words

_FEWEST_WORDS, _MOST_WORDS = 4, 40
_EXCERPT_CHARS = 200
_NEIGHBOUR = 10
_PROBED_ROWS = 64


def sentence_queries(texts: Sequence[str], encoder: Encoder, count: int, seed: int) -> NDArray[np.float32]:
    """One sentence each of min(count, passages) random passages, encoded as a query: (nq, d).

    Only the drawn `texts` are read. A sentence has 4 to 40 words; a passage
    without such a one gives its first 200 characters.
    """
    generator = np.random.default_rng(seed)
    picked = []
    for number in _draw(generator, len(texts), count).tolist():
        text = texts[number]
        sentences = suitable_sentences(text) or [text[:_EXCERPT_CHARS]]
        picked.append(sentences[int(generator.integers(len(sentences)))])
    return encoder.encode_queries(picked)


def suitable_sentences(text: str) -> list[str]:
    """The sentences of 4 to 40 words, in order."""
    ends = sentence_ends(text)
    sentences = [text[start:end].strip() for start, end in zip([0, *ends], ends, strict=False)]
    return [sentence for sentence in sentences if _FEWEST_WORDS <= len(words(sentence)) <= _MOST_WORDS]


def perturbed_rows(vectors: Vectors, count: int, seed: int) -> NDArray[np.float32]:
    """min(count, rows) random rows, each moved in a random direction by the distance to a 10th neighbour: (nq, d).

    That distance is the median over 64 rows; `cosine` queries are brought back to length one. Unlike a user's queries
    they lie where the rows do. On real vectors (39,916 passages, 384 dimensions) inverted lists look better with them
    than with real queries, 64 of 512 lists .976 instead of .955, and codes a little worse: 2 bits at 20 candidates
    .956 instead of .976.
    """
    generator = np.random.default_rng(seed)
    rows = vectors.take(_draw(generator, vectors.rows, count))
    probes = rows[:_PROBED_ROWS]
    near = ExactIndex(vectors).search(probes, min(_NEIGHBOUR + 1, vectors.rows)).ordinals[:, -1]
    distance = np.median(np.linalg.norm(vectors.take(near) - probes, axis=1))
    noise = generator.standard_normal(rows.shape, dtype=np.float32)
    noise *= np.float32(distance) / np.linalg.norm(noise, axis=1, keepdims=True)
    queries = rows + noise
    if vectors.metric == "cosine":
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return queries


def _draw(generator: np.random.Generator, rows: int, count: int) -> NDArray[np.int64]:
    return generator.choice(rows, min(count, rows), replace=False)
