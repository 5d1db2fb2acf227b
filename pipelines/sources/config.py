from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
        description="At most this many documents, the first that pass the filters; None: all",
    )
