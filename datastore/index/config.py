from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class IndexConfig(BaseModel):
    """What the dense index of a store may cost and must reach; the planner chooses the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["auto", "exact", "flat", "ivf_pq", "ivf_rabitq", "hnsw_sq8"] = Field(
        default="auto", description="`auto`: by number of passages, RAM and recall"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Of the family; what is not given is chosen for the size"
    )
    ram_bytes: int | None = Field(default=None, ge=1, description="Budget for the open index; None: no limit")
    recall: float = Field(
        default=0.95, gt=0, lt=1, description="recall@10 that the index must be able to reach"
    )
