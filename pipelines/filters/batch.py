"""Documents as filters see them, with what several of them look at computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .words import Words, english

T = TypeVar("T")


class TextBatch:
    """Normalised texts of some documents, and their metadata."""

    def __init__(self, texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.texts = texts
        self.metadata = metadata if metadata is not None else [{}] * len(texts)
        self._kept: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def characters(self) -> NDArray[np.int64]:
        """(n,) lengths of the texts."""
        return np.fromiter(map(len, self.texts), np.int64, len(self.texts))

    @cached_property
    def lines(self) -> list[list[str]]:
        """`str.splitlines` of each text."""
        return [text.splitlines() for text in self.texts]

    @cached_property
    def words(self) -> Words:
        """The English words of all texts."""
        return english().words(self.texts)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made at the first call with this key: for a family whose scores and edit share work."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept
