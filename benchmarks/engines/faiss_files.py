"""What the faiss engines share: training, filling and keeping an index of the library's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from . import blocks, sample

_FILE = "index.faiss"


def fill(index: Any, vectors: NDArray[np.float16], training_rows: int, folder: Path) -> None:
    """Train an empty index on a sample, add all vectors and write it."""
    index.train(sample(vectors, training_rows))
    for block in blocks(vectors):
        index.add(block)
    faiss.write_index(index, str(folder / _FILE))


def read(folder: Path) -> Any:
    """The index in a folder, for one thread."""
    faiss.omp_set_num_threads(1)
    return faiss.read_index(str(folder / _FILE))
