"""Commands that change a store or compare two: what they do, print and refuse."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datastore import Datastore

pytestmark = pytest.mark.smoke


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s"
    with Datastore.create(path, encoder="hashing") as store:
        store.add(
            ids=["tea", "bread", "moon"],
            texts=["green tea is steeped", "bread needs yeast", "the moon pulls the tides"],
            metadata=[{"year": 1990}, {"year": 2001}, {"year": 2020}],
        )
    return path


def ids_of(path):
    with Datastore.open(path) as store:
        return {hit.passage_id for hit in store.search("tea bread moon tides new", k=50)}


def test_add_takes_texts_and_refuses_an_id_twice(invoke, store, tmp_path):
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"id": "sea", "text": "the sea is salty", "year": 2021}])

    assert invoke("add", store, rows, "--json").json == {
        "schema": "compendia.add/1",
        "version": 3,
        "added": 1,
        "skipped": 0,
        "passages": 4,
        "resembles": {},
    }
    again = invoke("add", store, rows)
    assert (again.code, "first 'sea'" in again.err, "--upsert" in again.err or "upsert" in again.err) == (
        2,
        True,
        True,
    )
    assert invoke("add", store, rows, "--upsert").code == 0
    assert ids_of(store) == {"tea", "bread", "moon", "sea"}


def test_add_passes_over_blank_lines_and_makes_ids_where_all_are_null(invoke, store, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": null, "text": "the sea"}\n\n{"text": "the lake"}\n\n')

    assert invoke("add", store, tmp_path / "rows.jsonl", "--json").json["added"] == 2
    assert ids_of(store) == {"tea", "bread", "moon", "3-0", "3-1"}


def test_rows_that_cannot_be_added_leave_the_store_as_it_was(invoke, store, tmp_path):
    for name, content, message in (
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("b.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("c.jsonl", '{"id": "x", "text": "t"}\n{"text": "u"}\n', "row 2 has no id"),
        ("d.csv", "id,text\n", "neither .jsonl nor .parquet"),
        ("e.jsonl", '{"id": null, "text": "t"}\n{"id": "u", "text": "u"}\n', "row 1 has no id"),
        ("f.jsonl", '{"id": "x", "vector": {"of": 1}}\n', "vectors must be numbers"),
        ("g.jsonl", '{"id": "é", "text": "t"}\n', "line 1 is not JSON"),
        ("h.parquet", "no parquet", "cannot be read"),
    ):
        (tmp_path / name).write_text(content, encoding="latin-1")
        outcome = invoke("add", store, tmp_path / name)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err
    assert invoke("add", store, tmp_path / "none.jsonl").code == 3
    with Datastore.open(store) as opened:
        assert opened.version == 2


def test_search_with_a_filter(invoke, store):
    found = invoke("search", store, "tea bread moon", "--where", "year > 2000", "--json").json

    assert {hit["passage_id"] for hit in found["hits"]} == {"bread", "moon"}
    refused = invoke("search", store, "tea", "--where", "years > 2000")
    assert (refused.code, "year" in refused.err) == (2, True)


def test_json_has_null_where_metadata_holds_what_is_no_number(invoke, store, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "odd", "text": "zebra crossing", "weight": NaN, "most": Infinity}\n')
    invoke("add", store, rows)

    (hit,) = invoke("search", store, "zebra crossing", "-k", "1", "--json").json["hits"]

    assert hit["metadata"] == {"weight": None, "most": None}
    assert np.isnan(Datastore.open(store).get_by_ids(["odd"])[0].metadata["weight"])


def test_delete_rollback_compact_prune_and_diff(invoke, store, tmp_path):
    assert invoke("delete", store, "--where", "year < 2000", "--json").json == {
        "schema": "compendia.delete/1",
        "version": 3,
        "deleted": 1,
        "passages": 2,
    }
    assert invoke("delete", store, "--id", "nobody").code == 3
    assert invoke("delete", store).code == 2
    assert invoke("delete", store, "--document", "bread").code == 0
    assert ids_of(store) == {"moon"}

    different = invoke("diff", store, store, "--version-a", "2", "--json")
    assert (different.code, different.json["removed"], different.json["same"]) == (1, 2, 1)

    assert invoke("rollback", store, "2", "--json").json["version"] == 5
    assert ids_of(store) == {"tea", "bread", "moon"}
    same = invoke("diff", store, store, "--version-a", "2")
    assert (same.code, same.out) == (0, "the same: 3; lowest cosine of their vectors 1.0\n")

    assert invoke("versions", store, "--json").json == {
        "schema": "compendia.versions/1",
        "version": 5,
        "kept": [1, 2, 3, 4, 5],
    }
    assert invoke("prune", store, "--keep", "2", "--json").json["removed"] == [1, 2, 3]
    assert invoke("rollback", store, "2").code == 3
    assert invoke("compact", store, "--json").json["removed"] == [4]
    assert invoke("verify", store).code == 0


def test_a_store_from_vectors_in_files(invoke, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    table = {
        "id": [f"p{i}" for i in range(60)],
        "embedding": list(vectors.tolist()),
        "text": [f"text {i}" for i in range(60)],
        "year": list(range(60)),
    }
    pq.write_table(pa.table(table), tmp_path / "v.parquet", row_group_size=7)

    assert invoke("build", tmp_path / "v.npy", "--out", "npy", "--json").json["passages"] == 60
    assert invoke("build", tmp_path / "v.parquet", "--out", "parquet", "--metric", "l2").code == 0
    assert "was already at version" in invoke("build", "v.parquet", "--out", "parquet", "--metric", "l2").out

    with Datastore.open("npy") as store:
        assert [hit.passage_id for hit in store.search(vectors[7:8], k=1)[0]] == ["v-7"]
    with Datastore.open("parquet") as store:
        (hit,) = store.search(vectors[7:8], k=1, where="year >= 5")[0]
        assert (hit.passage_id, hit.text, hit.metadata) == ("p7", "text 7", {"year": 7})
        assert abs(hit.score) < 1e-3
    assert invoke("search", "parquet", "a question").code == 2
    other = invoke("build", "v.npy", "--out", "parquet")
    assert (other.code, "16 dimensions under l2" in other.err) == (2, True)


def test_files_that_hold_no_vectors_are_refused(invoke, store, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((3, 256)))
    table = pa.table({"id": ["a", "b"], "vector": [[1.0], [2.0]], "text": ["t", "u"]})
    pq.write_table(table, tmp_path / "two.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    for arguments, message in (
        (("v.npy", "--out", store), "holds vectors of the encoder hashing"),
        (("two.parquet", "--out", "b", "--vectors", "text"), "holds string, not lists of numbers"),
        (("two.parquet", "--out", "c", "--vectors", "vectr"), "vector"),
        (("broken.parquet", "--out", "d"), "is not a Parquet file"),
    ):
        outcome = invoke("build", *arguments)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_vectors_that_cannot_be_stored_are_set_aside_and_named(invoke, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((600, 4)).astype(np.float32)
    vectors[3, 1], vectors[4], vectors[599, 0] = np.nan, 0, np.inf
    np.save(tmp_path / "v.npy", vectors)

    outcome = invoke("build", "v.npy", "--out", "s")

    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == (
        "set aside: 3 rows, unstorable_vector (v.npy:3 the vector is not finite; v.npy:4 the vector is zero; "
        "v.npy:599 the vector is not finite)"
    )
    with Datastore.open("s") as store:
        assert len(store) == 597
        for row in (2, 5, 598):
            assert store.search(vectors[row : row + 1], k=1)[0][0].passage_id == f"v-{row}"
    vectors[100:250] = 0
    np.save(tmp_path / "v.npy", vectors)
    refused = invoke("build", "v.npy", "--out", "t")
    assert (refused.code, "153 of 600 rows cannot be stored" in refused.err) == (2, True)
    assert (
        invoke("build", "v.npy", "--out", "t", "--set", "max_failure_share=0.26", "--json").json["passages"]
        == 447
    )


def test_a_dry_run_of_vectors_plans_and_builds_nothing(invoke, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((30_000, 64), dtype=np.float16))

    text = invoke("build", "v.npy", "--out", "s", "--dry-run")

    assert (text.code, "30,000 passages, 64 dimensions" in text.out) == (0, True)
    plan = invoke("build", "v.npy", "--dry-run", "--json").json
    assert (plan["rows"], plan["dimension"]) == (30_000, 64)
    assert plan["store"] == invoke("plan", "--passages", "30000", "--dimension", "64", "--json").json
    assert not (tmp_path / "s").exists()


def test_a_released_folder_keeps_its_own_vectors(invoke, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float16)
    for folder in ("passages", "embeddings"):
        (tmp_path / "release" / folder).mkdir(parents=True)
    lines = [json.dumps({"id": i, "text": f"text {i}"}) for i in range(3)]
    (tmp_path / "release/passages/math--raw_passages_0-0-of-1.jsonl").write_text("\n".join(lines))
    np.save(tmp_path / "release/embeddings/math--passages0_00.npy", vectors)

    assert invoke("build", "release", "--out", "s").code == 0

    with Datastore.open("s") as store:
        assert store.manifest.encoder is None
        assert store.search(vectors[1:2].astype(np.float32), k=1)[0][0].text == "text 1"


def test_options_of_the_other_kind_of_input_are_refused(invoke, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((3, 4)))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("A note.")
    for arguments, message in (
        (("v.npy", "--keep", "none", "--executor", "ray"), "--executor, --keep does not apply to v.npy"),
        (
            ("v.npy", "--set", "encoder.model=hashing"),
            "--set encoder.model=hashing does not apply to vectors",
        ),
        (("notes", "--metric", "l2"), "--metric does not apply to notes"),
    ):
        outcome = invoke("build", *arguments, "--out", "s")
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_rows_of_parquet_without_a_whole_vector_are_set_aside(invoke, tmp_path):
    table = {
        "id": [str(i) for i in range(6)],
        "vector": [None, [1.0, 2.0], [1.0], [3.0, None], [-1.0, 1.0], [1e9, 1e9]],
    }
    pq.write_table(pa.table(table), tmp_path / "v.parquet")

    found = invoke("build", "v.parquet", "--out", "s", "--metric", "l2", "--json").json

    assert found["set_aside"] == {"wrong_vector": 3, "unstorable_vector": 1}
    assert {(one["location"], one["document_id"]) for one in found["rejects"]} == {
        (f"v.parquet:{row}", str(row)) for row in (0, 2, 3, 5)
    }
    with Datastore.open("s") as store:
        assert [hit.passage_id for hit in store.search(np.array([[-1.0, 1.0]], np.float32), k=2)[0]] == [
            "4",
            "1",
        ]


def test_verify_measures_recall(invoke, tmp_path):
    generator = np.random.default_rng(1)
    np.save(tmp_path / "v.npy", generator.standard_normal((3_000, 16)))
    np.save(tmp_path / "q.npy", generator.standard_normal((50, 16)))
    invoke("build", "v.npy", "--out", "s")

    own = invoke("verify", "s", "--recall", "--json").json["recall"]
    given = invoke("verify", "s", "--recall", "--queries", "q.npy", "--json").json["recall"]

    assert (own["source"], own["queries"]) == ("rows", 200)
    assert (given["source"], given["queries"]) == ("given", 50)
    for report in (own, given):
        assert [(row["k"], row["target"]) for row in report["rows"]] == [
            (k, target) for k in (10, 100) for target in (0.9, 0.95, 0.98, 0.99)
        ]
        assert all(row["recall"] >= row["target"] - 0.02 for row in report["rows"])
    assert invoke("verify", "s", "--queries", "q.npy").code == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npy", b"", "none.npy cannot be read"),
        ("latin.txt", "h\u00e9llo".encode("latin-1"), "latin.txt is not UTF-8"),
        ("missing.npy", None, "there is no file missing.npy"),
    ],
)
def test_queries_that_cannot_be_read_are_refused(invoke, tmp_path, name, content, message):
    np.save(tmp_path / "v.npy", np.eye(8))
    invoke("build", "v.npy", "--out", "s")
    if content is not None:
        (tmp_path / name).write_bytes(content)

    result = invoke("verify", "s", "--recall", "--queries", name)

    assert result.code in (2, 3)
    assert message in result.err
