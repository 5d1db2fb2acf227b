"""English words and sentences as spaCy's tokenizer and sentencizer give them, at the cost of a look-up a word.

spaCy cuts text at white space into pieces and each piece into tokens, by regular expressions. So the tokens of a piece
are learnt once. What crosses pieces is one thing: spaCy puts the tokens of its special cases (`:)`, `a.m.`) together
again, the longest first, and a candidate that crosses a blank is dropped, but keeps what it overlaps from being put
together too. Pieces where that could happen are learnt with their surroundings (docs/design/filter-rules.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, groupby, islice, pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from datastore.errors import optional_import

from .punctuation import PUNCTUATION
from .rolling import string_hashes

# What the learnt pieces may take: about 100 MB.
MOST_PIECES = 300_000
MOST_PIECE_CHARACTERS = 10_000_000

# spaCy's time for a run of marks or emoji grows with the square of its length: 3 s at 5,000, 20 min at 100,000.
LONGEST_PIECE_CHARACTERS = 2_000

# More pieces than a special case of spaCy has tokens (11).
_CONTEXT_PIECES = 12
_PIECE = re.compile(r"\S+")
# What spaCy stops at: halves of surrogate pairs, and a word that is the sign of a deleted row in its hash table.
_REFUSED = re.compile(r"[\ud800-\udfff]|(?<=IS_ALPH)A")
# Words that no rule of spaCy cuts, and marks that it cuts off their end: the larger part of what is new in a text.
_PLAIN = re.compile(r"([A-Za-z]*[a-z])([.,;:?!)]?)")
# White space that is a token of its own to spaCy: all but one blank between words.
_GAP = re.compile(r"\A\s+|(?<=\S)(?: \s+|[^\S ]\s*)")

_OTHER, _NEUTRAL, _STOP = 0, 1, 2  # what a token is to the sentencizer

InContext: TypeAlias = tuple[str, str, str]  # text before, piece, text after


class Numbers(dict[Any, int]):
    """Numbers keys in the order in which they are first looked up."""

    def __missing__(self, key: Any) -> int:
        number = self[key] = len(self)
        return number

    def since(self, count: int) -> list[Any]:
        """The keys after the first `count`, in order."""
        return list(islice(reversed(self), len(self) - count))[::-1]


class Column:
    """A NumPy array that grows at its end."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._buffer = np.empty(1024, dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, values: Sequence[Any] | NDArray[Any]) -> None:
        count = self._count + len(values)
        if count > len(self._buffer):
            grown = np.empty(max(count, 2 * len(self._buffer)), self._buffer.dtype)
            grown[: self._count] = self._buffer[: self._count]
            self._buffer = grown
        self._buffer[self._count : count] = values
        self._count = count

    def __getitem__(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._buffer[rows])


class Vocabulary:
    """Distinct words and what rules ask about them."""

    def __init__(self, sentence_stops: frozenset[str]) -> None:
        self._sentence_stops = sentence_stops
        self.numbers = Numbers()
        self.lengths = Column(np.int64)
        self.hashes = Column(np.uint64)
        self.alphabetic = Column(np.bool_)  # has a letter
        self.symbols = Column(np.bool_)  # punctuation only
        self.kinds = Column(np.int8)

    def add(self, words: Iterable[str], count: int) -> NDArray[np.int32]:
        """The numbers of the words, new ones included."""
        ids = np.fromiter(map(self.numbers.__getitem__, words), np.int32, count)
        new = self.numbers.since(len(self.lengths))
        if new:
            self.hashes.extend(string_hashes(new))
            letters = [word.isalpha() for word in new]  # most words; no punctuation mark is a letter
            self.alphabetic.extend(
                [only or any(map(str.isalpha, word)) for word, only in zip(new, letters, strict=True)]
            )
            self.symbols.extend(
                [not only and PUNCTUATION.issuperset(word) for word, only in zip(new, letters, strict=True)]
            )
            self.kinds.extend(
                [_OTHER if only else self._kind(word) for word, only in zip(new, letters, strict=True)]
            )
            self.lengths.extend([len(word) for word in new])
        return ids

    def _kind(self, word: str) -> int:
        if word in self._sentence_stops:
            return _STOP
        return _NEUTRAL if all(unicodedata.category(char)[0] == "P" for char in word) else _OTHER


