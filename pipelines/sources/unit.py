from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """The smallest piece of input that is read in one go: a file, a dataset split, a library."""

    name: str  # unique within its source, stable across machines: the path relative to the source's folder
    place: str  # where to read it: an absolute path, a hub name
    identity: (
        str  # equal identity means equal content, without reading it: size and modification time, a version
    )
    bytes: int = 0  # about how much there is to read; 0 where that is not known
