"""Models that are files: where an installed package keeps them, and which weights they are."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import xxhash


def installed_folder(package: str) -> Path | None:
    """The folder of an installed package, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((Path(folder) for folder in folders), None)


def weights_revision(place: str, patterns: str | Sequence[str], commit: str | None) -> str:
    """The hub's commit of a model, or for a folder a hash of its files that fit one of the patterns."""
    if not Path(place).is_dir():
        return commit or "unknown"
    digest = xxhash.xxh3_64()
    several = [patterns] if isinstance(patterns, str) else patterns
    for file in sorted({file for pattern in several for file in Path(place).rglob(pattern)}):
        with file.open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    return f"xxh3:{digest.hexdigest()}"
