from __future__ import annotations

import gzip
import json
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datastore import Datastore, NotFoundError, UsageError
from datastore.manifest import current_version
from pipelines import vector_pairs
from pipelines.vector_pairs import pairs_in
from pipelines.vectors import build_from_vectors, holds_vectors

DIMENSION = 4


def vectors_of(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float16)


def write_passages(path: Path, texts: list[str], source: str = "s") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = b"".join(
        json.dumps({"id": number, "text": text, "source": source, "shard_id": 0}).encode() + b"\n"
        for number, text in enumerate(texts)
    )
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


def write_vectors(path: Path, vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


@pytest.fixture
def release(tmp_path) -> Path:
    """Two domains as the release lays them out, one in 11 shards, whose names do not sort as their numbers do."""
    folder = tmp_path / "release"
    for shard in range(11):
        texts = [f"math {shard} {row}" for row in range(shard + 1)]
        write_passages(folder / f"passages/math--raw_passages_0-{shard}-of-11.jsonl", texts, "math")
        write_vectors(folder / f"embeddings/math--passages0_{shard:02d}.npy", vectors_of(shard + 1, shard))
    write_passages(folder / "passages/pes2o--raw_passages_1-0-of-1.jsonl.gz", ["pes2o 0", "pes2o 1"], "pes2o")
    write_vectors(folder / "embeddings/pes2o--passages1_00.npy", vectors_of(2, 99))
    # What the release has besides: byte offsets, and an array of objects, which is a pickle.
    write_vectors(folder / "embeddings/index_IVFPQ/passage_pos_id_array.npy", np.arange(68))
    np.save(folder / "embeddings/index_IVFPQ/passage_filenames.npy", np.array(["a"], dtype=object))
    return folder


def nearest(store: Datastore, vector: np.ndarray[Any, Any]) -> Any:
    (hits,) = store.search(vector[None].astype(np.float32), k=1)
    return hits[0]


def test_each_passage_of_the_release_has_its_own_vector(release, tmp_path):
    assert build_from_vectors(release, tmp_path / "store").changed
    with Datastore.open(tmp_path / "store") as store:
        assert len(store) == 68
        for shard in (2, 10):
            for row, vector in enumerate(vectors_of(shard + 1, shard)):
                hit = nearest(store, vector)
                assert hit.text == f"math {shard} {row}"
                assert (hit.passage_id, hit.source) == (f"math--0-{shard}-of-11/{row}", "math")
        assert nearest(store, vectors_of(2, 99)[1]).text == "pes2o 1"
        assert nearest(store, vectors_of(2, 99)[1]).metadata["shard_id"] == 0
    assert not build_from_vectors(release, tmp_path / "store").changed


def test_pairs_stand_in_the_order_of_the_release(release):
    pairs = pairs_in(release)
    assert [pair.passages[0].name.partition("passages_")[2] for pair in pairs[:3]] == [
        "0-0-of-11.jsonl",
        "0-1-of-11.jsonl",
        "0-2-of-11.jsonl",
    ]
    assert [pair.vectors[0].name for pair in pairs[-2:]] == [
        "embeddings/math--passages0_10.npy",
        "embeddings/pes2o--passages1_00.npy",
    ]


def test_files_side_by_side_keep_their_own_ids(tmp_path):
    folder = tmp_path / "in"
    write_passages(folder / "corpus.jsonl", ["zero", "one"])
    vectors = write_vectors(folder / "corpus.npy", vectors_of(2))
    build_from_vectors(folder, tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        assert (nearest(store, vectors[1]).passage_id, nearest(store, vectors[1]).text) == ("1", "one")


def test_one_file_of_vectors_belongs_to_all_passages_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_pairs, "SEGMENT_ROWS", 4)  # blocks that end within files
    folder = tmp_path / "in"
    for shard in (0, 2, 10):
        write_passages(
            folder / f"passages/raw_passages_0-{shard}-of-11.jsonl", [f"{shard} {row}" for row in range(5)]
        )
    vectors = write_vectors(folder / "vectors.npy", vectors_of(15))
    build_from_vectors(folder, tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        found = [nearest(store, vector).text for vector in vectors]
    assert found == [f"{shard} {row}" for shard in (0, 2, 10) for row in range(5)]


@pytest.mark.parametrize(("passages", "vectors"), [(5, 3), (3, 5), (0, 5)])
def test_another_number_of_passages_than_vectors_is_refused_with_both(tmp_path, passages, vectors):
    folder, out = tmp_path / "in", tmp_path / "store"
    write_passages(folder / "a.jsonl", ["text"] * passages)
    write_vectors(folder / "a.npy", vectors_of(vectors))
    with pytest.raises(
        UsageError, match=rf"a.jsonl holds {passages} passages, a.npy {vectors} vectors; row i"
    ):
        build_from_vectors(folder, out)
    with Datastore.open(out) as store:
        assert len(store) == 0


def test_a_mismatch_in_a_later_pair_adds_nothing(release, tmp_path):
    out = tmp_path / "store"
    build_from_vectors(release, out)
    write_vectors(release / "embeddings/pes2o--passages1_00.npy", vectors_of(3))
    version = current_version(out)
    with pytest.raises(
        UsageError, match=r"pes2o--raw_passages_1-0-of-1.jsonl.gz holds 2 passages, .* 3 vectors"
    ):
        build_from_vectors(release, out)
    assert current_version(out) == version


def write_with_line(folder: Path, line: bytes) -> np.ndarray[Any, Any]:
    """Two passages with another line between them, and three vectors."""
    write_passages(folder / "a.jsonl", ["zero", "one"])
    first, second = (folder / "a.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "a.jsonl").write_bytes(first + line + second)
    return write_vectors(folder / "a.npy", vectors_of(3))


@pytest.mark.parametrize(
    ("line", "reason"), [(b"{broken\n", "invalid_json"), (b'{"id": 7, "text": ""}\n', "no_text")]
)
def test_a_line_that_is_no_passage_is_set_aside_with_its_vector(tmp_path, line, reason):
    vectors = write_with_line(tmp_path / "in", line)
    built = build_from_vectors(tmp_path / "in", tmp_path / "store")
    assert [(one.reason, one.location) for one in built.set_aside.rejects] == [(reason, "a.jsonl:2")]
    with Datastore.open(tmp_path / "store") as store:
        assert [nearest(store, vectors[row]).text for row in (0, 2)] == ["zero", "one"]
        assert len(store) == 2


def test_a_blank_line_is_refused_for_it_would_shift_the_others(tmp_path):
    write_with_line(tmp_path / "in", b"\n")
    with pytest.raises(UsageError, match=r"a\.jsonl:2 is blank"):
        build_from_vectors(tmp_path / "in", tmp_path / "store")


def test_a_file_without_its_partner_is_named(release):
    (release / "embeddings/math--passages0_03.npy").unlink()
    with pytest.raises(
        UsageError, match=r"math--raw_passages_0-3-of-11.jsonl has no partner: .* 12 .* 11 of vectors"
    ):
        pairs_in(release)


def test_pickled_vectors_are_refused_unopened_with_how_to_convert_them(release, tmp_path, capfd):
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("executed",)

    for path in sorted(release.glob("embeddings/*.npy")):
        path.with_suffix(".pkl").write_bytes(pickle.dumps(Payload()))
        path.unlink()
    for place in (release, release / "embeddings/math--passages0_00.pkl"):
        with pytest.raises(UsageError, match=r"is a pickle: .*(\n.*)*convert it: python -c") as caught:
            build_from_vectors(place, tmp_path / "store")
        assert "math--passages0_00.pkl" in caught.value.message
    assert capfd.readouterr().out == ""


def test_the_conversion_that_is_advised_makes_what_is_read(tmp_path):
    folder = tmp_path / "in"
    write_passages(folder / "raw_passages_0-0-of-1.jsonl", ["zero", "one"])
    pickled = folder / "passages0_00.pkl"
    pickled.write_bytes(pickle.dumps(([0, 1], vectors_of(2))))
    with pytest.raises(UsageError) as caught:
        build_from_vectors(folder, tmp_path / "store")
    command = shlex.split((caught.value.hint or "").partition("convert it: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    build_from_vectors(folder, tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        assert nearest(store, vectors_of(2)[1]).text == "one"


def test_only_a_release_is_taken_for_vectors_unasked(release, tmp_path):
    assert holds_vectors(release)
    write_passages(tmp_path / "own/corpus.jsonl", ["text"])
    write_vectors(tmp_path / "own/corpus.npy", vectors_of(1))
    assert not holds_vectors(tmp_path / "own")
    for path in release.glob("embeddings/*.npy"):
        path.rename(path.with_suffix(".pkl"))
    assert holds_vectors(release)


def test_passages_in_two_formats_are_refused(release):
    (release / "more.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match="both as JSON lines and as Parquet"):
        pairs_in(release)


def test_folders_of_vectors_alone_are_read_as_before(tmp_path):
    write_vectors(tmp_path / "in/a.npy", vectors_of(2))
    assert pairs_in(tmp_path / "in") == []
    build_from_vectors(tmp_path / "in", tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        assert nearest(store, vectors_of(2)[1]).passage_id == "a-1"
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError):
        build_from_vectors(tmp_path / "empty", tmp_path / "other")
