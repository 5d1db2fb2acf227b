from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from datastore.text import words

from .batch import TextBatch
from .rule import Rule


class LengthFilter(BaseModel):
    """Drop what has too few or too many words (`too_short`, `too_long`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_words: int = Field(default=1, ge=1)
    max_words: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> LengthFilter:
        if self.max_words is not None and self.max_words < self.min_words:
            raise ValueError(f"max_words {self.max_words} is below min_words {self.min_words}")
        return self

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        return {"length_words": np.array([len(words(text)) for text in batch.texts], dtype=np.float64)}

    def rules(self) -> tuple[Rule, ...]:
        return (
            Rule("too_short", "length_words", minimum=self.min_words),
            Rule("too_long", "length_words", maximum=np.inf if self.max_words is None else self.max_words),
        )
