from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A range of one file or dataset, for a reader that can start in the middle."""

    start: int  # first byte of the content, first row group or shard, whatever the reader splits by
    end: int  # just behind the last
    first_record: (
        int  # number of the range's first record within the file, from 1: locations must not depend on ranges
    )


class Unit(NamedTuple):
    """The smallest piece of input that is read in one go: a file or a part of one, a dataset split, a library."""

    name: str  # unique within its source but for parts, stable across machines: the path relative to the source's folder
    place: str  # where to read it: an absolute path, a URL, a hub name
    identity: (
        str  # equal identity means equal content, without reading it: size and modification time, a version
    )
    bytes: int = 0  # about how much there is to read; 0 where that is not known
    part: Part | None = None  # None: all of it
