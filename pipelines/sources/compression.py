"""Compressed files as streams of bytes: gzip, bzip2 and zstd, of one member or many."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2")
# What reading a damaged archive raises; an OSError with an errno is the file system's instead.
DAMAGE = (EOFError, zlib.error, OSError)


def open_decompressed(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed by its last suffix as they are read.

    zstd is Arrow's: zstandard's own reader takes a truncated file for a complete one.
    """
    match path.suffix.lower():
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".zst":
            return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
        case _:
            return path.open("rb")


def is_out_of_reach(error: Exception) -> bool:
    """Whether the file could not be read at all, rather than held the wrong bytes."""
    return isinstance(error, OSError) and error.errno is not None
