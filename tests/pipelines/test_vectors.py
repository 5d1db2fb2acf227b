from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datastore import Datastore, UsageError
from pipelines.vectors import build_from_vectors, holds_vectors


def test_rows_of_parquet_keep_their_ids_texts_and_other_columns(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    table = pa.table(
        {"id": [10, 11, 12, 13, 14], "text": list("abcde"), "year": range(5), "emb": list(vectors.tolist())}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert holds_vectors(tmp_path / "a.parquet")
    assert build_from_vectors(tmp_path / "a.parquet", tmp_path / "store").changed
    with Datastore.open(tmp_path / "store") as store:
        (hit,) = store.search(vectors[3:4], k=1)[0]
    assert (hit.passage_id, hit.text, hit.metadata) == ("13", "d", {"year": 3})


def test_raw_passages_beside_one_file_of_vectors_need_no_names_of_a_release(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "x", "title": "T", "contents": "one"}\n')
    np.save(folder / "embeddings.npy", np.ones((1, 4), dtype=np.float32))
    with pytest.raises(
        UsageError, match=r"1 of 1 rows cannot be stored \(corpus.jsonl:1: no_field no field text"
    ):
        build_from_vectors(folder, tmp_path / "store")
    build_from_vectors(folder, tmp_path / "store", id_column="_id", text_column="contents")
    with Datastore.open(tmp_path / "store") as store:
        (hit,) = store.search(np.ones((1, 4), dtype=np.float32), k=1)[0]
    assert (hit.passage_id, hit.title, hit.text) == ("x", "T", "one")


def test_rows_without_an_id_of_their_own_are_set_aside(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    ids = [f"a{row}" for row in range(40)]
    ids[3], ids[7], ids[9] = None, "a5", "x" * 10_001  # no id, that of an earlier row, one that is too long
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table({"id": ids, "vector": list(vectors)}), folder / "a.parquet")
    others = [f"b{row}" for row in range(38)] + ["a0", "b1"]
    pq.write_table(pa.table({"id": others, "vector": list(vectors)}), folder / "b.parquet")

    built = build_from_vectors(folder, tmp_path / "store")

    assert built.set_aside.counts == {"no_id": 1, "duplicate_id": 3, "invalid_id": 1}
    assert [(one.reason, one.location) for one in built.set_aside.rejects] == [
        *[("no_id", "a.parquet:3"), ("duplicate_id", "a.parquet:7"), ("invalid_id", "a.parquet:9")],
        *[("duplicate_id", "b.parquet:38"), ("duplicate_id", "b.parquet:39")],
    ]
    with Datastore.open(tmp_path / "store") as store:
        assert len(store) == 75
        assert store.search(vectors[5:6], k=2)[0][0].passage_id in ("a5", "b5")
        assert len(store.get_by_ids(["a0"])) == 1
