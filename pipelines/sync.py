"""From the documents that a store has to those that it should have: what is added, what is deleted, what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from datastore import UsageError
from datastore.files import fsync
from datastore.manifest import Manifest

from .stages.score import ScoredShard, hashes_of, joined

Missing = Literal["keep", "keep all", "prune"]
"""Documents whose input is gone: they stay, and too many are refused; all stay; all are deleted."""

_MOST_VANISHED_SHARE = 0.2
_NAMES_SHOWN = 3
_SCHEMA = pa.schema(
    [
        pa.field("source", pa.dictionary(pa.int32(), pa.string())),
        pa.field("id", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("id_hash", pa.binary(16)),
        pa.field("key", pa.binary(16)),
        pa.field("content_hash", pa.binary(16)),
    ]
)


class Present(NamedTuple):
    """The documents of a version that a build made."""

    table: pa.Table  # of _SCHEMA
    settings: str  # key of all but the documents that their passages depend on


class Changes(NamedTuple):
    """What a sync does."""

    added: list[
        NDArray[np.int64]
    ]  # for each shard the positions of its documents that are to come, ascending
    deleted: dict[str, list[str]]  # by source, ids of documents whose passages go
    vanished: pa.Table  # present documents whose input is gone or broken and that stay all the same
    counts: dict[str, Counter[str]]  # by source: new, changed, removed, vanished, unchanged


def nothing_present(settings: str) -> Present:
    return Present(_SCHEMA.empty_table(), settings)


def ledger_path(store: Path, build: str) -> Path:
    return store / "builds" / f"{build}.documents.parquet"


def read_present(store: Path, manifest: Manifest) -> Present | None:
    """The documents of a version; None where it was not made by a build alone, or they cannot be told."""
    if manifest.recipe_hash is None or manifest.build is None:
        return None
    try:
        table = pq.read_table(ledger_path(store, manifest.build), read_dictionary=["unit"])
    except (OSError, pa.ArrowException):
        return None
    settings = (table.schema.metadata or {}).get(b"settings", b"").decode()
    return Present(table, settings)


def write_present(
    store: Path,
    build: str,
    settings: str,
    shards: Sequence[ScoredShard],
    kept: Sequence[NDArray[np.int64]],
    vanished: pa.Table,
) -> None:
    """Write down which documents a version has, a shard in RAM at a time."""
    path = ledger_path(store, build)
    temporary = path.with_name(f".{path.name}.tmp")
    schema = _SCHEMA.with_metadata({"settings": settings})
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for scored, positions in zip(shards, kept, strict=True):
            if len(positions):
                writer.write_table(_rows(scored, positions).cast(schema))
        if len(vanished):
            writer.write_table(vanished.cast(schema))
    fsync(temporary)
    temporary.replace(path)
    fsync(path.parent)


def _rows(scored: ScoredShard, positions: NDArray[np.int64]) -> pa.Table:
    chosen = pa.array(positions)
    names = [name for name in _SCHEMA.names if name != "source"]
    columns = [column.take(chosen) for column in scored.columns(names)]
    source = pa.array([scored.shard.source] * len(positions), pa.string()).dictionary_encode()
    return pa.table({"source": source, **dict(zip(names, columns, strict=True))})


def compare(
    shards: Sequence[ScoredShard],
    kept: Sequence[NDArray[np.int64]],
    present: Present,
    settings: str,
    units: Collection[tuple[str, str]],
    damaged: Collection[tuple[str, str]],
    sources: Collection[str],
    *,
    missing: Missing,
) -> Changes:
    """What turns the present documents into those kept of the shards.

    A present document has vanished if it was not read and its unit is not among `units`, is `damaged`, or gave no
    document at all: a file that was cut or emptied loses no more than one that is gone. It stays, unless its source is
    not among `sources`, its text is in a document that was not here or had another text (a file was renamed), or
    `missing` is "prune".

    Raises
    ------
    UsageError
        If `missing` is "keep" and more than a fifth of the present documents would stay as vanished: a disk may not be
        mounted. Or if those that would stay were made with other settings.
    """
    names = sorted({scored.shard.source for scored in shards} | {*_sources(present.table)})
    code = {name: number for number, name in enumerate(names)}
    wanted = _identities(
        [
            np.full(len(positions), code[scored.shard.source])
            for scored, positions in zip(shards, kept, strict=True)
        ],
        [scored.hashes("id_hash")[positions] for scored, positions in zip(shards, kept, strict=True)],
    )
    had = _identities([_source_codes(present.table, code)], [_hashes(present.table, "id_hash")])
    before = _matches(wanted, had)  # for each wanted document its present row, or -1
    keys = joined([scored.hashes("key")[positions] for scored, positions in zip(shards, kept, strict=True)])
    contents = joined(
        [scored.hashes("content_hash")[positions] for scored, positions in zip(shards, kept, strict=True)]
    )
    is_same = (before >= 0) & (settings == present.settings)
    is_same[is_same] = keys[is_same] == _hashes(present.table, "key")[before[is_same]]
    was_here = before >= 0  # with this text
    was_here[was_here] = contents[was_here] == _hashes(present.table, "content_hash")[before[was_here]]
    unmatched = np.ones(present.table.num_rows, dtype=np.bool_)
    unmatched[before[before >= 0]] = False
    is_vanished = unmatched.copy()
    rest = present.table.filter(pa.array(unmatched))
    is_vanished[unmatched] = (
        _is_lost(rest, shards, code, units, damaged)
        & ~np.isin(_packed(_hashes(rest, "content_hash")), _packed(contents[~was_here]))
        & np.isin(_source_codes(rest, code), [code[name] for name in sources if name in code])
    )
    counts = {name: Counter[str]() for name in names}
    _count(
        counts,
        names,
        wanted["source"],
        {"new": before < 0, "changed": (before >= 0) & ~is_same, "unchanged": is_same},
    )
    _count(counts, names, had["source"], {"removed": unmatched & ~is_vanished, "vanished": is_vanished})
    if missing == "prune":
        is_vanished[:] = False
    elif is_vanished.any():
        share = _MOST_VANISHED_SHARE if missing == "keep" else 1.0
        _check_vanished(present, settings, is_vanished, units, share)
    goes = unmatched & ~is_vanished
    goes[before[(before >= 0) & ~is_same]] = True
    ends = np.cumsum([0, *map(len, kept)])
    added = [
        positions[~is_same[start:stop]]
        for positions, start, stop in zip(kept, ends[:-1], ends[1:], strict=True)
    ]
    return Changes(added, _ids(present.table, goes), present.table.filter(pa.array(is_vanished)), counts)


def _check_vanished(
    present: Present,
    settings: str,
    is_vanished: NDArray[np.bool_],
    units: Collection[tuple[str, str]],
    most_share: float,
) -> None:
    count, total = int(is_vanished.sum()), len(is_vanished)
    what = f"the input of {count:,} of {total:,} documents is not there any more"
    here = sorted(set(_units(present.table.filter(pa.array(is_vanished)))) & set(units))
    if here:
        more = " …" if len(here) > _NAMES_SHOWN else ""
        listed = ", ".join(f"{source}/{unit}" for source, unit in here[:_NAMES_SHOWN])
        what += f", or is broken or empty now: {listed}{more}"
    if count > most_share * total:
        raise UsageError(
            what, hint="is a disk not mounted, a file cut? build --prune-missing deletes these documents"
        )
    if settings != present.settings:
        raise UsageError(
            f"{what}, and they were cut or embedded with other settings",
            hint="build --prune-missing deletes these documents; or bring their input back",
        )


def _sources(table: pa.Table) -> Iterator[str]:
    for chunk in table.column("source").chunks:
        yield from chunk.dictionary.to_pylist()


def _source_codes(table: pa.Table, code: dict[str, int]) -> NDArray[np.int64]:
    parts = [
        np.array([code[name] for name in chunk.dictionary.to_pylist()], np.int64)[chunk.indices.to_numpy()]
        for chunk in table.column("source").chunks
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _hashes(table: pa.Table, column: str) -> NDArray[np.void]:
    return hashes_of(table.column(column))


_IDENTITY = np.dtype([("source", "i8"), ("high", "u8"), ("low", "u8")])


def _identities(codes: Sequence[NDArray[np.int64]], hashes: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """(n,) what a document is known by: its source and the hash of its id."""
    found = np.empty(sum(map(len, hashes)), dtype=_IDENTITY)
    found["source"] = np.concatenate([np.empty(0, dtype=np.int64), *codes])
    both = joined(hashes)
    found["high"], found["low"] = both["high"], both["low"]
    return found


def _matches(wanted: NDArray[np.void], had: NDArray[np.void]) -> NDArray[np.int64]:
    """For each wanted identity the position of the same among `had`, or -1; identities occur once in each."""
    found = np.full(len(wanted), -1, dtype=np.int64)
    if not len(had):
        return found
    both = np.concatenate([wanted, had])
    order = np.lexsort(
        (both["low"], both["high"], both["source"])
    )  # stable: a wanted one in front of the same
    ordered = both[order]
    pairs = np.flatnonzero(ordered[1:] == ordered[:-1])
    found[order[pairs]] = order[pairs + 1] - len(wanted)
    return found


def _packed(hashes: NDArray[np.void]) -> NDArray[np.uint64]:
    """Half of each hash: enough to tell texts apart."""
    return np.ascontiguousarray(hashes["high"])


def _is_lost(
    table: pa.Table,
    shards: Sequence[ScoredShard],
    code: dict[str, int],
    units: Collection[tuple[str, str]],
    damaged: Collection[tuple[str, str]],
) -> NDArray[np.bool_]:
    """Whether a document's unit cannot be trusted not to hold it any more, and it was not read elsewhere or there."""
    if not table.num_rows:
        return np.zeros(0, dtype=np.bool_)
    giving = {
        (scored.shard.source, unit)
        for scored in shards
        for unit in pc.unique(scored.column("unit")).to_pylist()
    }
    whole = (giving & {*units}) - {*damaged}
    lost = np.fromiter((pair not in whole for pair in _units(table)), dtype=np.bool_, count=table.num_rows)
    if lost.any():
        read = _identities(
            [np.full(scored.shard.documents, code[scored.shard.source]) for scored in shards],
            [scored.hashes("id_hash") for scored in shards],
        )
        had = _identities([_source_codes(table, code)], [_hashes(table, "id_hash")])
        lost &= ~np.isin(had, read)
    return lost


def _units(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table.column("source").to_pylist(), table.column("unit").to_pylist(), strict=True)


def _count(
    counts: dict[str, Counter[str]],
    names: Sequence[str],
    codes: NDArray[np.int64],
    what: dict[str, NDArray[np.bool_]],
) -> None:
    for label, chosen in what.items():
        for number, count in enumerate(np.bincount(codes[chosen], minlength=len(names)).tolist()):
            if count:
                counts[names[number]][label] = count


def _ids(table: pa.Table, chosen: NDArray[np.bool_]) -> dict[str, list[str]]:
    """Ids by source."""
    found: dict[str, list[str]] = {}
    rows = table.filter(pa.array(chosen))
    for source, name in zip(rows.column("source").to_pylist(), rows.column("id").to_pylist(), strict=True):
        found.setdefault(source, []).append(name)
    return found
