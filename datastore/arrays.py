"""Reading .npy files that may come from a stranger: no pickle, and no header that is more than a shape and a type."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# What np.save writes for numbers. NumPy's own reader would evaluate the header as Python, which takes memory and raises
# whatever a tokeniser raises.
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z]\d)', 'fortran_order': False, 'shape': \((\d{1,18}(?:, \d{1,18})*),?\), \} *\n"
)
_MAGIC = b"\x93NUMPY\x01\x00"


def read_array(file: Path, shape: tuple[int, ...], dtype: DTypeLike, *, mapped: bool = False) -> NDArray[Any]:
    """The array in a file, or a memory map of it, which must have this shape and type, in C order.

    Raises
    ------
    ValueError
        If it holds anything else, or is cut off.
    OSError
        If it cannot be read.
    """
    wanted = np.dtype(dtype)
    with file.open("rb") as stream:
        start = stream.read(len(_MAGIC) + 2)
        length = int.from_bytes(start[len(_MAGIC) :], "little")
        header = _HEADER.fullmatch(stream.read(length)) if start.startswith(_MAGIC) else None
        if header is None:
            raise ValueError(f"{file.name} is no .npy file of numbers in C order")
        found = tuple(map(int, header[2].split(b", ")))
        if (found, header[1].decode()) != (shape, wanted.str):
            raise ValueError(f"{file.name}: expected {shape} {wanted.str}, got {found} {header[1].decode()}")
        size, count = os.fstat(stream.fileno()).st_size - stream.tell(), math.prod(shape)
        if size != count * wanted.itemsize:
            raise ValueError(f"{file.name} has {size} bytes of numbers instead of {count * wanted.itemsize}")
        if mapped and count:
            return np.memmap(stream, wanted, "r", stream.tell(), shape)
        return np.fromfile(stream, wanted, count).reshape(shape)
