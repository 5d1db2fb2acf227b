"""Stack Exchange dumps (`Posts.xml`): one document is a question with its best answers.

A post may stand anywhere in the file. So questions and answers meet in a sort on disk: RAM does not depend on the size
of a dump.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field

from ..document import Document, Reject
from .bookmark import END, Bookmark
from .compression import DAMAGE, is_out_of_reach, open_decompressed
from .html_text import html_text
from .records import SAMPLE_CHARS
from .sorted_rows import Row, SortedRows
from .unit import Part, Unit
from .xml_pieces import SAMPLE_BYTES, Cutter

_GAP_BYTES = 1 << 20


class StackExchangeOptions(BaseModel):
    """Which answers stand below a question, and where the site is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str | None = Field(
        default=None,
        description="Its host, for ids and URLs; None: the name of the file's folder, if that is a host's",
    )
    max_answers: int = Field(default=5, ge=0, le=1000, description="The accepted one first, then by score")
    min_answer_score: int = Field(default=0, description="Of an answer that is not the accepted one")
    unanswered: bool = Field(default=True, description="Whether questions without such answers are read")


class _Post(NamedTuple):
    location: str
    fields: Mapping[str, str]

    @property
    def score(self) -> int:
        text = self.fields.get("Score", "")
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else 0


def read_stackexchange(
    unit: Unit,
    max_bytes: int,
    options: StackExchangeOptions | None = None,
    scratch: Path | None = None,
    bookmark: Bookmark | None = None,
) -> Iterator[Document | Reject]:
    """The questions of a dump, by id; a damaged archive gives those before the damage, then one `broken_archive`.

    `max_bytes` bounds a post as it stands in the dump; answers that would make a document longer are left out.

    Parameters
    ----------
    scratch
        A folder for the sort, which takes the space of the posts, uncompressed; None: that of temporary files.
    """
    options = options or StackExchangeOptions()
    bookmark = bookmark or Bookmark()
    site = options.site or _site_of(unit.place)
    # A part is what is left once the posts are sorted: the questions from an id on, which is its `first_record`.
    first_question = unit.part.first_record if unit.part else None
    number = 0
    damage: Exception | None = None
    with tempfile.TemporaryDirectory(dir=scratch, prefix="posts-") as folder:
        rows = SortedRows(Path(folder))
        try:
            with open_decompressed(unit.place) as stream:
                cutter = Cutter(stream)
                try:
                    cutter.head(b"<posts", b"<row ")
                except ValueError as error:
                    yield Reject("invalid_xml", unit.name, "", str(error), "")
                    return
                while cutter.until(b"<row ", _GAP_BYTES) is not None:
                    row = cutter.until(b"<", max_bytes, skip=1)
                    if row is None:
                        raise EOFError("the file ends within a row")
                    number += 1
                    rejected: Reject | None
                    if row.length > max_bytes:
                        detail = f"{row.length:,} bytes, the limit is {max_bytes:,}"
                        rejected = _reject("too_large", f"{unit.name}:{number}", "", detail, row.data)
                    else:
                        rejected = _sort_in(rows, number, row.data, unit)
                    if rejected is not None and first_question is None:
                        yield rejected
                cutter.check_end(b"</posts>")
        except DAMAGE as error:
            if is_out_of_reach(error):
                raise
            damage = error
        for question, thread in groupby(rows.merged(), key=lambda row: row.question):
            if first_question is not None and question < first_question:
                continue
            bookmark.move(Part(0, END, question))
            yield from _read_question(thread, unit, site, max_bytes, options)
    if damage is not None:
        yield Reject("broken_archive", unit.name, "", f"after row {number}: {damage}", "")


def _site_of(place: str) -> str | None:
    """The folder's name, if it is a host's, as archives of Stack Exchange unpack: `coffee.stackexchange.com`."""
    folder = re.split(r"[\\/]", place)[-2:-1]
    return (
        folder[0] if folder and re.fullmatch(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|net)", folder[0]) else None
    )


def _reject(reason: str, location: str, document_id: str, detail: str, sample: bytes) -> Reject:
    return Reject(
        reason,
        location,
        document_id,
        detail,
        sample[:SAMPLE_BYTES].decode("utf-8", "replace")[:SAMPLE_CHARS],
    )


_KEY = re.compile(rb'\s(Id|PostTypeId|ParentId)="(\d{1,18})"')


