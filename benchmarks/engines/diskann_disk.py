"""DiskANN (the Rust engine): a Vamana graph and float32 vectors on disk, product-quantised codes in RAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup

PACKAGES = ("diskannpy",)

SETUPS = {
    "DiskANN": Setup(
        {"degree": 32, "complexity": 64, "code_bytes": 96},
        [Point(effort, 10) for effort in (12, 16, 24, 32, 64, 128, 256)],
        rescored=False,
    )
}

_CACHED_SHARE = 0.05  # of the nodes, breadth first from the entry point


def build(
    vectors: NDArray[np.float16], folder: Path, *, degree: int, complexity: int, code_bytes: int
) -> None:
    import diskannpy

    diskannpy.build_disk_index(
        np.asarray(vectors, dtype=np.float32),
        distance_metric="l2",
        index_directory=str(folder),
        complexity=complexity,
        graph_degree=degree,
        build_memory_maximum=8.0,
        num_threads=0,
        num_of_pq_chunks=code_bytes,
    )
    # The engine's own copy of the input, which searching does not need.
    (folder / "ann_vectors.bin").unlink(missing_ok=True)
    (folder / "rows").write_text(str(len(vectors)), encoding="utf-8")


def open_engine(folder: Path) -> Propose:
    import diskannpy

    rows = int((folder / "rows").read_text(encoding="utf-8"))
    index = diskannpy.StaticDiskIndex(
        str(folder), num_threads=1, beam_width=4, num_nodes_to_cache=int(_CACHED_SHARE * rows)
    )

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        if len(queries) == 1:
            found = index.search(queries[0], k_neighbors=count, complexity=effort)
        else:
            found = index.batch_search(queries, k_neighbors=count, complexity=effort, num_threads=1)
        return np.asarray(found.identifiers, dtype=np.int64).reshape(len(queries), count)

    return propose
