"""Pages of MediaWiki XML dumps, as they stand there: where each is, and where a dump can be cut.

A dump in bzip2 is read stream by stream: those of Wikimedia hold a hundred pages each, so that any can be begun with. Its pages
are counted within their stream, `dump.xml.bz2@1048576:7`, since nothing but reading it all would tell their number.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from .bookmark import END, Bookmark
from .bzip2 import Streams, stream_starts
from .compression import DAMAGE, is_out_of_reach, open_binary, open_decompressed
from .places import file_name
from .unit import Part, Unit
from .xml_pieces import Cutter, Piece

_GAP_BYTES = 1 << 20


class Page(NamedTuple):
    piece: Piece  # from the last `<page>` before its `</page>` on; what stands before that is of a page that never closed
    location: str


class Damage(NamedTuple):
    """What ends the pages of a file, or of one of its streams."""

    detail: str


def is_bzip2(place: str) -> bool:
    return file_name(place).lower().endswith(".bz2")


def head_of(place: str) -> str:
    """What stands before the first page; ValueError if that is no dump's, and what reading a damaged archive raises."""
    with open_decompressed(place) as stream:
        return Cutter(stream).head(b"<mediawiki", b"<page>")


def parts_of(place: str, target_bytes: int) -> list[Part]:
    """Whole pages, or streams of bzip2, `target_bytes` and what is left of one at a time.

    Of an uncompressed dump it reads the file through, since only that tells the numbers of the pages; of one in bzip2, to
    find its streams. The parts meet where a page or a stream begins: the first holds the head, the last what stands behind
    the last page.
    """
    if is_bzip2(place):
        return _parts_of_streams(place, target_bytes)
    starts, number = [(0, 1)], 0
    with open_binary(place) as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        cutter = Cutter(stream)
        try:
            cutter.head(b"<mediawiki", b"<page>")
        except ValueError:  # as its reader says, once
            return []
        while cutter.until(b"<page>", 0) is not None:
            if cutter.position - starts[-1][0] >= target_bytes:
                starts.append((cutter.position, number + 1))
            if cutter.until(b"</page>", 0) is None:
                break
            number += 1
    ends = [start for start, _ in starts[1:]] + [size]
    return [Part(start, end, first) for (start, first), end in zip(starts, ends, strict=True)]


def _parts_of_streams(place: str, target_bytes: int) -> list[Part]:
    try:
        head_of(place)
    except (ValueError, *DAMAGE):
        return []
    cuts = [0]
    with open_binary(place) as file:
        for start in stream_starts(file, 0):
            if start - cuts[-1] >= target_bytes:
                cuts.append(start)
        size = file.seek(0, io.SEEK_END)
    return [Part(start, end, 1) for start, end in zip(cuts, [*cuts[1:], size], strict=True)]


def pages_of(unit: Unit, max_bytes: int, bookmark: Bookmark) -> Iterator[Page | Damage]:
    """The pages of a dump or a part, and its damage; the bookmark stands before each.

    Of a page of more than `max_bytes` only the start is held. Damage ends a file, but of bzip2 only a stream.
    """
    part = unit.part or Part(0, END, 1)
    return (_of_streams if is_bzip2(unit.place) else _of_file)(unit, part, max_bytes, bookmark)


def _of_file(unit: Unit, part: Part, max_bytes: int, bookmark: Bookmark) -> Iterator[Page | Damage]:
    number = part.first_record - 1
    try:
        with open_decompressed(unit.place) as stream:
            cutter = Cutter(stream)
            cutter.skip_to(part.start)
            while cutter.until(b"<page>", _GAP_BYTES) is not None:
                if cutter.position >= part.end:
                    return
                bookmark.move(Part(cutter.position, part.end, number + 1))
                piece = cutter.until(b"</page>", max_bytes)
                if piece is None:
                    raise EOFError("the file ends within a page")
                number += 1
                yield Page(piece, f"{unit.name}:{number}")
            cutter.check_end(b"</mediawiki>")
    except DAMAGE as error:
        if is_out_of_reach(error):
            raise
        yield Damage(f"after page {number}: {error}")


def _of_streams(unit: Unit, part: Part, max_bytes: int, bookmark: Bookmark) -> Iterator[Page | Damage]:
    """Behind a damaged stream it goes on with the next. A part says what is wrong with its own streams."""
    start: int | None = part.start
    first = part.first_record  # of the stream that is begun with
    with open_binary(unit.place) as file:
        while start is not None and start < part.end:
            reading = _Reading(file, start)
            try:
                yield from reading.pages(unit.name, part.end, first, max_bytes, bookmark)
                start = None
            except DAMAGE as error:
                if is_out_of_reach(error):
                    raise
                damaged = reading.streams.newest
                if damaged < part.end:
                    yield Damage(f"{reading.where}: {error}")
                start = next(stream_starts(file, damaged + 1), None) if file.seekable() else None
                first = 1


class _Reading:
    """The pages of bzip2 streams from one on, and where it stands: in a stream, behind so many of its pages."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.streams = Streams(file, start)
        self._start = self._stream = start
        self._number = 0

    @property
    def where(self) -> str:
        stream = self.streams.newest
        return f"in the stream at byte {stream:,}" if stream else f"after page {self._number}"

    def pages(
        self, name: str, end: int, first: int, max_bytes: int, bookmark: Bookmark
    ) -> Iterator[Page | Damage]:
        """Those that begin in streams before `end`, from page `first` of the stream that is begun with.

        How the file ends is said behind its last page. Raises what is wrong with a stream.
        """
        cutter = Cutter(cast("BinaryIO", self.streams))
        while cutter.until(b"<page>", _GAP_BYTES) is not None:
            stream = self.streams.at(cutter.position)
            if stream >= end:
                return
            self._number = self._number + 1 if stream == self._stream else 1
            self._stream = stream
            is_wanted = stream != self._start or self._number >= first
            if is_wanted:
                bookmark.move(Part(stream, end, self._number))
            piece = cutter.until(b"</page>", max_bytes)
            if piece is None:
                yield Damage(f"{self.where}: the file ends within a page")
                return
            # One that never closed goes on to the next page's end: that page may be the next part's.
            later = piece.data.rfind(b"<page>")
            if later > 0 and self.streams.at(cutter.position - piece.length + later) >= end:
                piece = Piece(piece.data[:later], later)
            if is_wanted:
                yield Page(piece, f"{name}{f'@{stream}' if stream else ''}:{self._number}")
        if self._start == 0 or self._number:
            try:
                cutter.check_end(b"</mediawiki>")
            except EOFError as error:
                yield Damage(f"{self.where}: {error}")
