"""How far a unit has been read, so that reading can go on there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from .unit import Part

END = 1 << 62  # of a part that goes to the end of its file
_SKIP_BYTES = 1 << 20


@dataclass
class Bookmark:
    """A place in a unit: behind the first `again` records that its reader gives from `part` on.

    A reader that can start in the middle moves it on between its records; of any other `part` stays None, and what was
    read is read again and dropped. Equal places are equal bookmarks, in a run that went on as in one that was never
    stopped.
    """

    part: Part | None = None  # what is left of the unit; None: all of it
    again: int = 0  # records
    documents: int = 0  # given so far

    def move(self, part: Part) -> None:
        """Go on to a place before which all records were given."""
        self.part, self.again = part, 0


def skip(stream: BinaryIO, count: int) -> None:
    """Go so many bytes forward; what is compressed is decompressed on the way."""
    if count and stream.seekable():
        stream.seek(count, io.SEEK_CUR)
        return
    while count > 0 and (block := stream.read(min(_SKIP_BYTES, count))):
        count -= len(block)
