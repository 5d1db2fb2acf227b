"""Sources: where documents come from. One file a reader; `SourceConfig` is what a recipe may say of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from datastore.text import NORMAL_FORM

from ..document import Document, Reject
from . import files, huggingface, pydoc
from .bookmark import Bookmark
from .files import FilesSource, Inventory
from .huggingface import HuggingFaceSource
from .pydoc import PydocSource
from .unit import Unit

__all__ = ["Inventory", "SourceConfig", "Unit", "inventory", "parts", "read", "reader_version", "units"]

SourceConfig = Annotated[FilesSource | HuggingFaceSource | PydocSource, Field(discriminator="kind")]
# Each a module with `read(config, unit)`, `VERSION` and `units(config)`; files have `inventory(config)` instead, and read
# with a scratch folder. Those of large units have `parts(config, unit)`, and a bookmark that `read` moves on.
_READERS: dict[str, Any] = {"files": files, "huggingface": huggingface, "pydoc": pydoc}


def inventory(config: SourceConfig) -> Inventory:
    """What there is to read, sorted by name, and what will be passed over for want of a reader; no file is opened.

    Raises
    ------
    NotFoundError
        If the source's place does not exist or holds nothing that can be read.
    """
    found = (
        files.inventory(config)
        if config.kind == "files"
        else Inventory(_READERS[config.kind].units(config), {})
    )
    return found._replace(units=sorted(found.units, key=_order))


def parts(config: SourceConfig, unit: Unit) -> list[Unit]:
    """One unit in bounded parts, in order, itself where it is small or cannot be cut.

    Of a large file of JSON lines or WARC it takes one reading of the file: workers can share it out. Of a dataset on the
    hub it takes a look at which files it has.
    """
    return [unit] if config.kind == "pydoc" else _READERS[config.kind].parts(config, unit)


def units(config: SourceConfig, cut: Callable[[SourceConfig, Unit], list[Unit]] = parts) -> list[Unit]:
    """The `inventory` in `parts`, sorted by name and start.

    Parameters
    ----------
    cut
        Gives a unit's parts, as `parts` does.

    Raises
    ------
    NotFoundError
        See `inventory`.
    """
    return [part for unit in inventory(config).units for part in cut(config, unit)]


def _order(unit: Unit) -> tuple[str, str]:
    return unit.name, unit.place


def read(
    config: SourceConfig, unit: Unit, scratch: Path | None = None, bookmark: Bookmark | None = None
) -> Iterator[Document | Reject]:
    """The documents of one unit and what was set aside, in the order of the input.

    Ends after `limit` documents; rejects do not count.

    Parameters
    ----------
    scratch
        A folder for files that are gone when this ends, of a reader that sorts; None: that of temporary files.
    bookmark
        Where to go on; behind each record it stands behind it.
    """
    bookmark = bookmark or Bookmark()
    if bookmark.documents == config.limit:
        return
    again, bookmark.again = bookmark.again, 0
    items = _items(config, unit, scratch, bookmark)
    with closing(items):  # scratch files go now, not when the memory is tidied
        for number, item in enumerate(items):
            bookmark.again += 1
            if number < again:
                continue
            bookmark.documents += isinstance(item, Document)
            yield item
            if bookmark.documents == config.limit:
                return


def _items(config: SourceConfig, unit: Unit, scratch: Path | None, bookmark: Bookmark) -> Any:
    rest = unit if bookmark.part is None else unit._replace(part=bookmark.part)
    match config.kind:
        case "files":
            return files.read(config, rest, scratch, bookmark)
        case "huggingface":
            return huggingface.read(config, rest, bookmark)
        case "pydoc":
            return pydoc.read(config, rest)


def reader_version(config: SourceConfig, unit: Unit | None = None) -> str:
    """Changes whenever the same unit would give other documents; without a unit, what all of its source share."""
    version = f"{config.kind} {_READERS[config.kind].VERSION}, normal form {NORMAL_FORM}"
    if config.kind != "files" or unit is None:
        return version
    return f"{version}, {files.version(config, unit)}"
