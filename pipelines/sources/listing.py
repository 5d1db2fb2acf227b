"""The files that stand at a place, each with what tells its content from another's without reading it."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datastore.errors import NotFoundError

from .places import file_name, local_path, remote_place

# How file systems name what changes with a file's content: first checksums, then times.
_MARKS = (
    *("ETag", "etag", "md5Hash", "crc32c", "content_md5", "Content-MD5", "checksum", "CRC", "Digest"),
    *("LastModified", "last_modified", "Last-Modified", "modificationTime", "updated", "mtime", "created"),
)
_URL_PARTS = re.compile(r"((?:[\w+.-]+::)*)([A-Za-z][\w+.-]*://)(.*?)((?:::.*)?)")


class FoundFile(NamedTuple):
    name: str  # relative to the place that was asked for
    place: str
    identity: str
    bytes: int


class Listing(NamedTuple):
    files: list[FoundFile]
    is_named: bool  # the place is a file or a pattern, not a folder to be looked through


def list_files(place: str) -> Listing:
    """The files of a folder and its folders, of a pattern with `*` or `**`, or the one file that a place is.

    Hidden files are left out, of local folders also stores. Symbolic links are followed, as caches and data under version
    control are laid out with them: a file has the link's name, a folder is listed once, and a link to nothing is listed too,
    so that whoever reads it can say so.

    Raises
    ------
    NotFoundError
        If there is nothing at the place, or it cannot be listed.
    """
    path = local_path(place)
    return _list_remote(place) if path is None else _list_local(path.expanduser())


def _list_local(path: Path) -> Listing:
    if path.is_file():
        # What a link leads to need not have a name that tells its format.
        return Listing([_local_file(path.parent.resolve() / path.name, path.name)], is_named=True)
    folder, pattern = path.resolve(), None
    if not path.exists():
        if "*" not in str(path):
            raise NotFoundError(f"{path} does not exist", hint="check the source's path")
        depth = next(position for position, part in enumerate(folder.parts) if "*" in part)
        pattern = re.compile(_pattern("/".join(folder.parts[depth:])))
        folder = Path(*folder.parts[:depth])
    names = ((file, file.relative_to(folder).as_posix()) for file in _walk(folder))
    return Listing(
        [_local_file(file, name) for file, name in names if pattern is None or pattern.fullmatch(name)],
        is_named=pattern is not None,
    )


def _pattern(pattern: str) -> str:
    """A regular expression: `*` stands for anything within a name, `**/` for any folders."""
    pieces = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*"}
    return "".join(pieces.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*/|\*\*|\*)", pattern))


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder; those of linked folders last, so that each is named by its own place if it has one."""
    seen: set[tuple[int, int]] = set()
    waiting = deque([folder])
    while waiting:
        for root, folders, names in os.walk(waiting.popleft(), onerror=_raise):
            status = Path(root).stat()
            found = {*folders, *names}
            is_store = {"LOCK", "segments", "versions"} <= found or {"LOCK", "segments", "work"} <= found
            # A store may be the one that is being built from this folder.
            if is_store or (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting.extend(path for name in folders if (path := Path(root, name)).is_symlink())
            for name in names:
                path = Path(root, name)
                if not name.startswith(".") and (path.is_file() or not path.exists()):
                    yield path


def _raise(error: OSError) -> None:
    raise NotFoundError(
        f"cannot list {error.filename}: {error.strerror}", hint="make it readable, or name another path"
    )


def _local_file(path: Path, name: str) -> FoundFile:
    status = path.stat() if path.exists() else path.lstat()
    # A name need not be UTF-8, a document's id must be.
    name = os.fsencode(name).decode("utf-8", "backslashreplace")
    return FoundFile(name, str(path), f"{status.st_size}:{status.st_mtime_ns}", status.st_size)


def _list_remote(url: str) -> Listing:
    file_system, path = remote_place(url)
    try:
        file_system.invalidate_cache()  # of listings: a file may have changed since the last one
        if "*" in path:
            root, found = path[: path.index("*")].rpartition("/")[0], file_system.glob(path, detail=True)
        else:
            details = {"type": "directory"} if url.endswith("/") else file_system.info(path)
            if details["type"] == "file":
                return Listing([_remote_file(url, file_name(url), details)], is_named=True)
            root, found = path.rstrip("/"), file_system.find(path, detail=True)
        files = []
        for name, listed in found.items():
            if listed["type"] == "file":
                # A list of links, all that a web server gives, says nothing of the files.
                details = file_system.info(name) if listed.get("size") is None else listed
                relative = name.removeprefix(root).lstrip("/")
                files.append(_remote_file(url_below(url, path, name), relative, details))
    except FileNotFoundError as error:
        raise NotFoundError(f"{url} does not exist", hint="check the source's path") from error
    except Exception as error:  # each file system has errors of its own
        raise NotFoundError(
            f"cannot list {url}: {type(error).__name__}: {error}",
            hint="check the source's path, the credentials, and that the place can be reached",
        ) from error
    hidden = re.compile(r"(?:^|/)\.")
    return Listing([file for file in files if not hidden.search(file.name)], is_named="*" in path)


def _remote_file(place: str, name: str, details: Mapping[str, Any]) -> FoundFile:
    """A server that names neither checksum nor time of a file leaves its size to be known by."""
    mark = next((str(details[key]) for key in _MARKS if details.get(key)), "")
    size = int(details.get("size") or 0)
    return FoundFile(name, place, f"{size}:{mark}", size)


def url_below(url: str, path: str, below: str) -> str:
    """The URL of a file that is listed as `below`, where `url` itself is `path`: with its host, chain and protocol.

    `ftp://host/a` is `/a` to its file system, `s3://bucket/a` is `bucket/a`, and a web address is all of itself.
    """
    parts = _URL_PARTS.fullmatch(url)
    assert parts is not None  # it was taken for a URL
    before, protocol, rest, behind = parts.groups()  # of `zip://a/*.txt::s3://bucket/b.zip`, say
    if below.startswith(protocol):
        return before + below + behind
    rest, path = rest.rstrip("/"), path.rstrip("/")
    host = rest.removesuffix(path) if rest.endswith(path) else ""
    return before + protocol + host + below + behind
