"""What a store will cost, before any work: RAM and disk by component, time of a query, time and RAM of the build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from ..index.config import IndexConfig
from ..index.dense import Plan
from ..index.dense.kmeans import sample_rows
from ..index.dense.vectors import Metric
from ..segment import StoredType
from .costs import exact_rows_us, exact_scan_us, query_us
from .expected import Expected, expect, searched_dimension
from .planner import footprint, plan_index, store_ram_bytes

# Of 9,062 passages of SciFact, about 150 words each: LZ4 text 614, metadata 36.
PASSAGE_BYTES = 650.0
_READ_BYTES_PER_US = 1_000  # from disk, in order
_LOOKUP_BYTES = 32  # hash and position, of the passage's id and of its document's

# Building, on two cores of an AMD EPYC (Zen 5).
_MULTIPLY_ADDS_PER_S = {"cosine": 1.7e11, "inner_product": 6.6e10, "l2": 6.6e10}  # bfloat16, else float32
_ITERATIONS = 8
_MEASURED_DIMENSION = 384
_MEASURED_GRAPH_ROWS = 250_000
_FAISS_ENCODE_US = {1: 2, 2: 13, 3: 23, 4: 25, 8: 0.6}  # RaBitQ codes; of 8 bits, scalar ones


@dataclass(frozen=True)
class StorePlan:
    """Bytes, seconds and microseconds are predictions; the recall holds until the index is measured."""

    rows: int
    dimension: int
    index: Plan | None
    ram_bytes: Mapping[str, int]  # by component, of the open store
    disk_bytes: Mapping[str, int]  # by component
    effort: int | None
    candidates: int
    recall: float  # recall@10
    cold_share: float | None  # of the exact vectors beyond the page cache; None: not known
    query_us: Mapping[str, Mapping[int, float]]  # "warm" and "cold", by batch size; each one query's share
    build_s: Mapping[str, float]  # by step, without embedding
    build_ram_bytes: int


def plan_store(
    rows: int,
    dimension: int,
    metric: Metric,
    config: IndexConfig,
    *,
    vectors: StoredType = "float16",
    passage_bytes: float = PASSAGE_BYTES,
    machine_ram_bytes: int | None = None,
) -> StorePlan:
    """The index that `plan_index` chooses, and what the store around it costs.

    Parameters
    ----------
    passage_bytes
        Text and metadata of a passage on disk.
    machine_ram_bytes
        What the index leaves of it caches exact vectors. None: not known.

    Raises
    ------
    OverBudgetError, UsageError
        As `plan_index`.
    """
    index = plan_index(rows, dimension, metric, config, machine_ram_bytes=machine_ram_bytes)
    cost = footprint(index, rows, dimension)
    ram = {**_index_ram(index, rows, dimension, cost.ram_bytes), **store_ram_bytes(rows)}
    vector_bytes = rows * dimension * (2 if vectors == "float16" else 4)
    setting = (
        Expected(None, min(10, rows), 1.0)
        if index is None
        else expect(index.family, index.parameters, rows, dimension, config.recall)
    )
    return StorePlan(
        rows=rows,
        dimension=dimension,
        index=index,
        ram_bytes=ram,
        disk_bytes={
            "vectors": vector_bytes,
            "text and metadata": round(rows * passage_bytes),
            "lookups": rows * _LOOKUP_BYTES,
            "index": cost.file_bytes,
        },
        effort=setting.effort,
        candidates=setting.candidates,
        recall=setting.recall,
        cold_share=None
        if machine_ram_bytes is None
        else 1 - min(1.0, max(0, machine_ram_bytes - sum(ram.values())) / vector_bytes),
        query_us={
            "warm": _query_us(index, rows, dimension, setting, 0, vector_bytes),
            "cold": _query_us(index, rows, dimension, setting, 1, vector_bytes),
        },
        build_s=_build_s(index, rows, dimension, metric),
        build_ram_bytes=cost.build_bytes,
    )


def _query_us(
    index: Plan | None,
    rows: int,
    dimension: int,
    setting: Expected,
    cold_share: float,
    vector_bytes: int,
) -> dict[int, float]:
    """Microseconds of one query, by the size of the batch it comes in."""
    if index is None:
        read_us = cold_share * vector_bytes / _READ_BYTES_PER_US
        return {batch: exact_scan_us(rows, dimension) + read_us / batch for batch in (1, 64)}
    exact_us = exact_rows_us(setting.candidates, dimension, cold_share=cold_share)
    index_us = query_us(index.family, index.parameters, rows, dimension, setting.effort, setting.candidates)
    index_us -= exact_rows_us(setting.candidates, dimension)
    return {1: index_us + exact_us, 64: index_us / _batch_gain(index) + exact_us}


def _index_ram(index: Plan | None, rows: int, dimension: int, total: int) -> dict[str, int]:
    """The index's bytes by component; they sum to `total`."""
    if index is None:
        return {}
    from ..index.dense.codebooks import half_of

    kept = searched_dimension(index.parameters, dimension)
    parts = {"projection": 4 * dimension * kept} if "reduction" in index.parameters else {}
    if "lists" in index.parameters:
        lists = min(int(index.parameters["lists"]), rows)
        # A row's ordinal; float16 centroids, and 4-bit codes of them.
        parts |= {"ids": 8 * rows, "centroids": lists * (2 * kept + half_of(kept) // 2)}
    if index.family == "hnsw_sq8":
        parts["graph"] = total - sum(parts.values()) - rows * kept
    return {"codes": total - sum(parts.values()), **parts}


def _build_s(index: Plan | None, rows: int, dimension: int, metric: Metric) -> dict[str, float]:
    if index is None:
        return {}
    kept = searched_dimension(index.parameters, dimension)
    encoding = rows * _encode_us(index, rows, kept, metric) / 1e6
    if "lists" not in index.parameters:
        return {"encode": encoding}
    lists = int(index.parameters["lists"])
    row_s = lists * kept / _MULTIPLY_ADDS_PER_S[metric]
    return {
        "k-means": _ITERATIONS * sample_rows(rows, kept, lists) * row_s,
        "assign": rows * row_s,
        "encode": encoding,
    }


def _encode_us(index: Plan, rows: int, dimension: int, metric: Metric) -> float:
    """Of one vector; measured at 384 dimensions."""
    scale = dimension / _MEASURED_DIMENSION
    if index.family == "hnsw_sq8":
        compared = int(index.parameters.get("construction_effort", 128))
        return 1.04 * compared * scale * log(max(rows, 2)) / log(_MEASURED_GRAPH_ROWS)
    bits = int(index.parameters["bits"])
    if index.family == "ivf_pq":
        # Each subquantizer compares its share of the vector with its centroids: 12 µs for 192 of 4 bits, 6 for 96.
        passes = 1 if metric == "l2" else 3  # `score_aware`
        return 2 * scale + passes * 0.0625 * int(index.parameters["subquantizers"]) * float(2**bits) / 16
    if index.parameters.get("engine", "faiss") == "faiss":
        return _FAISS_ENCODE_US[bits] * scale
    return 2.0 * bits * scale


def _batch_gain(index: Plan) -> float:
    """How many times less of the index's time a query takes among 64; one core, a million rows."""
    if index.family == "flat":
        return 6.2 if index.parameters["engine"] == "turbovec" else 1.0
    # 1.3 to 1.5 with 64 to 96 of 4,000 lists probed; more where more queries share a list.
    return 1.4 if index.family == "ivf_pq" and index.parameters["bits"] == 4 else 1.0


def as_json(plan: StorePlan) -> dict[str, Any]:
    """JSON-able, with the totals."""
    family, parameters = plan.index or Plan("exact", {})
    return {
        "schema": "compendia.plan/1",
        "passages": plan.rows,
        "dimension": plan.dimension,
        "family": family,
        "parameters": dict(parameters),
        "bytes": {
            "ram": {**plan.ram_bytes, "total": sum(plan.ram_bytes.values())},
            "disk": {**plan.disk_bytes, "total": sum(plan.disk_bytes.values())},
        },
        "effort": plan.effort,
        "candidates": plan.candidates,
        "recall": plan.recall,
        "cold_share": plan.cold_share,
        "query_us": {
            name: {f"batch_{size}": time for size, time in times.items()}
            for name, times in plan.query_us.items()
        },
        "build": {
            "seconds": {**plan.build_s, "total": sum(plan.build_s.values())},
            "ram_bytes": plan.build_ram_bytes,
        },
    }
