"""Passages of a file by question: JSON Lines of ours, and those that CompactDS publishes."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import xxhash

from datastore.errors import NotFoundError, UsageError
from datastore.lines import read_object

from ...tasks.task import Item, Passage

_NOT_ONE = -1  # lines: none, or several
_TEXTS = ("raw_query", "query", "question")  # fields that hold what a line's passages were found for


class Given(NamedTuple):
    passages: list[Passage]  # best first
    documents: dict[str, str]  # passage id -> its document's, where the file says it


class GivenPassages:
    """Where each question's line is, by its id and by its text; lines are read when they are asked for. Close it.

    A question is looked up by what is searched for, in `raw_query`, `query` or `question`, then by the question without
    its options, then by id. Where that text is another line's than the id, the id's counts if it holds the question too.
    Text comes first as ids may be another file's: many benchmarks number their questions.
    """

    def __init__(self, path: Path, score: str | None = None) -> None:
        """`score`: the field that puts a question's passages in order, highest first; None: they are in order.

        Raises NotFoundError if there is no file, UsageError if a line is no object or has no passages.
        """
        if not path.is_file():
            raise NotFoundError(f"there is no file of passages at {path}")
        self.path = path
        self._score = score
        self._file = _opened(path)
        self._places: dict[str, int] = {}
        self._by_text: dict[bytes, int] = {}
        self._starts = array("q")
        self.sources: list[str] = []
        try:
            self._index()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _index(self) -> None:
        sources: dict[str, None] = {}
        start = 0
        for number, line in enumerate(self._file):
            self._starts.append(start)
            start += len(line)
            if not line.strip():
                continue
            place = f"{self.path}:{number + 1}"
            record = _record(line, place)
            name = record.get("_id", record.get("id"))
            if name is not None and self._places.setdefault(str(name), number) != number:
                raise UsageError(f"{place}: the passages of {name!r} are there already")
            for text in _texts(record):
                key = _key(text)
                one = self._by_text.setdefault(key, number) == number
                self._by_text[key] = number if one else _NOT_ONE
            sources.update((passage.source, None) for passage in _passages(record, place, self._score))
        self.sources = sorted(sources)

    def of(self, item: Item, query: str) -> Given:
        """The passages of a question.

        Raises
        ------
        UsageError
            If the file has none for it: every arm answers the same questions. If the line of its id is of another.
        """
        number = self._number(item, query)
        record = self._read(number)
        return Given(_passages(record, self._place(number), self._score), _documents(record))

    def _number(self, item: Item, query: str) -> int:
        exact = self._by_text.get(_key(query), _NOT_ONE)
        if exact != _NOT_ONE:
            return exact
        alone = self._by_text.get(_key(item.question), _NOT_ONE)
        named = self._places.get(item.id, _NOT_ONE)
        texts = [] if named == _NOT_ONE else _texts(self._read(named))
        holds = any(_folded(item.question) in _folded(text) for text in texts)
        if alone != _NOT_ONE and not holds:
            return alone
        if named == _NOT_ONE:
            raise UsageError(
                f"{self.path} has no passages for question {item.id!r}: every arm answers the same questions",
                hint="retrieve for all of them, or ask fewer: limit",
            )
        if texts and not holds:
            raise UsageError(
                f"{self._place(named)}: the passages of {item.id!r} were found for {texts[0]!r:.200}, and question "
                f"{item.id!r} is {item.question!r:.200}",
                hint="retrieve for the questions that are asked, or give each line the question's id or text",
            )
        return named

    def _read(self, number: int) -> dict[str, Any]:
        self._file.seek(self._starts[number])
        return _record(self._file.readline(), self._place(number))

    def _place(self, number: int) -> str:
        return f"{self.path}:{number + 1}"


def _opened(path: Path) -> IO[bytes]:
    """A file to seek in; what is compressed is unpacked into a temporary one."""
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as its owner)
    try:
        with gzip.open(path, "rb") as packed:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (OSError, EOFError) as error:
        unpacked.close()
        raise UsageError(f"{path} cannot be read: {error}", hint="fetch the file again") from error
    unpacked.seek(0)
    return unpacked


def _key(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.strip().encode("utf-8", "surrogatepass"))


def _folded(text: str) -> str:
    """Whatever its case and white space."""
    return " ".join(text.split()).casefold()


def _texts(record: Mapping[str, Any]) -> list[str]:
    return [record[field] for field in _TEXTS if isinstance(record.get(field), str)]


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is not UTF-8: {error.reason}") from error
    return read_object(text, place)


def _passages(record: Mapping[str, Any], place: str, score: str | None) -> list[Passage]:
    ours = "hits" in record
    found = record.get("hits" if ours else "ctxs")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f'{place}: expected a list of objects in "ctxs" or "hits"')
    passages = [_ours(one, place) if ours else _compactds(one, place, score) for one in found]
    if score is None:
        return passages
    scored = [
        passage._replace(score=_number(one.get(score), place))
        for passage, one in zip(passages, found, strict=True)
    ]
    return sorted(scored, key=lambda passage: -passage.score)


def _documents(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        _passage_id(hit): str(hit["document_id"])
        for hit in record.get("hits", ())
        if hit.get("document_id") is not None
    }


def _passage_id(hit: Mapping[str, Any]) -> str:
    return str(hit.get("passage_id", hit.get("id", "")))


def _ours(hit: Mapping[str, Any], place: str) -> Passage:
    if not isinstance(hit.get("text"), str):
        raise UsageError(
            f"{place}: a hit has no text", hint="compendia search --queries FILE --out FILE --text"
        )
    title = hit.get("title")
    return Passage(
        id=_passage_id(hit),
        text=hit["text"],
        title=title if isinstance(title, str) else "",
        source=str(hit.get("source") or ""),
        score=_score(hit.get("score"), place),
    )


def _compactds(context: Mapping[str, Any], place: str, score: str | None) -> Passage:
    """CompactDS adds the scores of later stages, and leaves the order as the first one found it."""
    text = context.get("retrieval text", context.get("text"))
    if not isinstance(text, str):
        raise UsageError(f'{place}: a passage has no text in "retrieval text"')
    known = [name for name in context if name.endswith(" score")]
    if score is None and len(known) > 1:
        raise UsageError(
            f"{place}: a passage has several scores, {', '.join(known)}: which one says the order?",
            hint=f'score: "{known[-1]}", in the arm of the file',
        )
    found = _score(context.get("retrieval score", context.get("score")), place)
    return Passage(str(context.get("id", "")), text, "", str(context.get("source") or ""), found)


def _score(value: object, place: str) -> float:
    return math.nan if value is None else _number(value, place)


def _number(value: object, place: str) -> float:
    """CompactDS writes its scores as strings."""
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        raise UsageError(f"{place}: expected a number as score, got {value!r:.40}") from None
