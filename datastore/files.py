"""Writing so that a power cut or a `kill -9` leaves the old state or the new one, never a mixture."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import xxhash

from .errors import CompendiaError, NotFoundError

_CRASH_AT = "COMPENDIA_CRASH_AT"
_times_reached: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL here if `COMPENDIA_CRASH_AT` is `name` or `name:<n>` (n-th time, from 1).

    A rehearsal of the worst moment: the tests kill at every named point and demand the same store afterwards.
    """
    wanted, _, count = os.environ.get(_CRASH_AT, "").partition(":")
    if wanted != name:
        return
    _times_reached[name] = _times_reached.get(name, 0) + 1
    if _times_reached[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)


def checksum(path: Path) -> str:
    """xxh3-128 of a file's bytes, as 32 hex digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_key(*parts: object) -> str:
    """32 hex digits that name a thing by what it is made from; parts are anything that JSON can hold."""
    return xxhash.xxh3_128_hexdigest(
        json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
    )


def fsync(path: Path) -> None:
    """Bring a file's or a folder's entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_name(path: Path) -> Path:
    """Beside `path`, hidden; `writer_lock` removes what a killed process leaves under such a name."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def published_file(final: Path) -> Iterator[Path]:
    """A name to write a file under; at the end of the block it replaces `final`, durably."""
    temporary = _temporary_name(final)
    try:
        yield temporary
        fsync(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    crash_point(f"before_rename_of_{final.name}")
    temporary.replace(final)
    fsync(final.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data` atomically: temporary name, fsync, rename, fsync of the folder."""
    with published_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def published_folder(final: Path) -> Iterator[Path]:
    """An empty folder to fill; at the end of the block it gets its final name, durably: all of it or nothing.

    Where `final` exists already, it holds the same content (its name is derived from it) and is kept.
    """
    folder = _temporary_name(final)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        yield folder
        for file in sorted(folder.iterdir()):
            fsync(file)
        fsync(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # a full disk has no room for it until the next write
        raise
    if final.exists():
        shutil.rmtree(folder)
    else:
        folder.rename(final)
    fsync(final.parent)  # also of a folder that a writer renamed just before it died


def remove_folder(folder: Path) -> None:
    """Remove a folder; after a kill in the middle it is still whole, or gone under this name."""
    doomed = _temporary_name(folder)
    folder.rename(doomed)
    crash_point("before_removal")
    shutil.rmtree(doomed)


@contextmanager
def writer_lock(store: Path) -> Iterator[None]:
    """Hold the store's one writer lock; the kernel lets go of it when the process dies.

    Whatever a writer left half-written when it died is removed first.

    Raises
    ------
    NotFoundError
        If there is no folder `store`.
    CompendiaError
        If another process holds it, or the disk is full or cannot be written to.
    """
    try:
        with (store / "LOCK").open("a+") as file, _locked(store, file):
            for leftover in [path for depth in range(4) for path in store.glob("*/" * depth + ".*.tmp")]:
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
            yield
    except FileNotFoundError as error:
        if store.is_dir():
            raise
        raise NotFoundError(
            f"there is no datastore at {store}", hint=f"compendia build FOLDER --out {store}"
        ) from error
    except OSError as error:
        hint = _WRITE_HINTS.get(_disk_error(store, error) or 0)
        if hint is None:
            raise
        raise CompendiaError(
            f"{store} cannot be written to, and stays as it was: {error}", hint=hint
        ) from error


@contextmanager
def _locked(store: Path, file: IO[str]) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CompendiaError(
            f"another process is writing to {store}",
            hint="wait until it ends, then run the command again",
        ) from None
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a child forked meanwhile holds it too


_WRITE_HINTS = {
    errno.ENOSPC: "free some space, then run the command again",
    errno.EDQUOT: "free some space, then run the command again",
    errno.EROFS: "it can be read; mount it for writing, or copy it, to change it",
    errno.EACCES: "it can be read; ask its owner for the right to change it",
    errno.EPERM: "it can be read; ask its owner for the right to change it",
}
_FULL_BYTES = 1 << 16
_OS_ERROR = re.compile(r"(?:os error|\[errno) (\d+)", re.IGNORECASE)
_WRITTEN_LESS = re.compile(r"\d+ requested and \d+ written")  # NumPy's words


def _disk_error(store: Path, error: OSError) -> int | None:
    """Its number; None where it is about a file elsewhere.

    NumPy gives none when fewer bytes were written than it wanted, Rust libraries say it in words alone, and Arrow may
    pass on its message alone: then the text tells, or the disk is asked.
    """
    if error.filename is not None and store not in Path(os.fsdecode(error.filename)).parents:
        return None
    if error.errno is not None:
        return error.errno
    said = _OS_ERROR.search(str(error))
    if said:
        return int(said.group(1))
    if _WRITTEN_LESS.search(str(error)) or shutil.disk_usage(store).free < _FULL_BYTES:
        return errno.ENOSPC
    return None
