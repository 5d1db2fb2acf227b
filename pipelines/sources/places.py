"""Places: local paths as they are, and URLs of every file system that fsspec knows (`s3://`, `gs://`, `https://` …).

Every worker opens a place anew: what only one process can see, as `memory://`, takes the serial executor.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from datastore.errors import MissingPackageError, NotFoundError, nearest, optional_import

_URL = re.compile(r"[A-Za-z][\w+.-]*(?:::[\w+.-]+)*://")
_LOCAL = ("file://", "local://")


class RemotePlace(NamedTuple):
    """Where fsspec finds a URL."""

    file_system: Any  # fsspec.AbstractFileSystem
    path: str  # as that file system names it, mostly without the protocol


def local_path(place: str | Path) -> Path | None:
    """The path of a local place, `file://` included; None for a URL of another protocol."""
    text = str(place)
    for protocol in _LOCAL:
        text = text.removeprefix(protocol)
    return None if _URL.match(text) else Path(text)


def rooted(place: str, root: Path) -> str:
    """A relative path below `root`; absolute ones and URLs as they are."""
    path = local_path(place)
    return place if path is None else str(root / path.expanduser())


def file_name(place: str) -> str:
    """The last name of a place, without a web address' query, and of a chain the file's: `a.txt` of `zip://b/a.txt::s3://…`."""
    if local_path(place) is not None:
        return Path(place).name
    path = re.sub(r"^(?:[\w+.-]+::)*", "", place).partition("::")[0]
    if path.startswith(("http://", "https://")):
        path = re.split(r"[?#]", path)[0]
    return path.rpartition("/")[2]


def remote_place(url: str) -> RemotePlace:
    """The file system of a URL; its credentials come from where its package looks for them.

    Raises
    ------
    NotFoundError
        If no file system has the URL's protocol.
    MissingPackageError
        If fsspec, or the package of that file system, is not installed.
    """
    fsspec = optional_import("fsspec", extra="ingest")
    protocol = url.partition("://")[0].rpartition("::")[2]
    if protocol not in fsspec.available_protocols():
        raise NotFoundError(
            f"{url}: no file system is known for {protocol}://",
            hint=nearest(protocol, fsspec.available_protocols()),
        )
    try:
        return RemotePlace(*fsspec.core.url_to_fs(url))
    except ImportError as error:  # says what to install
        raise MissingPackageError(
            f"{url}: the package that reads {protocol}:// is not installed", hint=str(error)
        ) from error
