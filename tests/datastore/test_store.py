from __future__ import annotations

import json
import multiprocessing
import pickle
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from datastore import (
    CompendiaError,
    Datastore,
    EncoderConfig,
    Hit,
    IntegrityError,
    NotFoundError,
    UsageError,
    describe,
    verify,
)
from datastore.changes.write import commit_next
from datastore.encoders import load_encoder
from datastore.manifest import current_version, manifest_path

pytestmark = pytest.mark.smoke
WORDS = ["apple", "pear", "plum", "cherry", "quince", "medlar", "grape"]
TEXTS = [f"{fruit} number {i} in basket {i % 11}" for i in range(400) for fruit in WORDS]


def best_rows(store: Datastore, query: str, k: int) -> list[int]:
    """Rows by a full sort of exact inner products, ties by row."""
    vectors = store.read_vectors(np.arange(len(store))).astype(np.float32)
    scores = vectors @ store.encoder.encode_queries([query])[0]
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]


def test_one_question_gives_a_list_of_complete_hits(make_store):
    store = make_store(
        ["the heart pumps blood", "the lung takes air"],
        titles=["Heart", "Lung"],
        metadata=[{"year": 1628, "tags": ["a"]}, {}],
    )

    hits = store.search("what pumps the blood?", k=1)

    assert hits == [
        Hit(
            "test/0#0",
            "0",
            "test",
            "Heart",
            hits[0].score,
            "the heart pumps blood",
            {"year": 1628, "tags": ["a"]},
        )
    ]
    assert 0 < hits[0].score <= 1


def test_many_questions_give_arrays_and_hits_on_demand(make_store):
    store = make_store(TEXTS[:50])

    hits = store.search(["apple number 3", "plum number 4"], k=3)

    assert (hits.version, hits.rows.shape, hits.rows.dtype, hits.scores.dtype) == (
        1,
        (2, 3),
        np.int64,
        np.float32,
    )
    assert [hit.passage_id for hit in hits[1]] == [f"test/{row}#0" for row in hits.rows[1]]
    assert [len(found) for found in hits] == [3, 3]
    assert list(hits.timings_ms) == ["load encoder", "encode", "exact"]
    assert hits.route == "exact: no index"
    assert list(store.search(["again"]).timings_ms) == ["encode", "exact"]


@pytest.mark.parametrize("segment_rows", [97, 5_000], ids=["many-segments", "one-segment"])
def test_with_an_index_the_best_rows_are_those_of_a_full_sort(make_store, segment_rows):
    store = make_store(TEXTS, segment_rows=segment_rows)
    assert store.manifest.indexes[0].family == "flat"

    for query in ("quince number 17", "basket 5", "cherry in basket 2 number 90"):
        hits = store.search([query], k=5, candidates=400)
        vectors = store.read_vectors(hits.rows[0]).astype(np.float32)
        np.testing.assert_allclose(
            hits.scores[0], vectors @ store.encoder.encode_queries([query])[0], atol=1e-6
        )
        np.testing.assert_allclose(
            hits.scores[0],
            [
                store.read_vectors(np.array([row])).astype(np.float32)[0]
                @ store.encoder.encode_queries([query])[0]
                for row in best_rows(store, query, 5)
            ],
            atol=1e-6,
        )


def test_fewer_passages_than_k(make_store):
    store = make_store(["one text", "another text"])

    hits = store.search(["text"], k=5)

    assert sorted(hits.rows[0][:2]) == [0, 1]
    assert hits.rows[0][2:].tolist() == [-1, -1, -1]
    assert len(store.search("text", k=5)) == 2


