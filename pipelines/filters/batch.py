"""Documents as filters see them, with what several of them look at computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class TextBatch:
    """Normalised texts of some documents, and their metadata."""

    def __init__(self, texts: Sequence[str], metadata: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.texts = texts
        self.metadata = metadata if metadata is not None else [{}] * len(texts)

    def __len__(self) -> int:
        return len(self.texts)
