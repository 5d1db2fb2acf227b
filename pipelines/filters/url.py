"""URLs: block lists of domains, addresses and words, as RefinedWeb and FineWeb use them.

Penedo et al., "The RefinedWeb Dataset for Falcon LLM" (2023), appendix G.1, as datatrove's URLFilter decides it, with
the user's own lists. Registered domains come from the public suffix list within tldextract: nothing is downloaded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from datastore.errors import UsageError, optional_import

from .batch import TextBatch
from .rule import Rule

_NOT_PLAIN = re.compile(r"[^a-zA-Z0-9]+")
_SCORES = ("url_domain", "url_subdomain", "url_listed", "url_hard_words", "url_soft_words", "url_substrings")


class _Hashes(NamedTuple):
    """A set of texts in 8 bytes each: lists of millions of domains are usual."""

    values: NDArray[np.uint64]  # ascending

    def holds(self, text: str) -> bool:
        if not len(self.values):
            return False
        value = np.uint64(_hash(text))
        place = int(np.searchsorted(self.values, value))
        return place < len(self.values) and bool(self.values[place] == value)


class _File(NamedTuple):
    """A list as it is now: one that has changed is read again."""

    field: str
    path: str
    bytes: int
    modified_ns: int


class _Lists(NamedTuple):
    domains: _Hashes
    urls: _Hashes
    hard_words: frozenset[str]
    soft_words: frozenset[str]
    substrings: frozenset[str]


class UrlFilter(BaseModel):
    """Drop documents whose metadata `url` is on a block list; one without a URL is kept.

    A list is a text file of one entry a line, compressed or not; empty lines and those that start with `#` are passed
    over. Of words and substrings the Latin letters and digits count, in lower case; words are sought in the URL as it
    is written, substrings in its letters and digits in lower case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    domains: str | None = Field(
        default=None,
        description="File of hosts: a registered domain blocks all under it, another host itself alone",
    )
    urls: str | None = Field(default=None, description="File of whole URLs, compared as they are")
    hard_words: str | None = Field(default=None, description="File of words of which none may stand in a URL")
    soft_words: str | None = Field(default=None, description="File of words of which few may stand in a URL")
    substrings: str | None = Field(
        default=None, description="File of texts that may not stand in a URL's letters and digits"
    )
    max_soft_words: int = Field(default=1, ge=0, description="Different soft words that may stand in a URL")

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """Whether domain, host and URL are listed (0 or 1), and how many different words and substrings are in it."""
        values = np.full((len(batch), len(_SCORES)), np.nan)
        lists = self._lists()
        for row, metadata in enumerate(batch.metadata):
            url = metadata.get("url")
            if isinstance(url, str) and url.strip():
                values[row] = _score(url, lists)
        return {name: values[:, column] for column, name in enumerate(_SCORES)}

    def rules(self) -> tuple[Rule, ...]:
        limits = {"url_soft_words": self.max_soft_words}
        return tuple(Rule(name, name, maximum=limits.get(name, 0)) for name in _SCORES)

    def content_hash(self) -> str:
        """A hash of what the lists hold and of the suffix list's version: where it is equal, so are the scores.

        Raises
        ------
        UsageError
            If a file cannot be read or is not UTF-8.
        """
        lists = self._lists()
        words = (lists.hard_words, lists.soft_words, lists.substrings)
        digest = xxhash.xxh3_64(repr([sorted(entries) for entries in words]).encode())
        digest.update(optional_import("tldextract", extra="ingest").__version__.encode())
        for hashes in (lists.domains, lists.urls):
            digest.update(len(hashes.values).to_bytes(8, "little"))
            digest.update(hashes.values.tobytes())
        return f"xxh3:{digest.hexdigest()}"

    def _lists(self) -> _Lists:
        return _Lists(
            _hashes(_file("domains", self.domains)),
            _hashes(_file("urls", self.urls)),
            _words(_file("hard_words", self.hard_words)),
            _words(_file("soft_words", self.soft_words)),
            _words(_file("substrings", self.substrings)),
        )


def _file(field: str, path: str | None) -> _File | None:
    if path is None:
        return None
    try:
        status = Path(path).stat()
    except OSError as error:
        raise UsageError(
            f"the block list {path} cannot be read: {error.strerror}",
            hint=f"set filters.url.{field} to a text file of one entry a line, or leave it out",
        ) from error
    return _File(field, path, status.st_size, status.st_mtime_ns)


def _entries(file: _File) -> Iterator[str]:
    from ..sources.compression import open_decompressed  # sources know filters: not the other way at import

    try:
        with io.TextIOWrapper(open_decompressed(Path(file.path)), encoding="utf-8-sig") as lines:
            yield from (entry for line in lines if (entry := line.strip()) and not entry.startswith("#"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the block list {file.path} cannot be read: {error}",
            hint=f"filters.url.{file.field} takes UTF-8 text of one entry a line, plain or compressed",
        ) from error


@lru_cache(maxsize=8)
def _hashes(file: _File | None) -> _Hashes:
    if file is None:
        return _Hashes(np.empty(0, dtype=np.uint64))
    texts = _entries(file)
    if file.field == "domains":
        texts = (text.lower() for text in texts)
    return _Hashes(np.unique(np.fromiter(map(_hash, texts), dtype=np.uint64)))


@lru_cache(maxsize=8)
def _words(file: _File | None) -> frozenset[str]:
    if file is None:
        return frozenset()
    return frozenset(filter(None, (_squeezed(entry) for entry in _entries(file))))


@lru_cache(maxsize=1)
def _extract() -> Any:
    """The splitter of hosts: its own snapshot of the public suffix list, no network, no cache folder."""
    return optional_import("tldextract", extra="ingest").TLDExtract(suffix_list_urls=(), cache_dir=None)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _squeezed(text: str) -> str:
    return _NOT_PLAIN.sub("", text).lower()


def _score(url: str, lists: _Lists) -> tuple[float, ...]:
    host = _extract()(url.lower())
    words = set(_NOT_PLAIN.split(url))
    squeezed = _squeezed(url)
    return (
        lists.domains.holds(host.top_domain_under_public_suffix),
        lists.domains.holds(host.fqdn or host.domain),  # an IP address has no registered domain
        lists.urls.holds(url),
        len(words & lists.hard_words),
        len(words & lists.soft_words),
        sum(text in squeezed for text in lists.substrings),
    )
