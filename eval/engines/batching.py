"""Which texts go through a causal model together: pure arithmetic on token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

Tokens = tuple[int, ...]

_CACHED_TOKENS_FOR_ONE = 8  # cached tokens that a row attends to cost about what one token of its own costs
_BATCHES_A_PIECE = (
    8  # then running a prefix once a piece adds little, and the pieces of one group fill all threads
)


class Pair(NamedTuple):
    """A prompt with its continuation, as a causal model reads them."""

    inputs: Tokens  # prompt and continuation without the very last token, which is only predicted
    targets: Tokens  # the continuation, predicted at the last len(targets) positions of `inputs`


class Group(NamedTuple):
    """Texts whose first `shared` tokens, the same in all, go through the model once."""

    shared: int
    texts: tuple[Tokens, ...]


class Piece(NamedTuple):
    """What one thread does at a time: the prefix, then batches of texts that begin with it."""

    prefix: Tokens
    batches: tuple[tuple[Tokens, ...], ...]
    packed: bool = False  # a batch is one row (see packing.py), not a row a text


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


class _Starts(NamedTuple):
    """Texts with which a group may begin that shares `shared` tokens, up to the text that is looked at.

    `worth` is the most that one of them has: what is saved before it, less `shared` for every text before it.
    """

    first: int  # the first of them; the last stands before the first of the next
    shared: int
    worth: int
    best: int  # the one that has it


def group_by_beginning(sharable: Mapping[Tokens, int], pass_tokens: int) -> list[Group]:
    """The grouping of neighbours in order that saves most tokens; texts that share nothing worth it are groups of their own.

    By dynamic programming over where the last group begins; starts whose texts share as much are kept together.

    Parameters
    ----------
    sharable
        Each text, and how many of its first tokens may be shared at most.
    pass_tokens
        Tokens' worth of time that a further pass through the model costs besides its tokens.
    """
    if not sharable:
        return []
    texts = sorted(sharable)
    common = [
        min(common_beginning(one, other), sharable[one], sharable[other]) for one, other in pairwise(texts)
    ]
    saved = [0]  # the most tokens, of the first n texts
    begins, shares = [0], [0]  # with which text their last group begins then, and what it shares
    starts: list[_Starts] = []  # `shared` grows from one to the next
    for last, depth in enumerate([*common, 0]):
        options = [(saved[last], 0, last)]  # alone
        options += [(one.worth + last * one.shared - pass_tokens, one.shared, one.best) for one in starts]
        most, shared, begin = max(options, key=lambda option: option[0])
        saved.append(most)
        begins.append(begin)
        shares.append(shared)
        merged = _Starts(last, depth, saved[last] - last * depth, last)
        while starts and starts[-1].shared >= depth:
            before = starts.pop()
            if before.shared > depth:  # what is best depends on how much is shared
                best = max(range(before.first, merged.first), key=lambda start: saved[start] - start * depth)
                before = before._replace(worth=saved[best] - best * depth, best=best)
            merged = max(before, merged, key=lambda one: one.worth)._replace(first=before.first, shared=depth)
        if depth:
            starts.append(merged)
    groups: list[Group] = []
    end = len(texts)
    while end:
        groups.append(Group(shares[end], tuple(texts[begins[end] : end])))
        end = begins[end]
    return groups[::-1]


def common_beginning(one: Tokens, other: Tokens) -> int:
    """How many of the first tokens are the same; by halving, as slices compare faster than a loop."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def batches(
    texts: Iterable[Tokens], batch_tokens: int, shared: int = 0, answer_tokens: int = 0
) -> Iterator[tuple[Tokens, ...]]:
    """Texts of similar length together, longest first; rows x longest <= `batch_tokens`, or one text alone.

    Of texts whose first `shared` tokens are cached, what follows counts, and a little for the cache; so does an
    answer that is written behind each.
    """
    batch: list[Tokens] = []
    for text in sorted(texts, key=lambda text: (-len(text), text)):
        if batch:
            row = len(batch[0]) - shared + shared // _CACHED_TOKENS_FOR_ONE + answer_tokens
            if (len(batch) + 1) * row > batch_tokens:
                yield tuple(batch)
                batch = []
        batch.append(text)
    if batch:
        yield tuple(batch)


def pieces(groups: Sequence[Group], batch_tokens: int, answer_tokens: int = 0) -> Iterator[Piece]:
    """All texts of the groups, a row each; longest texts first, so that memory peaks at once and not in the end."""
    alone = [text for group in groups if not group.shared for text in group.texts]
    for batch in batches(alone, batch_tokens, 0, answer_tokens):
        yield Piece((), (batch,))
    for group in groups:
        if group.shared:
            made = batches(group.texts, batch_tokens, group.shared, answer_tokens)
            yield from split(group, made, packed=False)


def split(group: Group, made: Iterator[tuple[Tokens, ...]], *, packed: bool) -> Iterator[Piece]:
    """The batches of a group as pieces, each with its prefix."""
    while some := tuple(islice(made, _BATCHES_A_PIECE)):
        yield Piece(group.texts[0][: group.shared], some, packed)
