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
