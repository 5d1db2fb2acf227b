"""Filters: one file a family. A rule looks at a document and gives the reason to drop it, or None."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from .length import LengthFilter

__all__ = ["Filters", "drop_reason"]


class Filters(BaseModel):
    """The filter section of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    length: LengthFilter = LengthFilter()


def drop_reason(text: str, filters: Filters) -> str | None:
    """Why a document with this normalised text is dropped; None: it is kept."""
    return filters.length.reason(text)