def test_vectors_are_scaled_to_length_one(make_store):
    store = make_store(TEXTS[:30])
    query = store.encoder.encode_queries(["pear number 2"])

    assert (
        store.search(query * 7.5, k=3).rows.tolist()
        == store.search(query.astype(np.float64), k=3).rows.tolist()
    )


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        ("a question", 0, "k must be at least 1, got 0"),
        ("  ", 3, "query 0 is empty"),
        (["good", ""], 3, "query 1 is empty"),
        ([3], 3, "query 0 is a int, not a string"),
        (np.zeros((1, 256), dtype=np.float32), 3, "a query vector is zero"),
        (np.full((1, 256), np.nan), 3, "a query vector is not finite"),
        (np.ones((1, 7)), 3, r"expected vectors of shape \(n, 256\), got \(1, 7\)"),
        (np.ones(256), 3, r"expected vectors of shape \(n, 256\), got \(256,\)"),
    ],
)
def test_what_cannot_be_asked_is_refused(make_store, queries, k, message):
    store = make_store(["some text"])

    with pytest.raises(UsageError, match=message):
        store.search(queries, k=k)


def test_an_empty_query_loads_no_encoder(make_store):
    store = make_store(["some text"])

    with pytest.raises(UsageError, match="query 0 is empty"):
        store.search("")

    assert not store._encoders


def test_no_queries_give_no_hits(make_store):
    assert len(make_store(["some text"]).search([], k=3)) == 0
    assert len(make_store(TEXTS[:90]).search([], k=3)) == 0
    assert len(make_store(TEXTS).search([], k=3)) == 0


