"""Which edges a graph has, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

EdgeKind = Literal["title", "link", "own", "knn", "entity", "sequence"]
EDGE_KINDS: tuple[EdgeKind, ...] = get_args(EdgeKind)


class Config(BaseModel):
    """A graph of passages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["graph"] = "graph"
    name: str = "graph"
    titles: bool = Field(default=True, description="Edges to the documents whose titles a passage mentions")
    links: str | None = Field(
        default="links",
        description="The key of the metadata that names other passages or documents, by id or title",
    )
    own: str | None = Field(
        default=None, description="A .tsv or .jsonl file of edges: source, relation, target and weight"
    )
    sequence: bool = Field(default=True, description="Weak edges between passages that follow each other")
    knn: int = Field(default=0, ge=0, le=64, description="Edges to so many of the nearest passages")
    entities: bool = Field(default=False, description="Edges between passages that share a rare name")

    def rooted(self, root: Path) -> Config:
        """With its file where it lies, seen from `root`: a store outlives the folder that it was asked for from."""
        return self.model_copy(update={"own": str(root / Path(self.own).expanduser())}) if self.own else self
