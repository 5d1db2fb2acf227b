"""Files as streams of bytes, local or not, compressed or not: gzip, bzip2 and zstd, of one member or many."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from datastore.errors import optional_import

from .places import file_name, local_path, remote_place

COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2")
# What reading a damaged archive raises; an OSError with an errno is the file system's instead.
DAMAGE = (EOFError, zlib.error, OSError)
# zstd's densest block, 4 bytes, stands for 128 KiB: this many bytes give at most 4 MiB at a time.
_ZSTD_BYTES = 128
# Of `zstd --long=31`, as large dumps are packed; a frame takes only as much memory as its own window asks for.
_ZSTD_WINDOW_BYTES = 1 << 31
_BUFFER_BYTES = 1 << 18


def without_compression(name: str) -> str:
    """A file's name without the suffix of its compression."""
    return name[: -len(Path(name).suffix)] if name.lower().endswith(COMPRESSED_SUFFIXES) else name


def zstd_decompressor(dictionary: Any = None) -> Any:
    """A decompressor of zstd frames with windows of up to 2 GiB, which it holds in memory while it reads such a frame.

    Raises
    ------
    MissingPackageError
        If zstandard is not installed.
    """
    zstandard = optional_import("zstandard", extra="ingest")
    return zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_ZSTD_WINDOW_BYTES)


class _ZstdStream(io.RawIOBase):
    """The content of zstd frames, one behind the other.

    zstandard's own reader takes a truncated file for a complete one; this raises EOFError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._error: type[Exception] = optional_import("zstandard", extra="ingest").ZstdError
        self._decompressor = zstd_decompressor()
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


class _Decompressed(io.RawIOBase):
    """What gzip or bz2 give, piece by piece: all that stands before a damaged place comes before its error.

    It closes the file below, which they leave to their caller.
    """

    def __init__(self, stream: gzip.GzipFile | bz2.BZ2File, file: BinaryIO) -> None:
        self._stream = stream
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is Python 3.12's
        content = self._stream.read1(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        self._file.close()
        super().close()


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Packages of file systems raise errors of their own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


class _Remote(io.RawIOBase):
    """A file of fsspec, with a position of its own: all that open a file of `memory://` share one."""

    def __init__(self, file_system: Any, file: Any) -> None:
        self._file_system = file_system  # that of an archive closes the archive when it goes
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset, whence = offset + self._position, io.SEEK_SET
        with _as_os_errors():
            self._position = int(self._file.seek(offset, whence))
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is Python 3.12's
        with _as_os_errors():
            if self._file.tell() != self._position:
                self._file.seek(self._position)
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_binary(place: str | Path) -> BinaryIO:
    """The bytes of a place as they stand there; of a URL, as they come, in bounded memory. It can be sought in.

    Raises
    ------
    NotFoundError, MissingPackageError
        See `remote_place`; a file that is not there, or a connection that is lost, is an OSError.
    """
    path = local_path(place)
    if path is not None:
        return path.open("rb")
    file_system, name = remote_place(str(place))
    with _as_os_errors():
        file = file_system.open(name, "rb")
    return io.BufferedReader(_Remote(file_system, file), _BUFFER_BYTES)


def open_decompressed(place: str | Path) -> BinaryIO:
    """The bytes of a place, decompressed by its last suffix as they are read.

    Raises
    ------
    NotFoundError, MissingPackageError
        See `open_binary`; the package may also be zstandard.
    """
    file = open_binary(place)
    match Path(file_name(str(place))).suffix.lower():
        case ".gz":
            return io.BufferedReader(
                _Decompressed(gzip.GzipFile(fileobj=file, mode="rb"), file), _BUFFER_BYTES
            )
        case ".bz2":
            return io.BufferedReader(_Decompressed(bz2.BZ2File(file), file), _BUFFER_BYTES)
        case ".zst":
            return io.BufferedReader(_ZstdStream(file), _BUFFER_BYTES)
        case _:
            return file


def is_out_of_reach(error: Exception) -> bool:
    """Whether the file could not be read at all, rather than held the wrong bytes."""
    # Not every file system of fsspec gives its errors a number.
    if isinstance(error, FileNotFoundError | PermissionError | ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno is not None
