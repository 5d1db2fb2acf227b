"""The files of an index: .npy arrays, checked as they are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike, NDArray

from ...arrays import read_array
from ...errors import IntegrityError


def load_array(path: Path, dtype: DTypeLike, dimensions: int) -> NDArray[Any]:
    """A memory-mapped array in C order.

    Raises
    ------
    IntegrityError
        If it is absent, cut short, or not of this type and number of dimensions.
    """
    try:
        return read_array(path, (None,) * dimensions, dtype, mapped=True)
    except (OSError, ValueError) as error:
        raise damaged(path.parent) from error


def damaged(folder: Path) -> IntegrityError:
    """The error for files of an index that are not what was written."""
    return IntegrityError(
        f"the index {folder} cannot be read", hint=f"compendia verify {folder.absolute().parents[1]}"
    )
