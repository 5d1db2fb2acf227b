"""Faults that no file's checksum shows: manifests that were edited, and files that were written wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from compendia.cli import app
from datastore import Datastore, EncoderConfig, IntegrityError, verify, verify_recall
from datastore.changes.fold import fold
from datastore.changes.write import SegmentCounts, commit_next, publish_segment
from datastore.encoders import load_encoder
from datastore.manifest import Manifest, StoredEncoder, manifest_path, read_manifest
from datastore.segment import EXACT_VECTORS_FILE, Passage, write_passages, write_vectors

HASHING = EncoderConfig(model="hashing")


def write_store(
    path: Path,
    ids: list[str],
    vectors: np.ndarray,
    indexed: np.ndarray | None = None,
    exact_encoder: StoredEncoder | None = None,
) -> Path:
    """A store of one segment, whose index, if it has one, may be over other vectors."""

    def publish(name: str, content: np.ndarray):
        def fill(folder: Path) -> int:
            write_vectors(folder, content)
            if exact_encoder is not None:
                write_vectors(folder, content, file=EXACT_VECTORS_FILE)
            return write_passages(folder, [Passage(id_, id_, "s", "", 0, 0, 1, "t", {}) for id_ in ids])

        return publish_segment(path, name, SegmentCounts(len(ids)), fill)

    entry = publish("right", vectors)
    manifest = Manifest(
        version=1,
        parent=None,
        metric="cosine",
        dimension=256,
        encoder=StoredEncoder(config=HASHING, fingerprint=load_encoder(HASHING).fingerprint),
        exact_encoder=exact_encoder,
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


@pytest.fixture
def three_versions(tmp_path) -> Path:
    with Datastore.create(tmp_path / "s", dimension=4, features=()) as store:
        store.add(np.eye(4), ids=list("abcd"))
        store.delete(["a"])
    return tmp_path / "s"


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["segments"][0].update(documents=3),
        lambda manifest: manifest["segments"][0].update(deletes=None),
        lambda manifest: manifest.update(parent=1),
        lambda manifest: manifest.update(metric="l2"),
        lambda manifest: manifest.update(checksum="0" * 32),
    ],
)
def test_a_manifest_that_was_edited_is_refused_and_one_without_a_checksum_read(three_versions, change):
    file = manifest_path(three_versions, 3)
    written = json.loads(file.read_text())
    edited = json.loads(file.read_text())
    change(edited)
    file.write_text(json.dumps(edited))

    with pytest.raises(IntegrityError, match="has another checksum than when it was written"):
        Datastore.open(three_versions)

    del written["checksum"]  # as earlier stores are
    file.write_text(json.dumps(written))
    assert len(Datastore.open(three_versions)) == 3
    assert verify(three_versions) == []


@pytest.mark.parametrize("content", ["", "{", None])
def test_manifests_of_earlier_versions_are_verified(three_versions, content):
    file = manifest_path(three_versions, 2)
    file.write_text(
        file.read_text().replace('"documents": 4', '"documents": 5') if content is None else content
    )

    (fault,) = verify(three_versions)

    assert "00000002.json" in fault
    assert len(Datastore.open(three_versions)) == 3


def with_encoder(path: Path, config: EncoderConfig = HASHING, **changed: object) -> Path:
    """A store whose manifest says other things of its encoder."""
    write_store(path, list("abc"), unit_vectors(3, 0))
    fingerprint = load_encoder(HASHING).fingerprint.model_copy(update=changed)
    changes = {"version": 2, "encoder": StoredEncoder(config=config, fingerprint=fingerprint)}
    commit_next(path, read_manifest(path).model_copy(update=changes))
    return path


def test_an_encoder_that_did_not_make_the_vectors(tmp_path):
    notes: list[str] = []
    path = with_encoder(tmp_path / "s", revision="1", max_tokens=9, model="moved, which does not matter")

    (fault,) = verify(path, on_note=notes.append)

    assert fault.startswith("the encoder 'hashing' is not the one that made the vectors: ")
    assert fault.endswith("revision '2' instead of '1', max_tokens 256 instead of 9")
    assert notes == []


def test_recall_says_that_it_is_of_the_index_where_a_second_encoder_decides(tmp_path):
    second = StoredEncoder(config=HASHING, fingerprint=load_encoder(HASHING).fingerprint)
    ids = [f"v{row}" for row in range(30)]
    one = write_store(tmp_path / "one", ids, unit_vectors(30, 0))
    two = write_store(tmp_path / "two", ids, unit_vectors(30, 0), exact_encoder=second)

    assert (verify_recall(one).of, verify_recall(two).of) == ("search", "index")
    said = CliRunner().invoke(app, ["verify", str(two), "--recall"], catch_exceptions=False).output
    assert (
        "recall of the index alone, not of the second encoder's order, measured with 30 queries (rows):"
        in said
    )


def test_the_encoder_of_the_exact_vectors_is_compared_too(tmp_path):
    path = tmp_path / "s"
    right = StoredEncoder(config=HASHING, fingerprint=load_encoder(HASHING).fingerprint)
    write_store(path, list("abc"), unit_vectors(3, 0), exact_encoder=right)

    assert verify(path) == []

    wrong = right.fingerprint.model_copy(update={"dtype": "bfloat16"})
    changes = {"version": 2, "exact_encoder": right.model_copy(update={"fingerprint": wrong})}
    commit_next(path, read_manifest(path).model_copy(update=changes))

    assert verify(path) == [
        "the encoder 'hashing' is not the one that made the vectors: dtype 'float32' instead of 'bfloat16'"
    ]


def test_an_encoder_that_is_not_here_is_noted_and_no_fault(tmp_path):
    notes: list[str] = []
    path = with_encoder(tmp_path / "s", config=EncoderConfig(model=str(tmp_path / "elsewhere")))

    assert verify(path) == []
    assert verify(path, on_note=notes.append) == []
    (note,) = notes
    assert note.startswith(f"the encoder '{tmp_path}/elsewhere' is not checked: cannot load the encoder")


def test_the_command_line_tells_faults_from_notes(tmp_path):
    other = with_encoder(tmp_path / "other", revision="1")
    absent = with_encoder(tmp_path / "absent", config=EncoderConfig(model=str(tmp_path / "elsewhere")))

    wrong, noted = (CliRunner().invoke(app, ["verify", str(path)]) for path in (other, absent))

    assert (wrong.exit_code, "revision '2' instead of '1'" in wrong.stdout) == (4, True)
    assert (noted.exit_code, "is not checked" in noted.stderr) == (0, True)