class Words(NamedTuple):
    """The words of some texts, one text after the other."""

    ids: NDArray[np.int32]  # (words,) numbers in `vocabulary`
    starts: NDArray[np.int64]  # (texts + 1,) where the words of each text start
    vocabulary: Vocabulary

    @property
    def counts(self) -> NDArray[np.int64]:
        """(texts,)"""
        return np.diff(self.starts)

    @property
    def texts(self) -> NDArray[np.int64]:
        """(words,) the text that each word stands in."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)

    def sums(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """(texts,) sums of an integer value per word."""
        sums = np.zeros(len(values) + 1, np.int64)
        np.cumsum(values, out=sums[1:])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])


class EnglishTokenizer:
    """spaCy's blank English pipeline with a memory. For one thread."""

    def __init__(self, most_pieces: int = MOST_PIECES) -> None:
        spacy = optional_import("spacy", extra="ingest")
        sentencizer = optional_import("spacy.pipeline.sentencizer", extra="ingest")
        self._most_pieces = most_pieces
        self._language = spacy.blank("en")
        self._language.vocab.lex_attr_getters = {}  # what a word looks like: half the time of a new one, not needed
        self._sentence_stops = frozenset(sentencizer.Sentencizer.default_punct_chars)
        self._rules = frozenset(self._language.tokenizer.rules)
        self._merged, self._seams = _special_cases(self._language.tokenizer)
        self._forget()

    def words(self, texts: Sequence[str]) -> Words:
        """The words of each text: spaCy's tokens that are not white space.

        Two deviations: a piece of over 2,000 characters is one word, and what spaCy stops at (half of a surrogate
        pair; the word IS_ALPHA when it comes again) is a letter, a word like others.
        """
        if len(self._pieces) > self._most_pieces or self._piece_characters > MOST_PIECE_CHARACTERS:
            self._forget()
        counts: list[int] = []

        def split(text: str) -> list[str]:
            pieces = text.split()
            counts.append(len(pieces))
            return pieces

        # One text at a time: its pieces are looked up while they are in the processor's cache.
        pieces = self._number(chain.from_iterable(map(split, texts)))
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
        self._put_in_context(texts, starts, pieces)
        token_counts = self._token_counts[pieces]
        stops = np.concatenate((np.zeros(1, np.int64), np.cumsum(token_counts)))
        firsts = self._first_tokens[pieces] - stops[:-1]
        tokens = self._tokens[np.repeat(firsts, token_counts) + np.arange(stops[-1])]
        return Words(tokens, stops[starts], self._vocabulary)

    def sentence_counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n,) sentences of each text, at least one: a sentence starts behind a stop, at what is no punctuation.

        A text without words is one sentence, as for datatrove.
        """
        words = self.words([text if _is_evenly_spaced(text) else _GAP.sub(" blank ", text) for text in texts])
        kinds = words.vocabulary.kinds[words.ids]
        telling = np.flatnonzero(kinds != _NEUTRAL)
        kinds, places = kinds[telling], words.texts[telling]
        begins = (kinds[1:] == _OTHER) & (kinds[:-1] == _STOP) & (places[1:] == places[:-1])
        return 1 + np.bincount(places[1:][begins], minlength=len(texts))

    def _forget(self) -> None:
        self._pieces = Numbers()
        self._piece_characters = 0
        self._vocabulary = Vocabulary(self._sentence_stops)
        self._tokens = Column(np.int32)
        self._first_tokens = Column(np.int64)
        self._token_counts = Column(np.int64)
        self._mergeable = Column(np.bool_)  # another piece beside it may change its tokens

    def _number(self, pieces: Iterable[str | InContext]) -> NDArray[np.int32]:
        numbers = np.fromiter(map(self._pieces.__getitem__, pieces), np.int32)
        new = self._pieces.since(len(self._token_counts))
        if new:
            try:
                self._learn(new)
            except Exception:
                self._forget()  # or the piece that made it raise would do so for every later text
                raise
        return numbers

    def _put_in_context(
        self, texts: Sequence[str], starts: NDArray[np.int64], pieces: NDArray[np.int32]
    ) -> None:
        """Replace the numbers of pieces that depend on their neighbours."""
        positions = np.flatnonzero(self._mergeable[pieces])
        found: dict[int, InContext] = {}
        for place, some in groupby(
            positions.tolist(), key=lambda position: int(np.searchsorted(starts, position, side="right")) - 1
        ):
            text, start = texts[place], int(starts[place])
            spans: list[tuple[int, int]] = []
            around = text.split()
            for position in some:
                at = position - start
                if not (
                    (at > 0 and (around[at - 1][-1], around[at][0]) in self._seams)
                    or (at + 1 < len(around) and (around[at][-1], around[at + 1][0]) in self._seams)
                ):
                    continue
                spans = spans or [match.span() for match in _PIECE.finditer(text)]
                begin, end = spans[at]
                found[position] = (
                    text[spans[max(at - _CONTEXT_PIECES, 0)][0] : begin],
                    text[begin:end],
                    text[end : spans[min(at + _CONTEXT_PIECES, len(spans) - 1)][1]],
                )
        if found:
            pieces[list(found)] = self._number(found.values())

    def _learn(self, pieces: list[str | InContext]) -> None:
        tokens: list[list[str]] = []
        hard: list[int] = []
        for number, piece in enumerate(pieces):
            match = _PLAIN.fullmatch(piece) if isinstance(piece, str) else None
            if match and piece not in self._rules and match[1] not in self._rules:
                tokens.append([match[1], match[2]] if match[2] else [match[1]])
            elif isinstance(piece, str) and len(piece) > LONGEST_PIECE_CHARACTERS:
                tokens.append([piece])
            else:
                tokens.append([])
                hard.append(number)
        mergeable = np.zeros(len(pieces), np.bool_)
        for number, cut in zip(hard, self._cut([pieces[number] for number in hard]), strict=True):
            tokens[number] = cut
            mergeable[number] = pieces[number] not in self._rules and not self._merged.isdisjoint(cut)
        counts = np.fromiter(map(len, tokens), np.int64, len(tokens))
        self._first_tokens.extend(len(self._tokens) + np.cumsum(counts) - counts)
        self._tokens.extend(self._vocabulary.add(chain.from_iterable(tokens), int(counts.sum())))
        self._mergeable.extend(mergeable)
        self._token_counts.extend(counts)
        self._piece_characters += sum(len(piece) for part in pieces for piece in part)

    def _cut(self, pieces: list[str | InContext]) -> list[list[str]]:
        """Tokens of each piece by spaCy: of all in one text, for a call costs more than a piece."""
        if not pieces:
            return []
        contexts = [("", piece, "") if isinstance(piece, str) else piece for piece in pieces]
        # A newline is a token, so nothing crosses it.
        text = "".join(part for context in contexts for part in (*context, "\n"))
        lengths = np.array([[len(part) for part in context] for context in contexts])
        starts = np.cumsum(lengths.sum(axis=1) + 1) - lengths[:, 1:].sum(axis=1) - 1
        stops = starts + lengths[:, 1]
        with self._language.memory_zone():  # or each new word would stay in spaCy's vocabulary
            # (tokens, 2): characters, and whether a blank follows.
            sizes = self._language.tokenizer(_REFUSED.sub("X", text)).to_array(["LENGTH", "SPACY"])
        sizes = sizes.astype(np.int64)
        places = np.cumsum(sizes.sum(axis=1)) - sizes.sum(axis=1)
        owners = np.searchsorted(starts, places, side="right") - 1
        inside = (owners >= 0) & (places < stops[owners])
        cut: list[list[str]] = [[] for _ in pieces]
        for owner, place, size in zip(
            owners[inside].tolist(), places[inside].tolist(), sizes[inside, 0].tolist(), strict=True
        ):
            cut[owner].append(text[place : place + size])
        return cut


def _special_cases(tokenizer: Any) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Tokens that come of putting a special case together, and the characters at the seams inside special cases.

    A candidate that crosses a blank has such a pair of characters there.
    """
    rules = tokenizer.rules
    plain = type(tokenizer)(
        tokenizer.vocab,
        rules={},
        prefix_search=tokenizer.prefix_search,
        suffix_search=tokenizer.suffix_search,
        infix_finditer=tokenizer.infix_finditer,
        url_match=tokenizer.url_match,
    )
    merged: set[str] = set()
    seams: set[tuple[str, str]] = set()
    for rule in rules:
        if rule.isspace() or not (
            tokenizer.find_prefix(rule) or tokenizer.find_suffix(rule) or tokenizer.find_infix(rule)
        ):
            continue  # spaCy looks for these as whole pieces only
        apart = [token.text for token in plain(rule)]
        together = [token.text for token in tokenizer(rule)]
        seams.update((left[-1], right[0]) for left, right in pairwise(apart))
        if apart != together:
            # The first token will do where it is a rare one (`°C.`); a number (`10a.m.`) is not.
            merged.add(together[-1] if together[0].isdigit() else together[0])
    return frozenset(merged), frozenset(seams)


def _is_evenly_spaced(text: str) -> bool:
    """Whether single blanks between words are all the white space."""
    return text.isprintable() and "  " not in text and not text.startswith(" ") and not text.endswith(" ")


@lru_cache(maxsize=1)
def english() -> EnglishTokenizer:
    """The tokenizer of this process."""
    return EnglishTokenizer()
