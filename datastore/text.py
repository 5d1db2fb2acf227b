"""Text rules that more than one folder relies on: normal form, identity, words, sentences."""

from __future__ import annotations

import re
import unicodedata

import xxhash

# Raised whenever `normalise` gives another form of the same text: what has been read is read anew then.
NORMAL_FORM = 2
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ufeff\u200b]")
# Carriage returns, the ends of pages (form feed), tabulated blocks, files, groups, records and units: what stands on
# both sides of one are two words.
_LINE_BREAK = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1f]")
_TRAILING = re.compile(r"[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")
_WHITESPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
# After . ! ? (and closing quotes) before white space, after CJK stops, at a blank line.
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s)|[。！？]|\n(?=\n)")  # noqa: RUF001 (these are the stops)


def normalise(text: str) -> str:
    """NFC, Unix newlines, no other control characters, no trailing blanks, at most one blank line in a row.

    Character offsets of passages refer to this form. Idempotent.
    """
    text = _LINE_BREAK.sub("\n", _CONTROL.sub("", text))
    text = unicodedata.normalize(
        "NFC", text
    )  # after the removal: it may bring a letter and its accent together
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip()


def content_hash(text: str) -> bytes:
    """16 bytes that are equal for texts that differ in case and white space only."""
    return xxhash.xxh3_128_digest(
        _WHITESPACE.sub(" ", text).strip().casefold().encode("utf-8", "surrogatepass")
    )


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, in order, as written."""
    return _WORD.findall(text)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Character offsets (start, end) of `words`."""
    return [match.span() for match in _WORD.finditer(text)]


def sentence_ends(text: str) -> list[int]:
    """Character offsets just behind each sentence or paragraph, ascending; the text's own end included.

    Punctuation only, in any language: an abbreviation may count as an end. A passage boundary is where this is
    used, so a spare candidate costs nothing and a missed one costs a cut sentence.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if not ends or ends[-1] != len(text):
        ends.append(len(text))
    return ends
