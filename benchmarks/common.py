"""What every benchmark shares: where it ran, how times are summed up, where the result goes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from datastore.machine import available_cores

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores, Python, and the kernels that NumPy's BLAS picked."""
    from threadpoolctl import threadpool_info

    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": available_cores(),
        "python": platform.python_version(),
        "packages": {
            name: version(name)
            for name in ("numpy", "numkong", "pyarrow", "faiss-cpu", "torch", "sentence-transformers")
        },
        "blas": sorted(
            {f"{pool['internal_api']} {pool.get('architecture', '')}".strip() for pool in threadpool_info()}
        ),
        "load_before": round(os.getloadavg()[0], 2),
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    median, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return {"median_ms": round(float(median), 3), "p99_ms": round(float(p99), 3)}


def save(name: str, result: dict[str, Any]) -> None:
    """Print a result and keep it in benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
