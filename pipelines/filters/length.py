from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datastore.text import words


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

    def reason(self, text: str) -> str | None:
        count = len(words(text))
        if count < self.min_words:
            return "too_short"
        if self.max_words is not None and count > self.max_words:
            return "too_long"
        return None
