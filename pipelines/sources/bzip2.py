"""bzip2 files of many streams, as dumps and parallel compressors make them: read from any of them on."""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from typing import BinaryIO

# A stream begins with its mark and that of its first block; within a stream blocks do not begin at whole bytes.
_START = re.compile(rb"BZh[1-9]1AY&SY")
_START_BYTES = 10
_READ_BYTES = 1 << 16
_SCANNED_BYTES = 1 << 20


def stream_starts(file: BinaryIO, offset: int) -> Iterator[int]:
    """Where streams begin that are not empty, from a byte of the file on; nothing is decompressed."""
    file.seek(offset)
    block = b""
    while more := file.read(_SCANNED_BYTES):
        block += more
        for match in _START.finditer(block):
            yield offset + match.start()
            file.seek(offset + len(block))  # whoever asks may have read elsewhere
        kept = min(len(block), _START_BYTES - 1)  # the beginning of a mark at its end
        offset += len(block) - kept
        block = block[len(block) - kept :]


class Streams:
    """The content of a file's streams from one of them on, as a stream that `Cutter` reads.

    All that stands before a damaged place comes before its error, an OSError or EOFError.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        if start:  # what cannot be sought in can be read from its start
            file.seek(start)
        self._file = file
        self._read_to = start  # of the file
        self._raw = b""  # read, not yet decompressed
        self._stream: bz2.BZ2Decompressor | None = None  # None between streams
        self._position = 0  # bytes of content given
        self._starts: list[tuple[int, int]] = []  # of streams: (position in the content, byte of the file)

    @property
    def newest(self) -> int:
        """Where in the file the stream begins that is being read."""
        return self._starts[-1][1] if self._starts else self._read_to

    def at(self, position: int) -> int:
        """Where in the file the stream begins that holds a byte of the content; positions must not go back."""
        while len(self._starts) > 1 and self._starts[1][0] <= position:
            del self._starts[0]
        return self._starts[0][1]

    def read1(self, count: int) -> bytes:
        """Up to `count` bytes, none at the end. What stands behind the last stream and is none is passed over."""
        while True:
            if not self._raw and (self._stream is None or self._stream.needs_input):
                self._raw = self._file.read(_READ_BYTES)
                self._read_to += len(self._raw)
                if not self._raw and self._stream is not None:
                    raise EOFError("the file ends within a bzip2 stream")
            if self._stream is None:
                if not self._raw or (self._starts and not self._raw.startswith(b"B")):
                    return b""
                self._stream = bz2.BZ2Decompressor()
                self._starts.append((self._position, self._read_to - len(self._raw)))
            content = self._stream.decompress(self._raw, count)
            self._raw = self._stream.unused_data
            if self._stream.eof:
                self._stream = None
            if content:
                self._position += len(content)
                return content
