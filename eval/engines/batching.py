"""Which texts go through a causal model together: pure arithmetic on token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

Tokens = tuple[int, ...]


class Pair(NamedTuple):
    """A prompt with its continuation, as a causal model reads them."""

    inputs: Tokens  # prompt and continuation without the very last token, which is only predicted
    targets: Tokens  # the continuation, predicted at the last len(targets) positions of `inputs`


def longest_extensions(texts: Iterable[Tokens]) -> dict[Tokens, Tokens]:
    """For each text, one that begins with it and that no other text extends; most often the text itself.

    A causal model's state at a token depends on nothing behind it, so the extension's pass serves both: the answers
    to one prompt cost one pass, not one each.
    """
    extensions: dict[Tokens, Tokens] = {}
    longest: Tokens = ()
    # In reverse lexicographic order, whatever extends a text comes right before it.
    for text in sorted(set(texts), reverse=True):
        if longest[: len(text)] != text:
            longest = text
        extensions[text] = longest
    return extensions


def batches(texts: Iterable[Tokens], batch_tokens: int) -> Iterator[list[Tokens]]:
    """Texts of similar length together, longest first; rows x longest <= `batch_tokens`, or one text alone."""
    batch: list[Tokens] = []
    for text in sorted(texts, key=lambda text: (-len(text), text)):
        if batch and (len(batch) + 1) * len(batch[0]) > batch_tokens:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
