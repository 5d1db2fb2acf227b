"""Which documents stay: the source's limit, unique ids within a source, one copy of each text."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from .document import Reject
from .stages import REJECTS_KEPT, SAMPLE_CHARACTERS, Shard, open_shard

_HASH = np.dtype([("high", "u8"), ("low", "u8")])


class Decision(NamedTuple):
    """For each shard the positions that stay; for each source what was dropped and why."""

    kept: list[NDArray[np.int64]]
    dropped: dict[str, Counter[str]]
    rejects: list[tuple[str, Reject]]  # (source, reject)


def decide(
    work: Path, shards: Sequence[tuple[str, Shard]], limits: dict[str, int | None], *, exact_duplicates: bool
) -> Decision:
    """Decide over the whole corpus; `shards` are (source, shard) in order of priority, and the first copy stays.

    Memory: about 200 bytes a document.
    """
    sources = np.repeat(np.arange(len(shards)), [shard.documents for _, shard in shards])
    ids, contents = _hashes(work, shards)
    reason = np.full(len(sources), "", dtype="U16")
    first_copy = np.arange(len(sources))
    for name, limit in limits.items():
        rows = np.flatnonzero(np.isin(sources, [i for i, (source, _) in enumerate(shards) if source == name]))
        repeated = _repeats(ids[rows])
        reason[rows[repeated >= 0]] = "duplicate_id"
        first_copy[rows[repeated >= 0]] = rows[repeated[repeated >= 0]]
        if limit is not None:
            unique = rows[repeated < 0]
            reason[unique[limit:]] = "beyond_limit"
    if exact_duplicates:
        rows = np.flatnonzero(reason == "")
        repeated = _repeats(contents[rows])
        reason[rows[repeated >= 0]] = "exact_duplicate"
        first_copy[rows[repeated >= 0]] = rows[repeated[repeated >= 0]]
    return _account(work, shards, reason, first_copy)


def _hashes(work: Path, shards: Sequence[tuple[str, Shard]]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """(n,) 16-byte hashes of ids and of contents, in order."""
    ids, contents = [b""], [b""]
    for _, shard in shards:
        table = open_shard(work, shard)
        ids.extend(xxhash.xxh3_128_digest(value.encode()) for value in table.column("id").to_pylist())
        contents.extend(table.column("content_hash").to_pylist())
    return np.frombuffer(b"".join(ids), dtype=_HASH), np.frombuffer(b"".join(contents), dtype=_HASH)


def _repeats(hashes: NDArray[np.void]) -> NDArray[np.int64]:
    """For each hash the position of its first occurrence, or -1 where it is the first."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    original = first[inverse]
    return np.where(original == np.arange(len(hashes)), -1, original)


def _account(
    work: Path, shards: Sequence[tuple[str, Shard]], reason: NDArray[np.str_], first_copy: NDArray[np.int64]
) -> Decision:
    starts = [0, *accumulate(shard.documents for _, shard in shards)]

    def row(number: int) -> dict[str, Any]:
        shard = bisect_right(starts, number) - 1
        found: dict[str, Any] = (
            open_shard(work, shards[shard][1]).slice(number - starts[shard], 1).to_pylist()[0]
        )
        return found

    dropped: dict[str, Counter[str]] = {source: Counter() for source, _ in shards}
    rejects: list[tuple[str, Reject]] = []
    for number in np.flatnonzero(reason != "").tolist():
        source = shards[bisect_right(starts, number) - 1][0]
        why = str(reason[number])
        dropped[source][why] += 1
        if dropped[source][why] <= REJECTS_KEPT:
            out, first = row(number), int(first_copy[number])
            detail = "" if first == number else f"the same as {row(first)['location']}"
            rejects.append(
                (source, Reject(why, out["location"], out["id"], detail, out["text"][:SAMPLE_CHARACTERS]))
            )
    kept = [np.flatnonzero(reason[start:end] == "") for start, end in pairwise(starts)]
    return Decision(kept, dropped, rejects)
