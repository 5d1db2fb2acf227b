"""Sources: where documents come from. One file a reader; `SourceConfig` is what a recipe may say of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from ..document import Document, Reject
from . import files, huggingface, pydoc
from .files import FilesSource
from .huggingface import HuggingFaceSource
from .pydoc import PydocSource
from .unit import Unit

__all__ = ["SourceConfig", "Unit", "read", "reader_version", "units"]

SourceConfig = Annotated[FilesSource | HuggingFaceSource | PydocSource, Field(discriminator="kind")]
# Each a module with `units(config)`, `read(config, unit)` and `VERSION`.
_READERS: dict[str, Any] = {"files": files, "huggingface": huggingface, "pydoc": pydoc}


def units(config: SourceConfig) -> list[Unit]:
    """What there is to read, sorted by name.

    Raises
    ------
    NotFoundError
        If the source's place does not exist or holds nothing that can be read.
    """
    return sorted(_READERS[config.kind].units(config))


def read(config: SourceConfig, unit: Unit) -> Iterator[Document | Reject]:
    """The documents of one unit and what was set aside, in the order of the input.

    Ends after `limit` documents; rejects do not count.
    """
    documents = 0
    for item in _READERS[config.kind].read(config, unit):
        yield item
        documents += isinstance(item, Document)
        if documents == config.limit:
            return


def reader_version(config: SourceConfig) -> int:
    """Raised whenever the same input would give other documents."""
    version: int = _READERS[config.kind].VERSION
    return version
