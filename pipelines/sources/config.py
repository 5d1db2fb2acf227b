from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ..filters import Filters


class Expected(BaseModel):
    """What a publisher states of a source: a plan goes by it where sizes cannot be known without reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int | None = Field(default=None, ge=0)
    words: int | None = Field(default=None, ge=0)
    passages: int | None = Field(default=None, ge=0)


class SourceBase(BaseModel):
    """What every source says of itself. Inert: nothing is opened until its units are asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="The source that all its documents carry, and filters name",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="At most this many documents, the first as read, before any filter; None: all",
    )
    filters: Filters | None = Field(
        default=None, description="Rules for this source alone, in place of the recipe's"
    )
    license: str | None = Field(
        default=None, description="Of its texts, as an SPDX name where there is one; kept in the account"
    )
    expected: Expected | None = Field(
        default=None, description="What the publisher states: documents, words, passages"
    )
