"""What a store holds and what it costs, without loading an encoder."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .dense_part import DensePart
from .errors import IntegrityError, NotFoundError
from .index.dense.intrinsic_dimension import estimate
from .lookup import hash_ids
from .store import Datastore

_ROWS_FOR_AN_ESTIMATE = 1_000
SCHEMA = "compendia.info/1"
_KINDS = {  # of a segment's files
    "passages.arrow": "text",
    "metadata.parquet": "metadata",
    "passage_ids.npy": "lookups",
    "document_ids.npy": "lookups",
    "dedup.npy": "lookups",
    "vectors.npy": "vectors",
    "exact_vectors.npy": "vectors",
}


def describe(store: Datastore) -> dict[str, Any]:
    """Passages, documents, bytes in RAM and on disk by component, sources, encoder and indexes; JSON-able."""
    manifest = store.manifest
    disk, ram = _disk_bytes(store), store.ram_bytes
    account = read_account(store) if manifest.build is not None else None
    return {
        "schema": SCHEMA,
        "path": str(store.path),
        "version": store.version,
        "passages": len(store),
        "deleted": store.snapshot.rows - len(store),
        "documents": _documents(store),
        "dimension": manifest.dimension,
        "bytes": {
            "ram": {**ram, "total": sum(ram.values())},
            "disk": {**disk, "total": sum(disk.values())},
        },
        "sources": {name: _source(funnel) for name, funnel in account["sources"].items()} if account else {},
        "metric": manifest.metric,
        "intrinsic_dimension": _intrinsic_dimension(store),
        "encoder": manifest.encoder.fingerprint.model_dump() if manifest.encoder else None,
        "exact_encoder": manifest.exact_encoder.fingerprint.model_dump() if manifest.exact_encoder else None,
        "features": [
            {
                "name": feature.name,
                "kind": feature.kind,
                "config": feature.config,
                "indexes": [index.id for index in feature.indexes],
            }
            for feature in manifest.features
        ],
        "indexes": [
            {
                "id": index.id,
                "kind": index.kind,
                "family": index.family,
                "parameters": index.parameters,
                "rows": index.rows,
                "recall": _recall(part),
            }
            for index, part in zip(manifest.indexes, store.snapshot.parts, strict=True)
        ],
        "build": {
            **{key: account[key] for key in ("finished", "executor", "seconds")},
            # What was added, changed or deleted by hand afterwards is not in the sources above.
            "changed_since": manifest.recipe_hash is None,
        }
        if account
        else None,
    }


def _disk_bytes(store: Datastore) -> dict[str, int]:
    """What the open version needs, by kind; then all else that is in the folder."""
    manifest = store.manifest
    disk: Counter[str] = Counter()
    for segment in manifest.segments:
        for name, entry in segment.files.items():
            disk[_KINDS.get(name, "other")] += entry.bytes
        for feature in manifest.features:
            disk[feature.name] += sum(entry.bytes for entry in segment.features[feature.id].values())
        if segment.deletes is not None:
            disk["deletes"] += segment.deletes.bytes
    disk["indexes"] = sum(entry.bytes for index in manifest.all_indexes for entry in index.files.values())
    if manifest.calibration is not None:
        disk["calibration"] = manifest.calibration.bytes
    data = sum(
        _folder_bytes(store.path / part)
        for part in ("segments", "features", "indexes", "deletes", "calibration")
    )
    disk["other versions"] = max(data - disk.total(), 0)
    disk["other"] += max(_folder_bytes(store.path) - data, 0)  # manifests, accounts of builds, work under way
    return dict(disk)


def _folder_bytes(folder: Path) -> int:
    """Of all files in it; what a writer removes meanwhile does not count."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _documents(store: Datastore) -> int:
    """Documents of which a passage is left."""
    manifest, catalog = store.manifest, store.snapshot.catalog
    as_built = manifest.build is not None and manifest.recipe_hash is not None
    if catalog.live is None and (as_built or len(manifest.segments) < 2):
        return sum(segment.documents for segment in manifest.segments)
    # Rows that were added may belong to documents of other segments. Eight bytes a row, not its strings.
    hashes = [
        hash_ids([*map("\0".join, zip(*map(segment.read_column, ("source", "document_id")), strict=True))])
        for segment in catalog.segments
    ]
    if not hashes:
        return 0
    found = np.concatenate(hashes)
    return len(np.unique(found if catalog.live is None else found[catalog.live]))


def _intrinsic_dimension(store: Datastore) -> float | None:
    """Of the vectors, from a sample; None where there are too few to tell."""
    if store.snapshot.rows < _ROWS_FOR_AN_ESTIMATE:
        return None
    found = estimate(store.snapshot.sequential_vectors(), seed=0)
    return round(found, 1) if math.isfinite(found) else None  # of vectors that are all the same


def _recall(part: DensePart) -> dict[str, Any] | None:
    """How well the index can find the true ten, and what that was measured with."""
    if part.curve is None:
        return None
    best = part.curve.best(10)
    return {
        "source": part.curve.source,
        "queries": part.curve.queries,
        "best_recall_at_10": best.recall,
    }


def _source(funnel: dict[str, Any]) -> dict[str, Any]:
    return {key: funnel[key] for key in ("records", "dropped", "documents", "passages")}


def read_account(store: Datastore) -> dict[str, Any]:
    """The account of the build that made the store's version."""
    path = _account_path(store, ".json")
    try:
        account: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise IntegrityError(f"the account of build {store.manifest.build} cannot be read: {path}") from error
    return account


def read_rejects(store: Datastore) -> Iterator[dict[str, Any]]:
    """The kept sample of what the build set aside: source, reason, location, document_id, detail, sample."""
    path = _account_path(store, ".rejects.jsonl")
    try:
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (FileNotFoundError, ValueError) as error:
        raise IntegrityError(f"the rejects of build {store.manifest.build} cannot be read: {path}") from error


def _account_path(store: Datastore, suffix: str) -> Path:
    if store.manifest.build is None:
        raise NotFoundError(
            f"{store.path} was not built from a recipe or a folder of texts: it has no account of a build"
        )
    return store.path / "builds" / f"{store.manifest.build}{suffix}"
