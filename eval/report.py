"""What every report says of the store that it measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from datastore import Datastore


@dataclass(frozen=True)
class StoreDescription:
    """Enough to tell whether two reports measured the same store."""

    path: str
    version: int
    build: str  # a hash of the recipe and of every segment
    encoder: str

    @classmethod
    def of(cls, store: Datastore) -> StoreDescription:
        manifest = store.manifest
        return cls(str(store.path), manifest.version, manifest.build, manifest.encoder.model)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
