"""The files of an index: .npy arrays, checked as they are opened."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import IntegrityError


def load_array(path: Path, dtype: DTypeLike, dimensions: int) -> NDArray[Any]:
    """A memory-mapped array in C order.

    Raises
    ------
    IntegrityError
        If it is absent, cut short, or not of this type and number of dimensions.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (
        OSError,
        ValueError,
        EOFError,
        SyntaxError,
        TokenError,
    ) as error:  # a header is parsed as Python literals
        raise damaged(path.parent) from error
    if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
        raise damaged(path.parent)
    return array


def damaged(folder: Path) -> IntegrityError:
    """The error for files of an index that are not what was written."""
    return IntegrityError(
        f"the index {folder} cannot be read", hint=f"compendia verify {folder.absolute().parents[1]}"
    )
