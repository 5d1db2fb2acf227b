"""Chunk: the documents of a shard that stay become passages, the text half of a segment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datastore import EncoderConfig
from datastore.changes.write import SegmentCounts
from datastore.encoders import load_encoder
from datastore.files import crash_point, published_folder
from datastore.segment import DEDUP_FILE, Passage, write_passages

from ..chunk import Chunk, chunk_documents
from ..decontaminate import contaminated, prepared_questions, report
from ..duplicates import NearDuplicates
from ..recipe import ChunkConfig
from .read import Shard
from .score import ScoredShard, read_documents
from .tables import write_table

LEAKS_FILE = "leaks.arrow"


class ChunkTask(NamedTuple):
    work: str
    key: str  # becomes the segment's id
    scored: str  # folder of the shard's scores
    shard: Shard
    chosen: NDArray[np.int64]  # positions of the shard's documents, ascending
    chunk: ChunkConfig
    encoder: EncoderConfig
    questions: Path | None  # prepared ones, whose passages are left out
    near: NearDuplicates | None  # None: no signatures were computed


class Draft(NamedTuple):
    """A segment to be: its id, and what will be in it."""

    key: str
    passages: int
    counts: SegmentCounts
    contaminated: int  # passages that were left out


def chunk_shard(task: ChunkTask) -> Draft:
    """Cut documents of a shard into passages."""
    final = Path(task.work) / "passages" / task.key
    if not final.exists():
        with published_folder(final) as folder:
            _chunk_into(folder, task)
        crash_point("after_shard_chunked")
    account = json.loads((final / "account.json").read_bytes())
    return Draft(task.key, account["passages"], SegmentCounts(**account["counts"]), account["contaminated"])


def _chunk_into(folder: Path, task: ChunkTask) -> None:
    encoder = load_encoder(task.encoder)
    scored = ScoredShard(Path(task.scored), task.shard)
    columns = ["id", "title", "text", "metadata"]
    documents = read_documents(Path(task.work), scored, columns, task.chosen).to_pylist()
    chunks = chunk_documents(
        [row["title"] for row in documents], [row["text"] for row in documents], encoder, task.chunk
    )

    ids = [
        [f"{task.shard.source}/{row['id']}#{ordinal}" for ordinal in range(len(parts))]
        for row, parts in zip(documents, chunks, strict=True)
    ]
    left_out = _contaminated(folder, task, documents, chunks, ids)

    def passages() -> Iterator[Passage]:
        for number, (row, parts) in enumerate(zip(documents, chunks, strict=True)):
            metadata = json.loads(row["metadata"])
            for ordinal, part in enumerate(parts):
                if left_out[number][ordinal]:
                    continue
                yield Passage(
                    passage_id=ids[number][ordinal],
                    document_id=row["id"],
                    source=task.shard.source,
                    title=row["title"],
                    ordinal=ordinal,
                    start=part.start,
                    end=part.end,
                    text=row["text"][part.start : part.end],
                    metadata=metadata,
                )

    rows = write_passages(folder, passages())
    _write_dedup(folder, scored, task.chosen, left_out, task.near)
    flat = [
        part
        for number, parts in enumerate(chunks)
        for ordinal, part in enumerate(parts)
        if not left_out[number][ordinal]
    ]
    write_table(
        folder / "inputs.arrow",
        pa.table(
            {
                "input": pa.array([part.input for part in flat], pa.string()),
                "tokens": pa.array([part.tokens for part in flat], pa.int32()),
            }
        ),
    )
    counts = SegmentCounts(
        documents=sum(not all(of_one) for of_one in left_out),
        tokens=sum(part.tokens for part in flat),
        unread_tokens=sum(max(0, part.tokens - encoder.token_budget) for part in flat),
    )
    account = {"passages": rows, "counts": counts._asdict(), "contaminated": int(sum(map(sum, left_out)))}
    (folder / "account.json").write_text(json.dumps(account), encoding="utf-8")


def _write_dedup(
    folder: Path,
    scored: ScoredShard,
    chosen: NDArray[np.int64],
    left_out: Sequence[NDArray[np.bool_]],
    near: NearDuplicates | None,
) -> None:
    """What tells copies of these documents, for those of which a passage is left."""
    counts = np.array([int((~of_one).sum()) for of_one in left_out], dtype=np.int64)
    has_any = counts > 0
    first = (np.cumsum(counts) - counts)[has_any].astype(np.uint64)
    contents = scored.hashes("content_hash")[chosen][has_any]
    columns = [first, contents["high"], contents["low"]]
    if near is not None:
        columns.append(np.full(len(first), near.signature_key(), dtype=np.uint64))
        columns.append(np.load(scored.signatures, mmap_mode="r")[chosen][has_any])
    np.save(folder / DEDUP_FILE, np.column_stack(columns))


def _contaminated(
    folder: Path,
    task: ChunkTask,
    documents: Sequence[Mapping[str, str]],
    chunks: Sequence[Sequence[Chunk]],
    ids: Sequence[Sequence[str]],
) -> list[NDArray[np.bool_]]:
    """For each document which of its passages are left out; why is written beside the others."""
    if task.questions is None:
        return [np.zeros(len(parts), dtype=np.bool_) for parts in chunks]
    ranges = [[(part.start, part.end) for part in parts] for parts in chunks]
    texts = [row["text"] for row in documents]
    found = contaminated(texts, ranges, prepared_questions(task.questions))
    table = report(found.leaks, ids)
    table = table.append_column("source", pa.array([task.shard.source] * table.num_rows, pa.string()))
    names = [documents[leak.text]["id"] for leak in found.leaks]
    write_table(folder / LEAKS_FILE, table.append_column("document_id", pa.array(names, pa.string())))
    return found.passages
