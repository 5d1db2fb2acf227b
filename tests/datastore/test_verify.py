"""Faults that no checksum shows: files that are as they were written, and were written wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datastore import EncoderConfig, verify
from datastore.changes.fold import fold
from datastore.changes.write import SegmentCounts, commit_next, publish_segment
from datastore.encoders import load_encoder
from datastore.manifest import Manifest, StoredEncoder
from datastore.segment import Passage, write_passages, write_vectors

HASHING = EncoderConfig(model="hashing")


def write_store(path: Path, ids: list[str], vectors: np.ndarray, indexed: np.ndarray | None = None) -> Path:
    """A store of one segment, whose index, if it has one, may be over other vectors."""

    def publish(name: str, content: np.ndarray):
        def fill(folder: Path) -> int:
            write_vectors(folder, content)
            return write_passages(folder, [Passage(id_, id_, "s", "", 0, 0, 1, "t", {}) for id_ in ids])

        return publish_segment(path, name, SegmentCounts(len(ids)), fill)

    entry = publish("right", vectors)
    manifest = Manifest(
        version=1,
        parent=None,
        metric="cosine",
        dimension=256,
        encoder=StoredEncoder(config=HASHING, fingerprint=load_encoder(HASHING).fingerprint),
        segments=(publish("other", indexed) if indexed is not None else entry,),
        indexes=(),
    )
    indexes = fold(path, manifest)
    if indexed is not None:
        indexes = tuple(index.model_copy(update={"segments": ("right",)}) for index in indexes)
    commit_next(path, manifest.model_copy(update={"segments": (entry,), "indexes": indexes}))
    return path


def unit_vectors(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 256)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_ids_that_occur_twice(tmp_path):
    path = write_store(tmp_path / "s", ["a", "b", "a"], unit_vectors(3, 0))

    assert verify(path) == ["1 passage ids occur twice"]


def test_vectors_that_are_not_of_length_one(tmp_path):
    vectors = unit_vectors(5, 0)
    vectors[[1, 3]] *= 1.5

    assert verify(write_store(tmp_path / "s", list("abcde"), vectors)) == [
        "row 1 and 1 more have vectors whose length is not one"
    ]


def test_an_index_over_other_vectors(tmp_path):
    ids = [str(i) for i in range(2_000)]

    (fault,) = verify(write_store(tmp_path / "s", ids, unit_vectors(2_000, 0), unit_vectors(2_000, 1)))

    assert " does not find " in fault
    assert fault.endswith(" of 20 of the store's own vectors")
