"""What the features of a recipe cost a passage: those of a sample are made for real, and thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datastore import CompendiaError
from datastore.kinds import kind_module, write_feature
from datastore.machine import available_cores
from datastore.segment import Passage

_ENCODED = 32


class FeatureCost(NamedTuple):
    """Of one passage; an index over segments, as a graph's or Seismic's, comes on top."""

    name: str
    bytes: float  # on disk
    seconds: float


def feature_costs(configs: Sequence[Any], passages: Sequence[Passage]) -> list[FeatureCost]:
    """The cost of each feature that can be made here; one whose encoder is not here is left out."""
    return [cost for config in configs if (cost := _cost(config, passages)) is not None]


def _cost(config: Any, passages: Sequence[Passage]) -> FeatureCost | None:
    try:
        kind_module(config.kind).fingerprint(config, fetch=False)  # what it loads is not what a passage costs
    except CompendiaError:
        return None
    # Without an encoder all of them: words that are new in every one of a few passages would count too much.
    has_encoder = getattr(config, "encoder", None) is not None
    sample = passages[:: max(1, len(passages) // _ENCODED)][:_ENCODED] if has_encoder else passages
    half = len(sample) // 2
    if not half:
        return None
    (few, _), (many, seconds) = (_make(config, part) for part in (sample[:half], sample))
    # Of files as of tables of terms, a part does not grow with the passages.
    return FeatureCost(config.name, (many - few) / (len(sample) - half), seconds / len(sample))


def _make(config: Any, passages: Sequence[Passage]) -> tuple[int, float]:
    """Bytes and seconds of the feature of these passages."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_feature(Path(folder), config, passages, threads=available_cores())
        seconds = time.perf_counter() - started
        return sum(file.stat().st_size for file in Path(folder).iterdir()), seconds
