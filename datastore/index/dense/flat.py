"""Exhaustive scan of quantised codes: no training to speak of, no lost coverage, takes a mask.

Two engines. turbovec (TurboQuant, Zandieh et al. 2025, with RaBitQ's length correction) scans 2- and 4-bit codes at the
speed of memory. faiss scans 2- and 4-bit RaBitQ codes (Gao et al. 2025), which beat its 4-bit scalar quantiser in time
and recall at 10 % more bytes, and 8-bit scalar ones.
"""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError, optional_import
from ...hits import padded
from . import Candidates, DenseIndex, Footprint, Metric, Vectors
from .arrays import damaged, load_array
from .faiss_engine import metric_type, run_search, selector, view

Engine = Literal["turbovec", "faiss"]

_CODES_FILE = "codes.npy"
_TRAINED_FILE = "trained.npy"  # the mean of RaBitQ, the ranges of the scalar quantiser
_KIND_FILE = "kind.npy"  # bits and metric
_TURBOVEC_FILE = "codes.tv"
_TRAINING_ROWS = 65_536  # per-dimension ranges and means; more rows do not move them
_CALIBRATION_ROWS = 4_096
_BLOCK_ROWS = 16_384


def engine_for(dimension: int, metric: Metric, bits: int) -> Engine:
    """The engine to build with: turbovec where it is installed and takes such vectors, else faiss."""
    refused = _turbovec_refuses(dimension, metric, bits)
    return "turbovec" if not refused and importlib.util.find_spec("turbovec") else "faiss"


def build(vectors: Vectors, folder: Path, *, bits: int, engine: Engine = "faiss") -> None:
    """Write the codes of `vectors`: `bits` 2, 4 or (faiss) 8 a dimension.

    Raises
    ------
    UsageError
        If the engine has no such codes.
    MissingPackageError
        If the engine is not installed.
    """
    if engine == "turbovec":
        _build_turbovec(vectors, folder, bits)
    else:
        _build_faiss(vectors, folder, bits)


def _build_faiss(vectors: Vectors, folder: Path, bits: int) -> None:
    encoder = _empty_faiss(vectors.dimension, vectors.metric, bits)
    encoder.train(vectors.sample(_TRAINING_ROWS, seed=0))
    np.save(folder / _TRAINED_FILE, view(_trained(encoder)))
    np.save(folder / _KIND_FILE, np.array([bits, encoder.metric_type], dtype=np.int64))
    codes = np.lib.format.open_memmap(
        folder / _CODES_FILE, mode="w+", dtype=np.uint8, shape=(vectors.rows, encoder.code_size)
    )
    start = 0
    for block in vectors.blocks(_BLOCK_ROWS):
        codes[start : start + len(block)] = encoder.sa_encode(block)
        start += len(block)
    codes.flush()


def _build_turbovec(vectors: Vectors, folder: Path, bits: int) -> None:
    reason = _turbovec_refuses(vectors.dimension, vectors.metric, bits)
    if reason:
        raise UsageError(f"turbovec takes no {reason}", hint="engine: faiss")
    turbovec = optional_import("turbovec", extra="engines")
    index = turbovec.TurboQuantIndex(dim=vectors.dimension, bit_width=bits)
    if vectors.rows > 1:
        # Of vectors that are all but the same there is nothing to learn, and it refuses: it works without.
        with suppress(ValueError):
            index.calibrate(vectors.sample(_CALIBRATION_ROWS, seed=0))
    for block in vectors.blocks(_BLOCK_ROWS):
        index.add(np.ascontiguousarray(block), chunk_size=0)
    index.write(str(folder / _TURBOVEC_FILE))


def _turbovec_refuses(dimension: int, metric: Metric, bits: int) -> str:
    """What turbovec 1.1 cannot do; empty where it can do all."""
    if metric == "l2":
        return "l2: its scores are inner products"
    if bits not in (2, 4):
        return f"{bits} bits: it has codes of 2 and 4"
    if dimension % 8 or dimension > 16_384:
        return f"dimension {dimension}: it wants a multiple of 8, at most 16,384"
    return ""


