"""The stages of a build as plain functions: a task in, files in the work area and a small account out.

A stage writes into a temporary folder that gets its final name last, and the name is derived from all that the
result depends on. So a folder that exists is complete, and a rerun does only what is missing.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import EncoderConfig
from datastore.changes.write import SegmentCounts, content_key, publish_segment
from datastore.encoders import load_encoder
from datastore.files import crash_point, published_folder
from datastore.manifest import SegmentEntry
from datastore.segment import (
    EXACT_VECTORS_FILE,
    PASSAGE_FILES,
    Passage,
    write_passages,
    write_vectors,
)
from datastore.text import content_hash, normalise

from .chunk import chunk_documents
from .document import Document, Reject
from .filters import Filters, drop_reason
from .recipe import ChunkConfig, ShardConfig
from .sources import SourceConfig, Unit, read

# Of each reason in each read task this many rejects are kept to read; all are counted.
REJECTS_KEPT = 100
SAMPLE_CHARACTERS = 500

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # normalised
        pa.field("metadata", pa.string(), nullable=False),  # JSON object
        pa.field("location", pa.string(), nullable=False),
        pa.field("content_hash", pa.binary(16), nullable=False),
    ]
)


class Shard(NamedTuple):
    """A bounded file of documents in the work area."""

    file: str  # relative to the work area
    documents: int
    characters: int
    key: str  # hash of the documents in it


class ReadTask(NamedTuple):
    work: str
    key: str
    source: SourceConfig
    units: tuple[Unit, ...]
    filters: Filters
    shard: ShardConfig


class ReadResult(NamedTuple):
    """What reading gave: shards of kept documents, and what was set aside."""

    shards: list[Shard]
    records: int
    dropped: dict[str, int]
    rejects: list[Reject]


def read_units(task: ReadTask) -> ReadResult:
    """Read, normalise and filter some units of one source into shards."""
    final = Path(task.work) / "read" / task.key
    if not final.exists():
        with published_folder(final) as folder:
            _read_into(folder, task)
        crash_point("after_units_read")
    account = json.loads((final / "account.json").read_bytes())
    return ReadResult(
        shards=[Shard(*shard) for shard in account["shards"]],
        records=account["records"],
        dropped=account["dropped"],
        rejects=[Reject(*reject) for reject in account["rejects"]],
    )


def _read_into(folder: Path, task: ReadTask) -> None:
    dropped: Counter[str] = Counter()
    rejects: list[Reject] = []
    shards: list[Shard] = []
    waiting: list[dict[str, Any]] = []
    records = characters = 0

    def flush() -> None:
        nonlocal waiting, characters
        if not waiting:
            return
        name = f"documents-{len(shards):05d}.arrow"
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_file(sink, DOCUMENTS) as file:
            file.write_table(pa.Table.from_pylist(waiting, schema=DOCUMENTS))
        key = content_key([[row["id"], row["title"], row["text"], row["metadata"]] for row in waiting])
        shards.append(Shard(f"read/{task.key}/{name}", len(waiting), characters, key))
        waiting, characters = [], 0

    for record in chain.from_iterable(read(task.source, unit) for unit in task.units):
        records += 1
        outcome = _decide(record, task.filters)
        if isinstance(outcome, Reject):
            dropped[outcome.reason] += 1
            if dropped[outcome.reason] <= REJECTS_KEPT:
                rejects.append(outcome)
            continue
        waiting.append(outcome)
        characters += len(outcome["text"])
        if len(waiting) >= task.shard.documents or characters >= task.shard.characters:
            flush()
    flush()
    account = {"shards": shards, "records": records, "dropped": dropped, "rejects": rejects}
    (folder / "account.json").write_text(json.dumps(account, ensure_ascii=False), encoding="utf-8")


def _decide(record: Document | Reject, filters: Filters) -> dict[str, Any] | Reject:
    """The row of a document that stays, or why it does not."""
    if isinstance(record, Reject):
        return record._replace(sample=record.sample[:SAMPLE_CHARACTERS])
    text = normalise(record.text)
    reason = drop_reason(text, filters) if text else "no_text"
    if reason is not None:
        return Reject(reason, record.location, record.id, "", text[:SAMPLE_CHARACTERS])
    return {
        "id": record.id,
        "title": " ".join(normalise(record.title).split()),
        "text": text,
        "metadata": json.dumps(dict(record.metadata), ensure_ascii=False, sort_keys=True),
        "location": record.location,
        "content_hash": content_hash(text),
    }


def open_shard(work: Path, shard: Shard) -> pa.Table:
    with pa.memory_map(str(work / shard.file)) as source:
        return pa.ipc.open_file(source).read_all()


class ChunkTask(NamedTuple):
    work: str
    key: str
    source: str
    shard: Shard
    kept: NDArray[np.int64]  # positions of the shard's documents that stay, ascending
    chunk: ChunkConfig
    encoder: EncoderConfig


class Draft(NamedTuple):
    """A segment to be: its id, and what will be in it."""

    key: str
    passages: int
    counts: SegmentCounts


def chunk_shard(task: ChunkTask) -> Draft:
    """Cut a shard's documents into passages: the text half of a segment."""
    final = Path(task.work) / "passages" / task.key
    if not final.exists():
        with published_folder(final) as folder:
            _chunk_into(folder, task)
        crash_point("after_shard_chunked")
    account = json.loads((final / "account.json").read_bytes())
    return Draft(task.key, account["passages"], SegmentCounts(**account["counts"]))


