"""Passages as JSON lines with their vectors as .npy: row i is passage i, as the CompactDS release has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from datastore import UsageError
from datastore.changes.batch import SEGMENT_ROWS
from datastore.changes.edit import Rows

from .document import BROKEN_INPUT, Document, Reject
from .sources.compactds import is_release_name, read_compactds, shard_name
from .sources.formats import format_of
from .sources.jsonl import read_jsonl
from .sources.listing import FoundFile, list_files
from .sources.records import Fields
from .sources.unit import Unit
from .vector_rows import Block

_HALVES = ("passages", "embeddings", "embedding", "vectors")
# The release's index of byte offsets: positions are counted anew here.
_POSITIONS = ("passage_pos_id_array.npy", "passage_filenames.npy")
_LONGEST_PASSAGE_BYTES = 20_000_000


class Pair(NamedTuple):
    """The rows of all its vectors, one file behind the other, are those of all its passages."""

    passages: tuple[FoundFile, ...]
    vectors: tuple[FoundFile, ...]


def pairs_in(folder: Path) -> list[Pair]:
    """Passages with their vectors, in the order of the release; none if a folder has only one of both.

    `<domain>--raw_passages_<rank>-<shard>-of-<n>.jsonl` belongs to `<domain>--passages<rank>_<shard>.npy`, `a.jsonl` to
    `a.npy`, and one file of either kind to all of the other.

    Raises
    ------
    UsageError
        If a file of one kind has no partner, or vectors are pickled.
    """
    files = [
        file for file in list_files(str(folder)).files if PurePosixPath(file.name).name not in _POSITIONS
    ]
    passages = {_key(file): file for file in files if format_of(file.place) in ("jsonl", "compactds")}
    vectors = {_key(file): file for file in files if file.name.endswith(".npy")}
    pickles = {_key(file): file for file in files if file.name.endswith((".pkl", ".pickle"))}
    if only_pickled := (passages.keys() & pickles.keys()) - vectors.keys():
        raise pickled(Path(pickles[min(only_pickled)].place))
    if not passages or not vectors:
        return []
    if any(file.name.endswith(".parquet") for file in files):
        raise UsageError(
            f"{folder} holds passages both as JSON lines and as Parquet", hint="one folder for each"
        )
    if passages.keys() == vectors.keys():
        return [Pair((passages[key],), (vectors[key],)) for key in sorted(passages)]
    if len(passages) == 1 or len(vectors) == 1:
        return [Pair(*(tuple(files[key] for key in sorted(files)) for files in (passages, vectors)))]
    alone = min(passages.keys() ^ vectors.keys())
    raise UsageError(
        f"{(passages | vectors)[alone].name} has no partner: {folder} holds {len(passages)} files of passages and "
        f"{len(vectors)} of vectors",
        hint="name the vectors of a.jsonl a.npy, those of raw_passages_0-3-of-8.jsonl passages0_03.npy",
    )


def is_release(folder: Path) -> bool:
    """Whether a folder holds passages and vectors, pickled ones too, named as the release names them."""
    names = [PurePosixPath(file.name).name for file in list_files(str(folder)).files]
    has_vectors = any(not shard_name(name).stem for name in names if name.endswith((".npy", ".pkl")))
    return has_vectors and any(map(is_release_name, names))


def _key(file: FoundFile) -> tuple[Any, ...]:
    path = PurePosixPath(file.name)
    folder = [part for part in path.parent.parts if part not in _HALVES]
    return (*folder, "/", *shard_name(path.name))


def pickled(file: Path) -> UsageError:
    return UsageError(
        f"{file} is a pickle: to open one is to run whatever code it holds, so it is not read",
        hint="where you trust it, convert it: python -c 'import pickle, sys, numpy; "
        'ids, vectors = pickle.load(open(sys.argv[1], "rb")); numpy.save(sys.argv[1][:-4] + ".npy", vectors)\' '
        f"{file}",
    )


def read_pair(
    pair: Pair, arrays: Sequence[np.ndarray[Any, Any]], id_column: str, text_column: str
) -> Iterator[Block]:
    """The rows of a pair, bounded blocks at a time; `arrays` are those of its vectors, in order.

    A field `source` or `title` is the passage's own, all others become metadata.

    Raises
    ------
    UsageError
        If there are more or fewer passages than vectors, a line is blank or an archive broken: all behind it would have
        another's vector.
    """
    fields = Fields(id=id_column, text=text_column)
    passages = (passage for file in pair.passages for passage in _read(file, fields))
    rows = 0
    for array, vectors in zip(arrays, pair.vectors, strict=True):
        for start in range(0, len(array), SEGMENT_ROWS):
            block = array[start : start + SEGMENT_ROWS]
            found = list(islice(passages, len(block)))
            faults = {row: item for row, item in enumerate(found) if isinstance(item, Reject)}
            documents = [
                Document(item.location, "", "", {}, "") if isinstance(item, Reject) else item
                for item in found
            ]
            rows += len(documents)
            if len(documents) < len(block):
                raise _uneven(pair, rows, sum(map(len, arrays)))
            rows_read = Rows(
                block,
                [document.id for document in documents],
                [document.text for document in documents],
                [
                    {**document.metadata, **({"title": document.title} if document.title else {})}
                    for document in documents
                ],
            )
            yield Block(rows_read, faults, vectors.name, start)
    if left := sum(1 for _ in passages):
        raise _uneven(pair, rows + left, rows)


def _uneven(pair: Pair, passages: int, vectors: int) -> UsageError:
    names = [f"{files[0].name}{' and others' if len(files) > 1 else ''}" for files in pair]
    return UsageError(
        f"{names[0]} holds {passages:,} passages, {names[1]} {vectors:,} vectors; row i must be passage i",
        hint="find which of both is incomplete; nothing was added",
    )


def _read(file: FoundFile, fields: Fields) -> Iterator[Document | Reject]:
    unit = Unit(*file)
    items: Iterator[Document | Reject] = (
        read_compactds(unit, _LONGEST_PASSAGE_BYTES, fields)
        if is_release_name(file.name)
        else read_jsonl(unit, fields, _LONGEST_PASSAGE_BYTES)
    )
    for line, item in enumerate(items, start=1):
        location = f"{file.name}:{line}"
        if isinstance(item, Reject) and item.reason in BROKEN_INPUT:
            raise UsageError(f"{item.location} is not a passage: {item.reason}, {item.detail}")
        if item.location != location:
            raise UsageError(f"{location} is blank", hint="a line without a passage shifts all behind it")
        yield item
