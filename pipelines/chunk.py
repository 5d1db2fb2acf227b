"""Cut a document into passages that the encoder reads to the last token, at sentence ends where it can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Encoder
from datastore.text import sentence_ends

from .recipe import ChunkConfig

_TITLE_CHARACTERS = 200


class Chunk(NamedTuple):
    """Characters [start, end) of a document's normalised text, and what the encoder is given for them."""

    start: int
    end: int
    input: str
    tokens: int


def chunk_documents(
    titles: Sequence[str], texts: Sequence[str], encoder: Encoder, config: ChunkConfig
) -> list[list[Chunk]]:
    """The passages of each document, in order.

    Every character that is not white space is in exactly one passage. In mode `passages` no input is longer than
    the budget, so that nothing is left unread; in mode `document` `tokens` may exceed what the encoder reads.
    """
    if config.mode == "document":
        inputs = [
            _titled(title, text) if config.with_title else text
            for title, text in zip(titles, texts, strict=True)
        ]
        spans = encoder.token_spans(inputs)
        return [
            [Chunk(0, len(text), given, len(tokens))]
            for text, given, tokens in zip(texts, inputs, spans, strict=True)
        ]
    budget = min(config.max_tokens or encoder.token_budget, encoder.token_budget)
    prefixes = _prefixes(titles, encoder, budget) if config.with_title else [""] * len(texts)
    prefix_tokens = [len(spans) for spans in encoder.token_spans(prefixes)]
    chunks: list[list[Chunk]] = [[] for _ in texts]
    spans = encoder.token_spans(texts)
    room = {i: budget - prefix_tokens[i] for i in range(len(texts))}
    while room:
        cuts = {i: cut(texts[i], spans[i], size) for i, size in room.items()}
        inputs = [
            _titled(prefixes[i], texts[i][start:end]) for i, ranges in cuts.items() for start, end in ranges
        ]
        counts = iter([len(tokens) for tokens in encoder.token_spans(inputs)])
        given = iter(inputs)
        retry = {}
        for i, ranges in cuts.items():
            chunks[i] = [Chunk(start, end, next(given), next(counts)) for start, end in ranges]
            excess = max((chunk.tokens for chunk in chunks[i]), default=0) - budget
            if excess > 0:
                # A tokenizer may count a cut text differently than the same characters inside the whole.
                retry[i] = max(1, room[i] - excess)
                if retry[i] == room[i]:
                    raise ValueError(f"a single token of the text becomes {excess + 1} when cut out")
        room = retry
    return chunks


def _titled(title: str, text: str) -> str:
    return f"{title}\n{text}" if title else text


def _prefixes(titles: Sequence[str], encoder: Encoder, budget: int) -> list[str]:
    """Titles cut to 200 characters; one that would take more than half of the budget is left out."""
    short = [
        title if len(title) <= _TITLE_CHARACTERS else title[:_TITLE_CHARACTERS].rpartition(" ")[0]
        for title in titles
    ]
    return [
        title if len(spans) <= budget // 2 else ""
        for title, spans in zip(short, encoder.token_spans(short), strict=True)
    ]


def cut(text: str, spans: NDArray[np.int32], budget: int) -> list[tuple[int, int]]:
    """Character ranges of passages of at most `budget` tokens, about equal in length.

    A cut goes to the sentence end nearest to an equal share, else to a gap between words, else between two
    tokens. Ranges carry no white space at their ends; a text without tokens but not empty is one passage.

    Parameters
    ----------
    spans
        (t, 2) int32 character offsets of the text's tokens, ascending.
    """
    starts = spans[:, 0]
    # For each possible cut: how many tokens stand before it, and the character it falls on.
    sentence_cuts = np.array(sentence_ends(text), dtype=np.int64)
    sentence_tokens = np.searchsorted(starts, sentence_cuts)
    gaps = np.flatnonzero(spans[1:, 0] > spans[:-1, 1]) + 1
    ranges = []
    token, character = 0, 0
    while len(spans) - token > budget:
        remaining = len(spans) - token
        target = token + -(-remaining // -(-remaining // budget))
        chosen = _nearest(sentence_tokens, target, (token + target + 1) // 2, token + budget)
        if chosen is not None:
            next_token, next_character = int(sentence_tokens[chosen]), int(sentence_cuts[chosen])
        else:
            gap = _nearest(gaps, target, token + 1, token + budget)
            next_token = target if gap is None else int(gaps[gap])
            next_character = int(starts[next_token])
        ranges.append(_strip(text, character, next_character))
        token, character = next_token, next_character
    ranges.append(_strip(text, character, len(text)))
    return [(start, end) for start, end in ranges if start < end]


def _nearest(values: NDArray[np.int64], target: int, low: int, high: int) -> int | None:
    """Position of the value in [low, high] that is nearest to `target`; the last of equals (the widest cut)."""
    first, last = np.searchsorted(values, low, side="left"), np.searchsorted(values, high, side="right")
    if first >= last:
        return None
    distances = np.abs(values[first:last] - target)
    return int(first + np.flatnonzero(distances == distances.min())[-1])


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
