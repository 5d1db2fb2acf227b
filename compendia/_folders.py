"""Compendia's folders have common names: each is checked, when it is first needed, to be ours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def check(folder: str) -> None:
    """Make sure that importing `folder` gives the package beside this one; imports nothing.

    Raises
    ------
    ImportError
        If the name resolves to something else: it names the file that is in the way.
    """
    ours = Path(__file__).resolve().parents[1] / folder
    found = _file_of(folder)
    if found is None:
        raise ImportError(
            f"Compendia's package {folder!r} cannot be found, it should be {ours}\n  pip install --force-reinstall compendia",
            name=folder,
        )
    if Path(found).resolve().parent != ours:
        raise ImportError(
            f"{found} hides Compendia's package of the same name, {ours}\n"
            f"  rename {_what_to_rename(Path(found))}, or run from another folder, or with `python -P`",
            name=folder,
            path=found,
        )


def require(folder: str) -> ModuleType:
    """Import one of Compendia's folders.

    Raises
    ------
    ImportError
        See `check`.
    """
    check(folder)
    return importlib.import_module(folder)


def _file_of(name: str) -> str | None:
    """The file that stands, or would be imported, for a top-level name; None: there is none."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.origin


def _what_to_rename(file: Path) -> Path:
    return file.parent if file.name == "__init__.py" else file
