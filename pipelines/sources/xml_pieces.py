"""XML in pieces: a stream of any size is cut, not parsed, and each piece is parsed alone by its reader."""

from __future__ import annotations

import re
from io import BufferedReader
from typing import BinaryIO, NamedTuple, cast

from .bookmark import skip
from .records import SAMPLE_CHARS

SAMPLE_BYTES = 4 * SAMPLE_CHARS  # enough for a reject's sample
_READ_BYTES = 1 << 18
_HEAD_BYTES = 1 << 20


class Piece(NamedTuple):
    data: bytes  # all of it, unless it is too long: then its start
    length: int  # bytes


class Cutter:
    """Cuts a stream of XML before marks, in bounded memory, without parsing it.

    A `<` of content is escaped, so a mark that begins with one is markup. A damaged piece does not take those behind
    it along, as it would in one parse of the whole.
    """

    def __init__(self, stream: BinaryIO) -> None:
        # read1: what stands before a damaged place is returned, not lost to its error.
        self._read = cast("BufferedReader", stream).read1
        self._stream = stream
        self._buffer = bytearray()
        self.position = 0  # bytes of the stream that were cut off so far

    def until(self, mark: bytes, max_bytes: int, *, skip: int = 0) -> Piece | None:
        """What stands before the next mark, sought `skip` bytes from here; None: there is no other, nothing was cut."""
        start, dropped, scanned = b"", 0, skip
        while (found := self._buffer.find(mark, scanned)) < 0:
            scanned = max(skip, len(self._buffer) - len(mark) + 1)
            if dropped or scanned > max_bytes:
                start = start or bytes(self._buffer[:SAMPLE_BYTES])
                dropped += scanned
                del self._buffer[:scanned]
                scanned = skip = 0
            chunk = self._read(_READ_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
        length = dropped + found
        data = start or bytes(self._buffer[: found if length <= max_bytes else SAMPLE_BYTES])
        del self._buffer[:found]
        self.position += length
        return Piece(data, length)

    def skip_to(self, offset: int) -> None:
        """Cut off what stands before a byte of the stream."""
        count = max(0, offset - self.position)
        skip(self._stream, max(0, count - len(self._buffer)))
        del self._buffer[:count]
        self.position += count

    def head(self, root: bytes, first: bytes) -> str:
        """What stands before the first element `first`.

        Raises ValueError if it declares a document type, which no dump does and entities need, or if the root is not
        `root`.
        """
        piece = self.until(first, _HEAD_BYTES)
        data = bytes(self._buffer) if piece is None else piece.data
        if re.search(rb"<!(?:DOCTYPE|ENTITY)", data):
            raise ValueError(
                "a document type is declared, as in no dump: it could hold entities that explode"
            )
        if root not in data:
            raise ValueError(f"no element {root.decode()}>")
        return data.decode("utf-8", "replace")

    def check_end(self, mark: bytes) -> None:
        """Raise EOFError unless the stream, read to its end, closed its root element."""
        if mark not in self._buffer:
            raise EOFError(f"the file ends without {mark.decode()}")
