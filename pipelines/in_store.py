"""Which texts a store, or another row, has already: what `add` does not bring in a second time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, IntegrityError
from datastore.arrays import read_array
from datastore.segment import DEDUP_FILE, Passage, Segment
from datastore.text import content_hash

from .duplicates import NearDuplicates, near_duplicates, signatures
from .executors import open_executor

_CHARACTERS = 10_000  # that a stored document is taken to have: only to read texts in bounded lots
_TABLE = NDArray[np.uint64]  # as datastore/segment.py says of dedup.npy


class _Place(NamedTuple):
    segment: Segment
    position: int


def copies_in_store(
    store: Datastore, texts: Sequence[str], near: NearDuplicates | None = None
) -> list[str | None]:
    """For each text the id of a stored document with the same text but for case and white space, or None.

    With `near`, also of one that is nearly the same. What a build wrote down of its documents is used; documents that
    were added otherwise are read, which takes time in a large store.
    """
    tables = [_table_of(store, number, near) for number in range(len(store.snapshot.catalog.segments))]
    places = [
        _Place(segment, int(position))
        for segment, table in zip(store.snapshot.catalog.segments, tables, strict=True)
        for position in table[:, 0]
    ]
    known = {(int(high), int(low)): i for i, (high, low) in enumerate(_joined(tables, 1, 3))}
    found: list[int | None] = [
        known.get((int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")))
        for digest in map(content_hash, texts)
    ]
    if near is not None and texts:
        for number, copy in enumerate(_near(places, _joined(tables, 4, None), texts, near)):
            if found[number] is None:
                found[number] = copy
    return [None if at is None else _first_passage(places[at]).document_id for at in found]


def copies_among(texts: Sequence[str], near: NearDuplicates | None = None) -> list[int | None]:
    """For each text the position of the one that stays in its place, or None where it stays itself.

    As a build chooses within one source: of texts that differ in case and white space alone the first stays, and with
    `near` of those that are nearly the same the longest.
    """
    first: dict[bytes, int] = {}
    stays = [first.setdefault(content_hash(text), position) for position, text in enumerate(texts)]
    if near is not None and len(first) > 1:
        rows = [*first.values()]
        chosen = _centres([texts[row] for row in rows], near)
        better = dict(zip(rows, (rows[position] for position in chosen), strict=True))
        stays = [better[row] for row in stays]
    return [None if row == position else row for position, row in enumerate(stays)]


def _centres(texts: Sequence[str], config: NearDuplicates) -> list[int]:
    with tempfile.TemporaryDirectory() as scratch, open_executor("serial") as runner:
        file = Path(scratch) / "new.npy"
        np.save(file, signatures(texts, config))
        centre = near_duplicates(
            [file],
            lambda rows: [texts[row] for row in rows],
            np.zeros(len(texts), dtype=np.int64),
            np.array([len(text) for text in texts]),
            config,
            work=Path(scratch) / "work",
            executor=runner,
        )
    positions: list[int] = centre.tolist()
    return positions


def _joined(tables: Sequence[_TABLE], start: int, stop: int | None) -> _TABLE:
    return (
        np.concatenate([table[:, start:stop] for table in tables]) if tables else np.empty((0, 2), np.uint64)
    )


def _first_passage(place: _Place) -> Passage:
    return place.segment.read_passage(place.position)


def _near(
    places: Sequence[_Place], stored: _TABLE, texts: Sequence[str], config: NearDuplicates
) -> Iterator[int | None]:
    """For each text the number of a stored document that is nearly the same; of texts among each other nothing."""
    first_new = len(places)

    def read(rows: NDArray[np.int64]) -> list[str]:
        return [_document_text(places[row]) if row < first_new else texts[row - first_new] for row in rows]

    with tempfile.TemporaryDirectory() as scratch, open_executor("serial") as runner:
        files = [Path(scratch) / "stored.npy", Path(scratch) / "new.npy"]
        np.save(files[0], stored.reshape(first_new, -1))
        np.save(files[1], signatures(texts, config))
        centre = near_duplicates(
            files,
            read,
            np.repeat([0, 1], [first_new, len(texts)]),
            np.array([_CHARACTERS] * first_new + [len(text) for text in texts]),
            config,
            work=Path(scratch) / "work",
            executor=runner,
            first_new=first_new,
        )
    for copy in centre[first_new:].tolist():
        yield copy if copy < first_new else None


def _table_of(store: Datastore, number: int, near: NearDuplicates | None) -> _TABLE:
    """What tells copies of a segment's live documents, as its build wrote it down or from its passages."""
    catalog = store.snapshot.catalog
    segment, first = catalog.segments[number], int(catalog.first_rows[number])
    table: _TABLE | None = None
    if DEDUP_FILE in segment.entry.files:
        try:
            table = read_array(segment.folder / DEDUP_FILE, (None, None), np.uint64)
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"{segment.folder / DEDUP_FILE} cannot be read: {error}",
                hint=f"compendia verify {store.path}",
            ) from error
        if near is not None and (table.shape[1] == 3 or (table[:, 3] != near.signature_key()).any()):
            table = None  # the build looked for exact copies alone, or in another way
    if table is None:
        table = _computed(segment, near)
    live = catalog.live
    if live is not None:
        table = table[live[first + table[:, 0].astype(np.int64)]]
    return table if near is not None else table[:, :3]


def _computed(segment: Segment, near: NearDuplicates | None) -> _TABLE:
    positions, texts = [], []
    position = 0
    for _, of_document in groupby(segment.read_passages(), key=lambda one: (one.source, one.document_id)):
        passages = [*of_document]
        positions.append(position)
        texts.append(_text_of(passages))
        position += len(passages)
    digests = np.frombuffer(b"".join(map(content_hash, texts)), dtype="<u8").reshape(-1, 2)
    parts = [np.array(positions, dtype=np.uint64)[:, None], digests]
    if near is not None:
        parts.append(np.full((len(texts), 1), near.signature_key(), dtype=np.uint64))
        parts.append(signatures(texts, near))
    return np.concatenate(parts, axis=1)


def _document_text(place: _Place) -> str:
    """The document whose first passage stands at a place, read up to the next document."""
    passages = [_first_passage(place)]
    for position in range(place.position + 1, place.segment.entry.rows):
        passage = place.segment.read_passage(position)
        if (passage.source, passage.document_id) != (passages[0].source, passages[0].document_id):
            break
        passages.append(passage)
    return _text_of(passages)


def _text_of(passages: Sequence[Passage]) -> str:
    """The document's text but for white space: what stood between two passages is one blank, or nothing."""
    text = passages[0].text
    for before, passage in pairwise(passages):
        text += (" " if passage.start > before.end else "") + passage.text
    return text
