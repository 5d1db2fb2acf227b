"""Passages of the CompactDS release: JSON lines `{"id", "text", "source", …}`, one passage a line.

Their ids count from 0 within each file `<domain>--raw_passages_<rank>-<shard>-of-<shards>.jsonl`.

Duan et al., "Frustratingly Simple Retrieval Improves Challenging, Reasoning-Intensive Benchmarks" (arXiv 2507.01297).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..document import Document, Reject
from .bookmark import Bookmark
from .compression import without_compression
from .jsonl import read_jsonl
from .records import SAMPLE_CHARS, Fields
from .unit import Unit

_FIELDS = Fields(id="id", text="text")
_NAME = re.compile(
    r"(?:(?P<domain>.*?)(?:--.*)?)?(?:raw_)?passages_?(?P<rank>\d+)[-_](?P<shard>\d+)(?:-of-\d+)?\.[a-z]+",
    re.IGNORECASE,
)
_PASSAGES = re.compile(r"raw_passages_\d+-\d+-of-\d+\.jsonl$")


class ShardName(NamedTuple):
    """The order of the release: not that of names, where shard 10 stands before shard 2."""

    domain: str
    rank: int
    shard: int
    stem: str  # tells files apart that are not named as in the release


def shard_name(name: str) -> ShardName:
    """What passages and their vectors have in common: `rpj_arxiv--raw_passages_0-3-of-8.jsonl`, `rpj_arxiv--passages0_03.npy`."""
    plain = without_compression(name)
    match = _NAME.fullmatch(plain)
    if match is None:
        return ShardName("", 0, 0, plain.rpartition(".")[0])
    return ShardName(match["domain"] or "", int(match["rank"]), int(match["shard"]), "")


def is_release_name(name: str) -> bool:
    """Whether a file is named as the release names its passages."""
    return _PASSAGES.search(without_compression(name)) is not None


def read_compactds(
    unit: Unit, max_bytes: int, fields: Fields = _FIELDS, bookmark: Bookmark | None = None
) -> Iterator[Document | Reject]:
    """The passages of a file or a part, each a document; see `read_jsonl`.

    The file's name makes their ids unique: `rpj_arxiv--0-3-of-8/17`.
    """
    folder = without_compression(unit.name).removesuffix(".jsonl").removeprefix("passages/")
    folder = folder.replace("raw_passages_", "")
    for item in read_jsonl(unit, fields, max_bytes, bookmark):
        if not isinstance(item, Document):
            yield item
        elif item.id == item.location:
            yield Reject("no_id", item.location, "", "the record has no id", item.text[:SAMPLE_CHARS])
        else:
            yield item._replace(id=f"{folder}/{item.id}")
