"""What one query costs, by a model and never by the clock: the same index gets the same numbers wherever it is built.

Microseconds are those of one core of an AMD EPYC (Zen 5), page cache warm, one query at a time; on other machines the
ratios hold better than they do. t = choosing what to scan + codes scanned · cost of a code + candidates · cost of an exact
row. What was measured at 384 dimensions is scaled by the bytes touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Any

_MEASURED_DIMENSION = 384

# A row of float16, gathered from the memory map and scored: 1,000 in 158 us, 100,000 sorted ones in 15 ms.
_WARM_ROW_US = 0.16
_SCANNED_ROW_US = 0.155  # in order: converting to sum in float64 takes the time, not reading
_COLD_ROW_US = 16.0  # one 4 KiB page a row, all asked for at once
_PROJECTION_US = 0.00014  # of a query, for each element of the matrix

_CENTROID_US = 0.012  # one inner product of the coarse step: 4-bit codes propose, float16 decides
_TURBOVEC_CODE_US = 0.0039  # of 4 bits, at the speed of memory; of 2 bits no less, limited by arithmetic
_FAISS_FLAT_CODE_US = {2: 0.016, 4: 0.016, 8: 0.027}
_PQ_CODE_US, _PQ_SUBQUANTIZER_US = 0.006, 0.0000235  # fast scan: 8.3 ns with 96 subquantizers, 10.5 with 192
_PQ_TABLE_US = 0.00045  # 8 bits, for each subquantizer: 22 ns with 48, 46 with 96, 80 with 192
# 1 bit at a million, the others by their ratio to it at 40,000.
_RABITQ_CODE_US = {1: 0.0225, 2: 0.0225, 3: 0.031, 4: 0.031}
# HNSW with 16 links over 250,000 rows: effort 128 in 268 us with decoded codes; as bytes on huge pages 1.5 times faster.
_VISIT_US = 1.4
_VISIT_ROWS, _VISIT_LINKS = 250_000, 16


def query_us(
    family: str,
    parameters: Mapping[str, Any],
    rows: int,
    dimension: int,
    effort: int | None,
    candidates: int,
    *,
    cold_share: float = 0.0,
) -> float:
    """Microseconds of one query: candidates from the index, then their exact scores.

    `cold_share` is the part of the exact vectors that is not in the page cache.
    """
    if family == "exact":
        return exact_scan_us(rows, dimension)
    exact_us = exact_rows_us(candidates, dimension, cold_share=cold_share)
    reduction = parameters.get("reduction")
    if reduction is not None:
        kept = int(reduction["dimension"])
        exact_us += _PROJECTION_US * dimension * kept
        dimension = kept
    return exact_us + _index_us(family, parameters, rows, dimension, effort, candidates)


def exact_rows_us(rows: int, dimension: int, *, cold_share: float = 0.0) -> float:
    """Microseconds to gather this many exact vectors and score them."""
    warm_us = _WARM_ROW_US * dimension / _MEASURED_DIMENSION
    return rows * (warm_us * (1 - cold_share) + max(_COLD_ROW_US, warm_us) * cold_share)


def exact_scan_us(rows: int, dimension: int) -> float:
    """Microseconds to score all exact vectors in order."""
    return rows * _SCANNED_ROW_US * dimension / _MEASURED_DIMENSION


def _index_us(
    family: str,
    parameters: Mapping[str, Any],
    rows: int,
    dimension: int,
    effort: int | None,
    candidates: int,
) -> float:
    scale = dimension / _MEASURED_DIMENSION
    if family == "flat":
        if parameters.get("engine") == "turbovec":
            return rows * _TURBOVEC_CODE_US * scale
        return rows * _FAISS_FLAT_CODE_US[int(parameters["bits"])] * scale
    assert effort is not None, f"{family} has efforts"
    if family == "hnsw_sq8":
        visits = max(effort, candidates) * int(parameters.get("links", _VISIT_LINKS)) / _VISIT_LINKS
        return visits * _VISIT_US * scale * log(max(rows, 2)) / log(_VISIT_ROWS)
    lists = int(parameters.get("lists") or 4 * sqrt(rows))
    scanned = rows * min(effort, lists) / lists
    return lists * _CENTROID_US * scale + scanned * _listed_code_us(family, parameters, dimension)


def _listed_code_us(family: str, parameters: Mapping[str, Any], dimension: int) -> float:
    if family == "ivf_pq":
        subquantizers = int(parameters.get("subquantizers") or dimension / 2)
        if parameters.get("bits") == 8:
            return subquantizers * _PQ_TABLE_US
        return _PQ_CODE_US + subquantizers * _PQ_SUBQUANTIZER_US
    return _RABITQ_CODE_US[int(parameters.get("bits", 3))] * dimension / _MEASURED_DIMENSION
