"""Sources: where documents come from. One file a reader; `SourceConfig` is what a recipe may say of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field

from ..document import Document, Reject
from .files import FilesSource
from .huggingface import HuggingFaceSource
from .pydoc import PydocSource

__all__ = ["SourceConfig", "Unit"]

SourceConfig = Annotated[FilesSource | HuggingFaceSource | PydocSource, Field(discriminator="kind")]
