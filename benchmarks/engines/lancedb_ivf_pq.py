"""LanceDB: IVF_PQ with its own refinement from float32 vectors on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Point, Propose, Setup, blocks, lists_for

PACKAGES = ("lancedb", "pyarrow")

# Refinement multiplies: candidates / 10 is the refine factor, and ten rows come back.
SETUPS = {
    "LanceDB IVF_PQ d/4": Setup(
        {"divisor": 4},
        [
            Point(8, 50),
            Point(16, 50),
            Point(16, 100),
            Point(32, 100),
            Point(64, 100),
            Point(128, 150),
            Point(256, 200),
        ],
        rescored=False,
    )
}


def build(vectors: NDArray[np.float16], folder: Path, *, divisor: int) -> None:
    import lancedb
    import pyarrow as pa

    rows, dimension = vectors.shape
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dimension))])

    def batches() -> Any:
        start = 0
        for block in blocks(vectors):
            ids = pa.array(np.arange(start, start + len(block)))
            start += len(block)
            yield pa.record_batch(
                [ids, pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dimension)], schema=schema
            )

    table = lancedb.connect(str(folder)).create_table("vectors", batches(), schema=schema)
    table.create_index(
        metric="dot",
        vector_column_name="vector",
        index_type="IVF_PQ",
        num_partitions=lists_for(rows),
        num_sub_vectors=dimension // divisor,
    )


def open_engine(folder: Path) -> Propose:
    os.environ["LANCE_LOG"] = os.environ["RUST_LOG"] = "error"  # else a warning a query, on stderr
    import lancedb

    table = lancedb.connect(str(folder)).open_table("vectors")

    def propose(queries: NDArray[np.float32], effort: int, count: int) -> NDArray[np.int64]:
        asked: Any = queries[0] if len(queries) == 1 else list(queries)
        query = table.search(asked, vector_column_name="vector").distance_type("dot").nprobes(effort)
        found = query.refine_factor(count // 10).limit(10).select(["id", "_distance"]).to_arrow()
        ids: NDArray[np.int64] = found["id"].to_numpy()
        if len(queries) == 1:
            return ids.reshape(1, -1)
        rows = np.full((len(queries), 10), -1, dtype=np.int64)
        numbers = found["query_index"].to_numpy()
        for number in range(len(queries)):
            own = ids[numbers == number]
            rows[number, : len(own)] = own
        return rows

    return propose