def _empty_faiss(dimension: int, metric: Metric, bits: int) -> Any:
    if bits == 8:
        quantizer = faiss.ScalarQuantizer.QT_8bit
        return faiss.IndexScalarQuantizer(dimension, quantizer, metric_type(metric))
    if bits in (2, 4):
        return faiss.IndexRaBitQ(dimension, metric_type(metric), bits)
    raise UsageError(f"no flat codes of {bits} bits", hint="bits: 2, 4 or 8")


def _trained(index: Any) -> Any:
    return index.center if isinstance(index, faiss.IndexRaBitQ) else index.sq.trained


def footprint(rows: int, dimension: int, *, bits: int, engine: Engine = "faiss") -> Footprint:
    working = 4 * _TRAINING_ROWS * dimension + 8 * _BLOCK_ROWS * dimension
    if engine == "faiss":
        codes = rows * int(_empty_faiss(dimension, "cosine", bits).code_size)
        return Footprint(codes, codes + 8 * dimension, working)
    row_bytes = dimension * bits // 8 + 4  # codes and the correction of the length
    overhead = 29_000 + (264 * bits + 8) * dimension  # tables; fitted to the files of version 1.1
    # The first search lays out 4 more bytes a row; lists grow by doubling.
    ram = rows * (row_bytes + 4) + overhead
    return Footprint(ram, rows * row_bytes + overhead, 2 * ram + working)


def open_index(folder: Path) -> DenseIndex:
    """The index in `folder`, with the engine that wrote it.

    Raises
    ------
    IntegrityError
        If its files are damaged.
    MissingPackageError
        If turbovec wrote it and is not installed.
    """
    return TurbovecIndex(folder) if (folder / _TURBOVEC_FILE).exists() else FaissIndex(folder)


class FaissIndex:
    """Codes in RAM, scanned by faiss."""

    efforts: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        codes = load_array(folder / _CODES_FILE, np.uint8, 2)
        trained = load_array(folder / _TRAINED_FILE, np.float32, 1)
        numbers = load_array(folder / _KIND_FILE, np.int64, 1).tolist()
        if len(numbers) != 2 or numbers[0] not in (2, 4, 8) or numbers[1] not in (0, 1) or not len(trained):
            raise damaged(folder)
        bits, metric = numbers
        dimension = len(trained) // 2 if bits == 8 else len(trained)
        self._index = _empty_faiss(dimension, "l2" if metric == faiss.METRIC_L2 else "inner_product", bits)
        if codes.shape[1] != self._index.code_size or len(trained) != dimension * (2 if bits == 8 else 1):
            raise damaged(folder)
        faiss.copy_array_to_vector(np.array(trained), _trained(self._index))
        self._index.is_trained = True
        self._index.add_sa_codes(codes)

    @property
    def shape(self) -> tuple[int, int]:
        return self._index.ntotal, self._index.d

    @property
    def ram_bytes(self) -> int:
        return int(self._index.ntotal * self._index.code_size)

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,  # noqa: ARG002 (a scan has none to choose)
    ) -> Candidates:
        chosen = selector(mask)
        parameters = (
            faiss.RaBitQSearchParameters(qb=8, centered=False, sel=chosen)  # queries rounded to 8 bits
            if isinstance(self._index, faiss.IndexRaBitQ)
            else faiss.SearchParameters(sel=chosen)
        )
        return run_search(self._index, queries, candidates, parameters)


class TurbovecIndex:
    """Codes in RAM, scanned by turbovec: one thread a query, sound after a fork."""

    efforts: tuple[int, ...] = ()

    def __init__(self, folder: Path) -> None:
        turbovec = optional_import("turbovec", extra="engines")
        try:
            self._index = turbovec.TurboQuantIndex.load(str(folder / _TURBOVEC_FILE))
        except (ValueError, OSError) as error:
            raise damaged(folder) from error

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._index), self._index.dim

    @property
    def ram_bytes(self) -> int:
        return footprint(
            len(self._index), self._index.dim, bits=self._index.bit_width, engine="turbovec"
        ).ram_bytes

    def search(
        self,
        queries: NDArray[np.float32],
        candidates: int,
        mask: NDArray[np.bool_] | None = None,
        effort: int | None = None,  # noqa: ARG002 (a scan has none to choose)
    ) -> Candidates:
        scores, ordinals = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32),
            candidates,
            mask=None if mask is None else np.ascontiguousarray(mask),
        )
        return Candidates(*padded(ordinals, scores, candidates))
