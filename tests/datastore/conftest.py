from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datastore.index.config import IndexConfig

SCRIPT = Path(__file__).with_name("crash_writer.py")
FLAT = IndexConfig(family="flat", parameters={"bits": 8, "engine": "faiss"})

Elsewhere = Callable[..., int]


@pytest.fixture
def writer(monkeypatch) -> ModuleType:
    """The functions of crash_writer.py, with thresholds as small as there."""
    specification = importlib.util.spec_from_file_location("crash_writer", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "crash_writer", module)
    specification.loader.exec_module(module)
    for owner, name in module.THRESHOLDS:
        monkeypatch.setattr(owner, name, getattr(owner, name))  # given back afterwards
    module.shrink_thresholds()
    return module


@pytest.fixture
def store_path(writer, tmp_path) -> Path:
    """A store of 200 rows in two segments, indexed."""
    path = tmp_path / "store"
    writer.create(path, FLAT)
    writer.perform(path, {"name": "add", "seed": 1, "rows": 200})
    return path


@pytest.fixture(scope="session")
def _server() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def elsewhere(_server) -> Elsewhere:
    """`elsewhere(store, operation, crash_point)`: make a change in another process; how that process ended."""

    def change(path: Path, operation: dict[str, Any], point: str = "") -> int:
        _server.stdin.write(json.dumps({"store": str(path), "operation": operation, "point": point}) + "\n")
        _server.stdin.flush()
        return int(_server.stdout.readline())

    return change