def test_concurrent_searches_agree_with_one_after_the_other(make_store):
    store = make_store(TEXTS, segment_rows=300)
    queries = [f"{fruit} in basket {i}" for fruit in WORDS for i in range(4)]
    expected = [store.search(query, k=4) for query in queries]
    found: dict[int, list[Hit]] = {}

    def ask(numbers: range) -> None:
        for number in numbers:
            found[number] = store.search(queries[number], k=4)

    threads = [threading.Thread(target=ask, args=(range(start, len(queries), 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[number] for number in range(len(queries))] == expected


def test_a_store_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match=r"there is no datastore at .*nowhere") as error:
        Datastore.open(tmp_path / "nowhere")

    assert error.value.hint is not None
    assert "compendia build" in error.value.hint


def test_an_encoder_that_did_not_build_the_store_is_refused(make_store):
    path = make_store(["some text"]).path

    store = Datastore.open(path, encoder=EncoderConfig(model="hashing", max_tokens=99))

    with pytest.raises(IntegrityError, match="max_tokens 99 instead of 256"):
        store.search("text")


def bytes_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_info_adds_up(make_store, tmp_path):
    store = make_store(TEXTS, segment_rows=1_000)
    manifest = store.manifest.model_copy(update={"build": "test"})
    commit_next(store.path, manifest)
    store.refresh()
    account = {"sources": {"test": {"records": 2_800, "dropped": {}, "documents": 2_800, "passages": 2_800}}}
    (store.path / "builds").mkdir()
    (store.path / "builds" / "test.json").write_text(
        json.dumps({**account, "finished": "", "executor": "serial", "seconds": {}})
    )

    info = describe(store)

    assert (info["passages"], info["documents"], info["dimension"], info["version"]) == (2_800, 2_800, 256, 2)
    assert info["bytes"]["disk"]["total"] == bytes_on_disk(store.path)
    assert info["bytes"]["disk"]["other versions"] == 0
    assert info["bytes"]["disk"]["vectors"] == 2_800 * 256 * 2 + 3 * 128
    assert info["bytes"]["disk"]["lookups"] == 3 * 2 * 128 + 2 * 2_800 * 16
    assert info["bytes"]["ram"]["index"] >= 2_800 * 256 // 2
    assert info["indexes"][0]["recall"]["source"] == "sentences"


def test_info_counts_deletes_calibration_and_what_other_versions_need(make_store):
    store = make_store(TEXTS)
    before = describe(store)["bytes"]["disk"]
    (calibration,) = (store.path / "calibration").iterdir()
    assert before["calibration"] == calibration.stat().st_size

    store.delete(ids=["test/3#0"])
    (deletes,) = (store.path / "deletes").glob("*/*.npy")
    after = describe(store)["bytes"]["disk"]

    assert after["deletes"] == deletes.stat().st_size
    assert after["total"] == bytes_on_disk(store.path)

    with Datastore.open(store.path, version=1) as first:
        assert describe(first)["bytes"]["disk"]["other versions"] == after["deletes"]

    indexes = after["indexes"]
    store.delete(where="document_id >= '2'")  # so many that the rest is written anew
    after = describe(store)["bytes"]["disk"]

    assert after["other versions"] >= before["text"] + before["vectors"] + indexes
    assert after["total"] == bytes_on_disk(store.path)


def test_rows_that_a_version_does_not_have(make_store):
    store = make_store(["one", "two"])

    for rows in ([0, 2], [-1], np.array([7])):
        with pytest.raises(UsageError, match="version 1 has 2 rows from 0, there is no row"):
            store.read_hits(np.asarray(rows), np.zeros(len(rows), np.float32))
        with pytest.raises(UsageError, match="there is no row"):
            store.read_vectors(rows)
    with pytest.raises(UsageError, match=r"must be \(m,\) whole numbers, got \(1,\) float64"):
        store.read_vectors(np.array([0.5]))
    assert store.read_vectors([]).shape == (0, 256)


def test_verify_finds_nothing_wrong_in_a_good_store(make_store):
    assert verify(make_store(TEXTS).path) == []
    assert verify(make_store(["one text"]).path) == []


@pytest.mark.parametrize(
    "name",
    [
        "passages.arrow",
        "metadata.parquet",
        "vectors.npy",
        "passage_ids.npy",
        "document_ids.npy",
        "codes.*",
        "calibration.json",
        "calibration/*.npy",
        "deletes/*/*.npy",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_verify_names_each_damaged_file(make_store, name, damage):
    store = make_store(TEXTS)
    store.delete(ids=["test/3#0", "test/1700#0"])
    path = store.path
    (file, *_) = path.rglob(name)
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "truncate":
        file.write_bytes(data[:-7])
    else:
        file.unlink()

    (fault,) = verify(path)

    assert str(file.relative_to(path)) in fault
    assert {"flip": "another checksum", "truncate": "bytes instead of", "remove": "is missing"}[
        damage
    ] in fault


def test_a_segment_that_cannot_be_read_is_an_integrity_error(make_store):
    path = make_store(TEXTS[:10]).path
    (file,) = path.rglob("vectors.npy")
    file.write_bytes(b"not an array")

    with pytest.raises(IntegrityError, match="cannot be read"):
        Datastore.open(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has format 99, this Compendia reads format 2"),
        ({"version": -1}, "is not a manifest: version"),
        ({"surprise": 1}, "is not a manifest: surprise"),
        (
            {"segments": [{"id": "../../etc", "rows": 1, "documents": 1, "files": {}}]},
            "is not a manifest: segments.0.id",
        ),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(make_store, change, message):
    path = make_store(["some text"]).path
    manifest = json.loads(manifest_path(path, 1).read_text())
    manifest_path(path, 1).write_text(json.dumps({**manifest, **change}))

    with pytest.raises(IntegrityError, match=message):
        Datastore.open(path)


@pytest.mark.parametrize("content", ["", "seven", "\xff"])
def test_a_damaged_current_is_an_integrity_error(make_store, content):
    path = make_store(["some text"]).path
    (path / "CURRENT").write_text(content, encoding="latin-1")

    with pytest.raises(IntegrityError, match="does not hold a version number"):
        current_version(path)


def test_hashing_vectors_do_not_depend_on_the_batch():
    encoder = load_encoder(EncoderConfig(model="hashing"))
    texts = ["one two two three", "", "!!!", "ONE two TWO three"]

    together = encoder.encode_passages(texts)

    np.testing.assert_array_equal(
        together, np.concatenate([encoder.encode_passages([text]) for text in texts])
    )
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(together[0], together[3])


def test_a_closed_store_says_so(make_store):
    store = make_store(["some text"])
    hits = store.search(["text"], k=1)
    store.close()

    for use in (lambda: store.search("text"), lambda: len(store), lambda: store.read_column("text")):
        with pytest.raises(UsageError, match="closed"):
            use()
    assert [hit.text for hit in hits[0]] == ["some text"]


@pytest.mark.parametrize("k", [2.0, "2", None, True])
def test_k_is_a_whole_number(make_store, k):
    with pytest.raises(UsageError, match="k must be a whole number"):
        make_store(["some text"]).search("text", k=k)


def test_k_may_be_a_numpy_integer_and_has_a_bound(make_store):
    store = make_store(TEXTS)

    assert store.search(["apple"], k=np.int64(2)).rows.shape == (1, 2)
    with pytest.raises(UsageError, match="k must be at most 100,000"):
        store.search("apple", k=10**13)


def test_a_pickled_store_opens_the_same_version_elsewhere(make_store, monkeypatch):
    store = make_store(TEXTS)

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(Datastore.search, (store, "cherry in basket 2", 3)).get(timeout=120)

    assert found == store.search("cherry in basket 2", k=3)
    monkeypatch.chdir(store.path.parent)
    pickled = pickle.dumps(Datastore.open(store.path.name))
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert (again.path, again.version) == (store.path, 1)
    assert [hit.passage_id for hit in again.search("cherry", k=2)] == [
        h.passage_id for h in store.search("cherry", k=2)
    ]


def test_a_forked_child_can_search(make_store):
    store = make_store(TEXTS)
    expected = store.search("cherry in basket 2", k=3)

    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply_async(_search, (str(store.path),)).get(timeout=60)

    assert found == [hit.passage_id for hit in expected]


def _search(path: str) -> list[str]:
    return [hit.passage_id for hit in Datastore.open(path).search("cherry in basket 2", k=3)]


def test_more_segments_than_a_shell_allows_files(make_store):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        store = make_store(TEXTS[:400], segment_rows=1)
        assert len(store.search("apple number 3", k=3)) == 3
        store.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones(8), r"expected vectors of shape \(n, 8\), got \(8,\)"),
        (np.array(["a"]), "expected vectors of shape"),
        ([[1.0, 2.0], [3.0]], "must be numbers of one length"),
        ([3], "query 0 is a int, not a string"),
    ],
)
def test_queries_that_are_neither_words_nor_vectors(tmp_path, queries, message):
    store = Datastore.create(tmp_path / "s", dimension=8)
    store.add(np.eye(8))

    with pytest.raises(UsageError, match=message):
        store.search(queries)


def test_vectors_as_lists_and_of_any_length_are_queries_too(tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=8)
    store.add(np.eye(8) * 1e-25, ids=list("abcdefgh"))

    for query in ([[0.0, 1, 0, 0, 0, 0, 0, 0]], np.eye(8)[1:2] * 1e-25, np.eye(8)[1:2] * 1e25):
        assert store.search(query, k=1)[0][0].passage_id == "b"


def test_a_mask_of_a_store_that_grew_from_nothing_is_kept(tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=8)
    store.add(np.eye(8), metadata=[{"year": year} for year in range(8)])

    store.search(np.eye(8)[:1], where="year > 3")

    assert store.ram_bytes["masks"] > 0


def test_a_refresh_never_goes_back(tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=8)
    seen: list[int] = []

    def grow(number: int) -> None:
        for i in range(8):
            while True:
                try:
                    store.add(np.eye(8)[:1], ids=[f"{number}-{i}"])
                except CompendiaError as error:
                    assert "writing" in str(error)  # noqa: PT017 (another thread is)
                else:
                    break
            seen.append(store.version)

    threads = [threading.Thread(target=grow, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store) == 24
    assert store.version == max(seen) == 25


def test_versions_that_are_not_there(tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=8)
    store.add(np.eye(8))

    assert store.versions() == [1, 2]
    with pytest.raises(NotFoundError, match="has no version 9") as error:
        Datastore.open(store.path, version=9)
    assert error.value.hint == "versions that are kept: 1, 2"
    with pytest.raises(UsageError, match="version must be a whole number"):
        Datastore.open(store.path, version="2")
