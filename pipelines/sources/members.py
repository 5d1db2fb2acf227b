"""Archives that are read from the middle: content decompressed member by member, each byte with its place."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from datastore.errors import optional_import

from .compression import zstd_decompressor
from .places import file_name

MAX_LINE_BYTES = 1 << 16
_READ_BYTES = 1 << 16
_CONTENT_BYTES = 1 << 18  # from gzip at a time
_ZSTD_BYTES = 128  # give at most 4 MiB at a time
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_MAGIC = (
    b"\x5d\x2a\x4d\x18"  # https://iipc.github.io/warc-specifications/specifications/warc-zstd/
)
_MAGICS = {"gzip": b"\x1f\x8b\x08", "zstd": _ZSTD_MAGIC}
_SUFFIXES = {".gz": "gzip", ".zst": "zstd"}


class BrokenError(ValueError):
    """Bytes that are not what they have to be."""


class Place(NamedTuple):
    """The first byte of a member in the file, and how many bytes of its content stand before.

    Where nothing is compressed, each byte is a member.
    """

    member: int
    within: int


class Archive:
    """An open file and how its members are compressed, by its first bytes, else by its name."""

    def __init__(self, file: BinaryIO, place: str, *, begins_with: bytes) -> None:
        """`begins_with`: what the content of every member does, and of a file that is not compressed."""
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(8)
        has_dictionary = head.startswith(_DICTIONARY_MAGIC)
        self._zstd = self._zstd_of_dictionary(head) if has_dictionary else None
        magics = _MAGICS | {"none": begins_with}
        by_magic = [name for name, magic in magics.items() if head.startswith(magic)]
        by_name = _SUFFIXES.get(Path(file_name(place)).suffix.lower(), "none")
        self.compression = "zstd" if has_dictionary else (*by_magic, by_name)[0]
        self.magic = magics[self.compression]  # the first bytes of a member

    def _zstd_of_dictionary(self, head: bytes) -> Any:
        """A decompressor with the dictionary that the file begins with; None if that is damaged, as all that needs it."""
        zstandard = optional_import("zstandard", extra="ingest")
        data = self.file.read(struct.unpack("<I", head[4:])[0])
        try:
            if data.startswith(_ZSTD_MAGIC):
                data = zstd_decompressor().decompressobj().decompress(data)
            return zstd_decompressor(zstandard.ZstdCompressionDict(data))
        except (zstandard.ZstdError, ValueError):
            return None

    def member(self) -> Any:
        """A decompressor of one member."""
        if self.compression == "gzip":
            return zlib.decompressobj(wbits=31)
        if self._zstd is None:
            self._zstd = zstd_decompressor()
        return self._zstd.decompressobj()


class Content:
    """The content of an archive from one of its members on, with the place of each byte.

    Raises `BrokenError` where the archive is damaged, when all that stands before has been read.
    """

    def __init__(self, archive: Archive, offset: int) -> None:
        self._archive = archive
        self._offset = offset  # of what is read next
        self._raw = memoryview(b"")  # read, not yet decompressed
        self._member: Any = None  # None between members
        self._content = b""
        self._start = Place(offset, 0)  # of `_content`
        self._position = 0  # in `_content`
        self._damage = ""  # behind `_content`

    @property
    def place(self) -> Place:
        """Of the byte that comes next, once `fill` has been asked for it."""
        member, within = self._start
        if self._archive.compression == "none":
            return Place(member + self._position, 0)
        return Place(member, within + self._position)

    def fill(self) -> bool:
        """Have at least one byte at hand; False at the end of the file."""
        while self._position == len(self._content):
            if self._damage:
                raise BrokenError(self._damage)
            if not self._raw:
                self._archive.file.seek(self._offset)
                self._raw = memoryview(self._archive.file.read(_READ_BYTES))
                self._offset += len(self._raw)
            if self._raw and self._member is None:
                start = Place(self._offset - len(self._raw), 0)
            elif self._raw or self._member is not None:
                start = self.place
            else:
                return False
            match self._archive.compression:
                case "none":
                    content, self._raw = bytes(self._raw), memoryview(b"")
                case "gzip":
                    content = self._gunzip()
                case _:
                    content = self._unzstd()
            self._content, self._start, self._position = content, start, 0
        return True

    def _gunzip(self) -> bytes:
        member = self._member or self._archive.member()
        before, raw = member.copy(), self._raw
        try:
            content: bytes = member.decompress(raw, _CONTENT_BYTES)
        except zlib.error as error:
            self._damage = f"gzip: {error}"
            return _until_error(before, raw)
        if member.eof:
            self._member, self._raw = None, memoryview(member.unused_data)
        else:
            self._member, self._raw = member, memoryview(member.unconsumed_tail)
            if not raw and not content:
                self._damage = "the file ends within a gzip member"
        return content

    def _unzstd(self) -> bytes:
        zstandard = optional_import("zstandard", extra="ingest")
        member, raw = self._member or self._archive.member(), self._raw
        if not raw:
            self._damage = "the file ends within a zstd frame"
            return b""
        try:
            content: bytes = member.decompress(raw[:_ZSTD_BYTES])
        except zstandard.ZstdError as error:
            self._damage = f"zstd: {error}"
            return b""
        self._member = None if member.eof else member
        self._raw = raw[_ZSTD_BYTES:]
        if member.eof:
            self._raw = memoryview(member.unused_data + bytes(self._raw))
        return content

    def read(self, count: int) -> bytes:
        """So many bytes; fewer only at the end of the file."""
        pieces = []
        while count and self.fill():
            piece = self._content[self._position : self._position + count]
            self._position += len(piece)
            count -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def skip(self, count: int) -> int:
        """Pass over so many bytes; returns how many there were."""
        left = count
        while left and self.fill():
            step = min(left, len(self._content) - self._position)
            self._position += step
            left -= step
            if self._archive.compression == "none":
                step = min(left, self._archive.size - self._offset)
                self._offset += step
                left -= step
        return count - left

    def read_line(self) -> bytes:
        """Up to and with the next newline, or as much as a header may be."""
        pieces: list[bytes] = []
        left = MAX_LINE_BYTES
        while left and self.fill():
            end = self._content.find(b"\n", self._position) + 1 or len(self._content)
            pieces.append(self._content[self._position : min(end, self._position + left)])
            self._position += len(pieces[-1])
            left -= len(pieces[-1])
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)


def _until_error(member: Any, raw: memoryview) -> bytes:
    """What stands before the damage: a step that fails gives nothing, so these are of one byte."""
    pieces = []
    try:
        for position in range(len(raw)):
            pieces.append(member.decompress(raw[position : position + 1]))  # noqa: PERF401 (kept when one fails)
    except zlib.error:
        pass
    return b"".join(pieces)