def _sort_in(rows: SortedRows, number: int, row: bytes, unit: Unit) -> Reject | None:
    """Put a question or an answer where its question is; whether it is sound XML is seen when it is read again."""
    key = dict(_KEY.findall(row))
    kind = key.get(b"PostTypeId")
    question = key.get(b"ParentId" if kind == b"2" else b"Id")
    location = f"{unit.name}:{number}"
    if kind is None or question is None:
        return _reject("invalid_xml", location, "", "a row without an id, a type or a question", row)
    if kind not in (b"1", b"2"):
        return _reject("other_post_type", location, key[b"Id"].decode(), f"post type {kind.decode()}", row)
    rows.add(Row(int(question), number, row), is_answer=kind == b"2")
    return None


def _read_question(
    rows: Iterable[Row], unit: Unit, site: str | None, max_bytes: int, options: StackExchangeOptions
) -> Iterator[Document | Reject]:
    """The document of one question's rows, the question's first, behind what was set aside of them."""
    question: _Post | None = None
    answers: list[_Post] = []

    def rank(answer: _Post) -> tuple[bool, int, int]:
        return not (question and _is_accepted(answer, question)), -answer.score, int(answer.fields["Id"])

    for _, number, xml in rows:
        location = f"{unit.name}:{number}"
        try:
            post = _Post(location, ET.fromstring(xml.decode()).attrib)  # noqa: S314 (a row alone, where no entity can be declared)
        except UnicodeDecodeError as error:
            yield _reject("invalid_utf8", location, "", str(error), xml)
            continue
        except ET.ParseError as error:
            yield _reject("invalid_xml", location, "", str(error), xml)
            continue
        body = post.fields.get("Body", "")
        if post.fields["PostTypeId"] == "1":
            if question is None:
                question = post
            else:
                detail = f"the question at {question.location} has the same id"
                yield Reject("duplicate_id", location, post.fields["Id"], detail, body[:SAMPLE_CHARS])
        elif question is None:
            detail = f"question {post.fields['ParentId']} is not there"
            yield Reject("orphan_answer", location, post.fields["Id"], detail, body[:SAMPLE_CHARS])
        elif _is_accepted(post, question) or post.score >= options.min_answer_score:
            answers.append(post)
            if len(answers) > 2 * options.max_answers:
                answers = sorted(answers, key=rank)[: options.max_answers]
    if question is not None:
        best = sorted(answers, key=rank)[: options.max_answers]
        yield _read_thread(question, best, site, max_bytes, options)


def _is_accepted(answer: _Post, question: _Post) -> bool:
    return answer.fields["Id"] == question.fields.get("AcceptedAnswerId")


def _read_thread(
    question: _Post, answers: list[_Post], site: str | None, max_bytes: int, options: StackExchangeOptions
) -> Document | Reject:
    post_id, title = question.fields["Id"], question.fields.get("Title", "").strip()
    document_id = f"{site}/{post_id}" if site else post_id
    text = html_text(question.fields.get("Body", ""))
    if not answers and not options.unanswered:
        detail = f"no answer that is accepted or scores at least {options.min_answer_score}"
        return Reject("unanswered", question.location, document_id, detail, title[:SAMPLE_CHARS])
    shown = []
    for answer in answers:
        heading = "Accepted answer" if _is_accepted(answer, question) else "Answer"
        longer = f"{text}\n\n## {heading}\n\n{html_text(answer.fields.get('Body', ''))}".strip()
        if len(longer.encode()) > max_bytes:
            break
        text = longer
        shown.append(answer)
    if not text and not title:
        return Reject("no_text", question.location, document_id, "title and body are empty", "")
    metadata = {
        "url": f"https://{site}/questions/{post_id}" if site else None,
        "tags": re.findall(r"[^<>|]+", question.fields.get("Tags", "")) or None,
        "score": question.score,
        "created": question.fields.get("CreationDate"),
        "last_activity": question.fields.get("LastActivityDate"),
        "license": question.fields.get("ContentLicense"),
        "answers": len(shown),
        "answer_scores": [answer.score for answer in shown] or None,
        "accepted": bool(shown) and _is_accepted(shown[0], question),
    }
    known = {name: value for name, value in metadata.items() if value is not None}
    return Document(document_id, title, text or title, known, question.location)
