"""Score: what every rule of the filters says of each document of a shard, and the hashes that tell copies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from datastore.files import crash_point, published_folder
from datastore.text import content_hash, words

from ..duplicates import NearDuplicates, signatures
from ..filters import Filters, score_texts
from .read import Shard
from .tables import column_names, read_rows, read_table, write_table, write_texts

HASH = np.dtype([("high", "u8"), ("low", "u8")])
_SCORES = "scores.arrow"
TEXTS_FILE = "texts.arrow"
_SIGNATURES = "signatures.npy"
# Columns beside the scores.
_OWN = (
    *("id", "location", "unit", "id_hash", "content_hash", "key"),
    *("raw_words", "raw_bytes", "words", "bytes", "failure"),
)


class ScoreTask(NamedTuple):
    work: str
    key: str
    shard: Shard
    filters: Filters
    near: NearDuplicates | None  # None: no signatures are wanted


class ScoredShard(NamedTuple):
    """What is known of a shard's documents; position i is document i of the shard.

    A column is read when it is asked for and not kept: the scores of a whole corpus take 500 bytes a document.
    """

    folder: Path
    shard: Shard

    def hashes(self, column: str) -> NDArray[np.void]:
        """(n,) 16-byte hashes: `id_hash`, `content_hash`, or `key`, which stands for all of a document."""
        return hashes_of(self.column(column))

    def numbers(self, column: str) -> NDArray[np.int32]:
        """(n,) `words` and `bytes` of the final text, `raw_words` and `raw_bytes` of the one that was read."""
        return np.asarray(self.column(column).to_numpy())

    def scores(self) -> dict[str, NDArray[np.float64]]:
        names = [name for name in column_names(self.folder / _SCORES) if name not in _OWN]
        return {name: column.to_numpy() for name, column in zip(names, self.columns(names), strict=True)}

    def column(self, name: str) -> pa.ChunkedArray:
        """(n,) `id`, `location`, `unit`; `failure`: what a filter raised, null where none did."""
        return self.columns([name])[0]

    def columns(self, names: Sequence[str]) -> list[pa.ChunkedArray]:
        """Several of them, in the order of `names`."""
        table = read_table(self.folder / _SCORES, [*names])
        return [table.column(name) for name in names]

    @property
    def signatures(self) -> Path:
        """The .npy of (n, bands) band hashes."""
        return self.folder / _SIGNATURES


def joined(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Hashes of several shards behind each other; there may be none."""
    return np.concatenate([np.empty(0, dtype=HASH), *parts])


def hashes_of(column: pa.ChunkedArray) -> NDArray[np.void]:
    """(n,) a column of 16 bytes as `HASH`."""
    parts = [
        np.frombuffer(chunk.buffers()[1], HASH, len(chunk), HASH.itemsize * chunk.offset)
        for chunk in column.chunks
        if len(chunk)
    ]
    return joined(parts)


def score_shard(task: ScoreTask) -> None:
    """Score all documents of a shard, also those that the first rule would drop."""
    final = Path(task.work) / "scored" / task.key
    if not final.exists():
        with published_folder(final) as folder:
            _score_into(folder, task)
        crash_point("after_shard_scored")


def _score_into(folder: Path, task: ScoreTask) -> None:
    table = read_table(Path(task.work) / task.shard.file)
    raw: list[str] = table.column("text").to_pylist()
    metadata: list[str] = table.column("metadata").to_pylist()
    scored = score_texts(raw, metadata, task.filters)
    labelled = _with_labels(metadata, scored.labels)
    ids, titles = table.column("id").to_pylist(), table.column("title").to_pylist()
    columns: dict[str, Any] = {
        **{name: table.column(name) for name in ("id", "location", "unit")},
        "id_hash": pa.array([xxhash.xxh3_128_digest(name.encode()) for name in ids], pa.binary(16)),
        "content_hash": pa.array([content_hash(text) for text in scored.texts], pa.binary(16)),
        "key": pa.array(_keys(ids, titles, scored.texts, labelled), pa.binary(16)),
        **_sizes(table.column("text"), raw, scored.texts),
        "failure": pa.array(scored.failures, pa.string()),
        **{name: pa.array(values, pa.float64()) for name, values in scored.scores.items()},
    }
    write_table(folder / _SCORES, pa.table(columns))
    if scored.texts is not raw or labelled is not metadata:
        edited = {
            name: pa.array(
                [new if new != old else None for new, old in zip(after, before, strict=True)], pa.string()
            )
            for name, after, before in (("text", scored.texts, raw), ("metadata", labelled, metadata))
        }
        write_texts(folder / TEXTS_FILE, pa.table(edited))
    if task.near is not None:
        np.save(folder / _SIGNATURES, signatures(scored.texts, task.near))


def _with_labels(metadata: list[str], labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Metadata in JSON with what the filters say of each document, where it says nothing of that itself."""
    if not labels:
        return metadata
    names = [*labels]
    return [
        json.dumps(
            {**dict(zip(names, of_one, strict=True)), **json.loads(record)},
            ensure_ascii=False,
            sort_keys=True,
        )
        for record, *of_one in zip(metadata, *labels.values(), strict=True)
    ]


def _keys(
    ids: Sequence[str], titles: Sequence[str], texts: Sequence[str], metadata: Sequence[str]
) -> list[bytes]:
    """16 bytes that are equal only for documents whose passages are equal."""
    rows = zip(ids, titles, texts, metadata, strict=True)
    return [xxhash.xxh3_128_digest(json.dumps(row, ensure_ascii=False).encode()) for row in rows]


def _sizes(column: pa.ChunkedArray, raw: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Words and bytes of the texts as read, which `column` holds too, and as edited."""
    before = [len(words(text)) for text in raw]
    after = [
        count if new == old else len(words(new)) for new, old, count in zip(texts, raw, before, strict=True)
    ]
    edited = column if texts is raw else pa.array(texts, pa.string())
    return {
        "raw_words": pa.array(before, pa.int32()),
        "raw_bytes": pc.binary_length(column),
        "words": pa.array(after, pa.int32()),
        "bytes": pc.binary_length(edited),
    }


def read_documents(
    work: Path, scored: ScoredShard, columns: Sequence[str], positions: NDArray[np.int64]
) -> pa.Table:
    """Columns of some documents of a shard, at ascending positions, texts and metadata as the filters left them.

    Raises
    ------
    FileNotFoundError
        If the texts were not kept.
    """
    table = read_rows(work / scored.shard.file, [*columns], positions)
    edited = [name for name in ("text", "metadata") if name in columns]
    if edited and (scored.folder / TEXTS_FILE).exists():
        edits = read_rows(scored.folder / TEXTS_FILE, edited, positions)
        for name in edited:
            place = table.column_names.index(name)
            table = table.set_column(place, name, pc.coalesce(edits.column(name), table.column(name)))
    return table
