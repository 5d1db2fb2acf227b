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
    start: int | None = part.start
    first = part.first_record  # of the stream that is begun with
    with open_binary(unit.place) as file:
        while start is not None and start < part.end:
            streams = Streams(file, start)
            number, stream = 0, start
            try:
                cutter = Cutter(cast("BinaryIO", streams))
                while cutter.until(b"<page>", _GAP_BYTES) is not None:
                    begun = streams.at(cutter.position)
                    if begun >= part.end:
                        return
                    stream, number = begun, number + 1 if begun == stream else 1
                    is_wanted = stream != start or number >= first
                    if is_wanted:
                        bookmark.move(Part(stream, part.end, number))
                    piece = cutter.until(b"</page>", max_bytes)
                    if piece is None:
                        raise EOFError("the file ends within a page")
                    if is_wanted:
                        yield Page(piece, f"{unit.name}{f'@{stream}' if stream else ''}:{number}")
                cutter.check_end(b"</mediawiki>")
                start = None
            except DAMAGE as error:
                if is_out_of_reach(error):
                    raise
                damaged = streams.newest
                if damaged >= part.end:
                    return  # the next part says so
                where = f"in the stream at byte {damaged:,}" if damaged else f"after page {number}"
                yield Damage(f"{where}: {error}")
                start, first = next(stream_starts(file, damaged + 1), None), 1