def _chunk_into(folder: Path, task: ChunkTask) -> None:
    encoder = load_encoder(task.encoder)
    table = open_shard(Path(task.work), task.shard).take(pa.array(task.kept))
    documents = table.select(["id", "title", "text", "metadata"]).to_pylist()
    chunks = chunk_documents(
        [row["title"] for row in documents], [row["text"] for row in documents], encoder, task.chunk
    )

    def passages() -> Iterator[Passage]:
        for row, parts in zip(documents, chunks, strict=True):
            metadata = json.loads(row["metadata"])
            for ordinal, part in enumerate(parts):
                yield Passage(
                    passage_id=f"{task.source}/{row['id']}#{ordinal}",
                    document_id=row["id"],
                    source=task.source,
                    title=row["title"],
                    ordinal=ordinal,
                    start=part.start,
                    end=part.end,
                    text=row["text"][part.start : part.end],
                    metadata=metadata,
                )

    rows = write_passages(folder, passages())
    flat = [part for parts in chunks for part in parts]
    with pa.OSFile(str(folder / "inputs.arrow"), "wb") as sink:
        inputs = pa.table({"input": pa.array([part.input for part in flat], pa.string())})
        with pa.ipc.new_file(sink, inputs.schema) as file:
            file.write_table(inputs)
    counts = SegmentCounts(
        documents=len(documents),
        tokens=sum(part.tokens for part in flat),
        unread_tokens=sum(max(0, part.tokens - encoder.token_budget) for part in flat),
    )
    account = {"passages": rows, "counts": counts._asdict()}
    (folder / "account.json").write_text(json.dumps(account), encoding="utf-8")


class EmbedTask(NamedTuple):
    store: str
    work: str
    draft: Draft
    truncate: bool
    encoder: EncoderConfig
    exact_encoder: EncoderConfig | None
    threads: int


def embed_segment(task: EmbedTask, on_batch: Callable[[int], None] | None = None) -> SegmentEntry:
    """Give a shard's passages their vectors and publish the segment in the store."""
    passages = Path(task.work) / "passages" / task.draft.key
    with pa.memory_map(str(passages / "inputs.arrow")) as source:
        inputs = pa.ipc.open_file(source).read_all().column("input").to_pylist()
    vectors = load_encoder(task.encoder).encode_passages(
        inputs, truncate=task.truncate, threads=task.threads, on_batch=on_batch
    )
    exact = None
    if task.exact_encoder is not None:
        # Passages are cut for the first encoder: one that reads less than it sees their beginning.
        exact = load_encoder(task.exact_encoder).encode_passages(inputs, truncate=True, threads=task.threads)
    crash_point("after_embedding")

    def fill(folder: Path) -> int:
        for name in PASSAGE_FILES:
            shutil.copyfile(passages / name, folder / name)
        write_vectors(folder, vectors)
        if exact is not None:
            write_vectors(folder, exact, file=EXACT_VECTORS_FILE)
        return len(vectors)

    return publish_segment(Path(task.store), task.draft.key, task.draft.counts, fill)
