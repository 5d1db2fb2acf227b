"""turbovec: exhaustive scan of 4- or 2-bit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, blocks, sample

PACKAGES = ("turbovec",)

SETUPS = {
    "turbovec 4 bit": Setup(
        {"bits": 4}, [Point(0, count) for count in (10, 12, 15, 20, 30, 40)], rescored=True
    ),
    "turbovec 2 bit": Setup(
        {"bits": 2}, [Point(0, count) for count in (15, 20, 30, 40, 60, 100)], rescored=True
    ),
}

_CALIBRATION_ROWS = 10_000


def build(vectors: NDArray[np.float16], folder: Path, *, bits: int) -> None:
    from turbovec import TurboQuantIndex

    index = TurboQuantIndex(dim=vectors.shape[1], bit_width=bits)
    index.calibrate(sample(vectors, _CALIBRATION_ROWS))
    for block in blocks(vectors):
        index.add(block)
    index.write(str(folder / "index.tv"))


def open_engine(folder: Path) -> Propose:
    from turbovec import TurboQuantIndex

    index = TurboQuantIndex.load(str(folder / "index.tv"))
    index.prepare()

    def propose(queries: NDArray[np.float32], _: int, count: int) -> NDArray[np.int64]:
        return np.asarray(index.search(queries, count)[1], dtype=np.int64)

    return propose
