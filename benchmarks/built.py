"""Indexes that benchmarks build once and keep, and the vectors that they are over."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from engines import MODULES, Setup, import_engine
from measure import folder_bytes, isolated
from million import DEFAULT, PREFIX_ROWS, exact_neighbours
from numpy.typing import NDArray
from ours import MODULE as OURS

from datastore.machine import available_cores

CACHE = DEFAULT.parent / "built"


class Data(NamedTuple):
    vectors: NDArray[np.float16]  # (n, d), mapped
    queries: NDArray[np.float32]  # (m, d)
    truth: NDArray[np.int64]  # (m, 10) true rows


def load_setups() -> dict[str, tuple[str, Setup]]:
    """Every setup by name, ours first, with the module it is of."""
    return {
        name: (module, setup)
        for module in (OURS, *MODULES)
        for name, setup in import_module(module).SETUPS.items()
    }


def load_queries(folder: Path) -> NDArray[np.float32]:
    queries: NDArray[np.float16] = np.load(folder / "queries.f16.npy", allow_pickle=False)
    return queries.astype(np.float32)


def load_data(folder: Path, rows: int) -> Data:
    """The first `rows` vectors of what benchmarks/million.py wrote into `folder`."""
    everything = np.load(folder / "passages.f16.npy", mmap_mode="r", allow_pickle=False)
    queries = load_queries(folder)
    truths = {len(everything): "truth.npy", PREFIX_ROWS: "truth-250k.npy"}
    truth = (
        np.load(folder / truths[rows], allow_pickle=False)[:, :10]
        if rows in truths
        else exact_neighbours(everything[:rows], queries, 10)
    )
    return Data(everything[:rows], queries, truth)


def build(module: str, setup: Setup, data: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Build an engine's index into `folder`; what that took."""
    vectors = np.load(data / "passages.f16.npy", mmap_mode="r", allow_pickle=False)[:rows]
    started = time.perf_counter()
    import_engine(module).build(vectors, folder, **setup.parameters)
    return {
        "build_s": round(time.perf_counter() - started, 1),
        "build_peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "build_cores": available_cores(),
        "build_load_before": round(os.getloadavg()[0], 2),
        "disk_bytes_per_vector": round(folder_bytes(folder) / rows, 1),
    }


def built(
    name: str, module: str, setup: Setup, data: Path, rows: int, cache: Path, limit_s: float | None = None
) -> tuple[Path, dict[str, Any]]:
    """The folder of a setup's index over the first `rows` vectors, built on all cores if it is not there, and the facts.

    Raises
    ------
    FailedError
        If building failed or took longer than `limit_s`.
    """
    folder = cache / str(rows) / re.sub(r"\W+", "-", name).lower()
    done = folder.with_suffix(".json")
    parameters = dict(setup.parameters)
    if not done.exists() or json.loads(done.read_text(encoding="utf-8"))["parameters"] != parameters:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"building {name} over {rows:,} rows", flush=True)
        took = isolated(build, module, setup, data, rows, folder, cores=available_cores(), limit_s=limit_s)
        done.write_text(json.dumps({"parameters": parameters, **took}), encoding="utf-8")
    facts: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return folder, facts
