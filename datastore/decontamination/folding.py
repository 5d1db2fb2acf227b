"""Words as decontamination compares them."""

from __future__ import annotations

import re
import unicodedata
from itertools import repeat

_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
# After folding, every character beyond ASCII belongs to a word.
_WORD = re.compile(r"[0-9a-z\x80-\U0010ffff]+")
_APOSTROPHES = "'‘’ʼ"  # noqa: RUF001 (the ways in which they are written)
# Han and kana are written without spaces: each of their characters is a word.
_UNSPACED = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")


class _Folding(dict[int, str]):
    """For `str.translate`: what a character beyond ASCII becomes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        self[code] = "".join(map(_folded, folded)).lower()
        return self[code]


def _folded(character: str) -> str:
    category = unicodedata.category(character)
    if character in _APOSTROPHES or category == "Cf" or unicodedata.combining(character):
        return ""
    if category[0] not in "LMN":
        return " " if ord(character) >= 128 else character
    return f" {character} " if _UNSPACED.match(character) else character


_FOLDING = _Folding()


def folded_words(text: str) -> list[str]:
    """The words that are compared: no case, accents, punctuation or Unicode variants.

    NFKD and case folding; marks, format characters (soft hyphens) and apostrophes are left out, so that don't = dont;
    a hyphen at the end of a line joins its words; whatever else is no letter, mark or number parts words, so that
    well-known = well known. Every character of Han and kana is a word.
    """
    return _WORD.findall(_fold(text))


def _fold(text: str) -> str:
    text = text.replace("-\n", "").replace("'", "")
    if not text.isascii():
        text = _NON_ASCII.sub(lambda found: found[0].translate(_FOLDING), text)
    return text.lower()


def folded_word_spans(text: str) -> list[tuple[int, int]]:
    """Character offsets (start, end) of `folded_words` in the text as written. Slow: for texts with a match."""
    pieces: list[str] = []
    places: list[int] = []
    skip = -1
    for place, character in enumerate(text):
        if place == skip or character == "'":
            continue
        if text.startswith("-\n", place):
            skip = place + 1
            continue
        piece = character.lower() if character.isascii() else _FOLDING[ord(character)]
        pieces.append(piece)
        places.extend(repeat(place, len(piece)))
    return [(places[found.start()], places[found.end() - 1] + 1) for found in _WORD.finditer("".join(pieces))]
