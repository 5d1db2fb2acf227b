"""Reading .npy files that may come from a stranger: no pickle, and no header that is more than a shape and a type."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

# What np.save writes for numbers in C order. NumPy's own reader evaluates the header as Python: a damaged one makes it
# raise whatever a tokeniser raises.
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z]\d)', 'fortran_order': False, 'shape': \((\d{1,18}(?:, \d{1,18})*),?\), \} *\n"
)
_MAGIC = b"\x93NUMPY\x01\x00"


class Header(NamedTuple):
    """Of an .npy file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bytes: int  # before the first number


def read_header(stream: IO[bytes]) -> Header:
    """The header of an open .npy file.

    Raises
    ------
    ValueError
        If there is none of a C-ordered array of numbers, or more or fewer numbers follow than it says.
    """
    start = stream.read(len(_MAGIC) + 2)
    length = int.from_bytes(start[len(_MAGIC) :], "little")
    header = _HEADER.fullmatch(stream.read(length)) if start.startswith(_MAGIC) else None
    if header is None:
        raise ValueError("no .npy file of numbers in C order")
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError:
        raise ValueError(f"no type of numbers: {header[1]!r}") from None
    shape = tuple(map(int, header[2].split(b", ")))
    found, expected = os.fstat(stream.fileno()).st_size - stream.tell(), math.prod(shape) * dtype.itemsize
    if found != expected:
        raise ValueError(f"{found} bytes of numbers instead of {expected}")
    return Header(shape, dtype, stream.tell())


def read_array(
    file: Path, shape: tuple[int | None, ...], dtype: DTypeLike, *, mapped: bool = False
) -> NDArray[Any]:
    """The array in a file, or a memory map of it; `None` in the wanted `shape` stands for any number.

    Raises
    ------
    ValueError
        If it holds anything else, or is cut off.
    OSError
        If it cannot be read.
    """
    wanted = np.dtype(dtype)
    with file.open("rb") as stream:
        try:
            header = read_header(stream)
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
        fits = len(header.shape) == len(shape) and all(
            size in (None, found) for size, found in zip(shape, header.shape, strict=True)
        )
        if not fits or header.dtype != wanted:
            raise ValueError(f"expected {file.name} {shape} {wanted}, got {header.shape} {header.dtype}")
        count = math.prod(header.shape)
        if mapped and count:
            # As a plain array over the map: NumPy spends a microsecond on each view of its own class for maps.
            return np.asarray(np.memmap(stream, wanted, "r", header.bytes, header.shape))
        return np.fromfile(stream, wanted, count).reshape(header.shape)
