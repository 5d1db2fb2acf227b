"""What the features of a recipe cost a passage: those of a sample are made for real, and thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datastore import CompendiaError
from datastore.kinds import kind_module, text_of
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
    module = kind_module(config.kind)
    try:
        module.fingerprint(config, fetch=False)  # what it loads is not what a passage costs
    except CompendiaError:
        return None
    # Without an encoder all of them: words that are new in every one of a few passages would count too much.
    has_encoder = getattr(config, "encoder", None) is not None
    sample = passages[:: max(1, len(passages) // _ENCODED)][:_ENCODED] if has_encoder else passages
    if not sample:
        return None
    given = sample if getattr(module, "needs", "texts") == "passages" else [text_of(one) for one in sample]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        module.write(Path(folder), list(given), config, threads=available_cores())
        seconds = time.perf_counter() - started
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return FeatureCost(config.name, size / len(sample), seconds / len(sample))
