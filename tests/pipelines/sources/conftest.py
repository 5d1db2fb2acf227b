from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.document import Document, Reject
from pipelines.sources import read, units
from pipelines.sources.files import FilesSource

ReadFiles = Callable[..., list[Document | Reject]]


@pytest.fixture
def read_files() -> ReadFiles:
    """`read_files(path, **config)`: all that a files source gives, unit by unit."""

    def read_all(path: Path, **config: object) -> list[Document | Reject]:
        source = FilesSource.model_validate({"name": "test", "path": str(path), **config})
        return [item for unit in units(source) for item in read(source, unit)]

    return read_all
