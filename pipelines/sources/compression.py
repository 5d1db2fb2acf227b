"""Compressed files as streams of bytes: gzip, bzip2 and zstd, of one member or many."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from datastore.errors import optional_import

COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2")
# What reading a damaged archive raises; an OSError with an errno is the file system's instead.
DAMAGE = (EOFError, zlib.error, OSError)
# zstd's densest block, 4 bytes, stands for 128 KiB: this many bytes give at most 4 MiB at a time.
_ZSTD_BYTES = 128


class _ZstdStream(io.RawIOBase):
    """The content of zstd frames, one behind the other.

    zstandard's own reader takes a truncated file for a complete one; this raises EOFError.
    """

    def __init__(self, file: BinaryIO) -> None:
        zstandard = optional_import("zstandard", extra="ingest")
        self._error: type[Exception] = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._file = file
        self._frame = self._decompressor.decompressobj()
        self._within_frame = False
        self._content = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is Python 3.12's
        while not self._content:
            compressed = self._frame.unused_data or self._file.read(_ZSTD_BYTES)
            if not compressed:
                if self._within_frame:
                    raise EOFError("the file ends within a zstd frame")
                return 0
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            try:
                self._content = memoryview(self._frame.decompress(compressed))
            except self._error as error:
                raise OSError(str(error)) from error
            self._within_frame = not self._frame.eof
        count = min(len(buffer), len(self._content))
        buffer[:count] = self._content[:count]
        self._content = self._content[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def open_decompressed(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed by its last suffix as they are read.

    Raises
    ------
    MissingPackageError
        If the file is zstd and zstandard is not installed.
    """
    match path.suffix.lower():
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".zst":
            return io.BufferedReader(_ZstdStream(path.open("rb")))
        case _:
            return path.open("rb")


def is_out_of_reach(error: Exception) -> bool:
    """Whether the file could not be read at all, rather than held the wrong bytes."""
    return isinstance(error, OSError) and error.errno is not None
