"""Whatever was added, deleted, folded and rolled back: a store answers like one made of what is left."""

from __future__ import annotations

import datetime as dt
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import Datastore, NotFoundError, UsageError, describe, diff, verify, verify_recall
from datastore.changes import batch, compact, edit, finish, fold
from datastore.index.config import IndexConfig
from retrievers import bm25

DIMENSION = 8
FLAT = IndexConfig(family="flat", parameters={"bits": 8, "engine": "faiss"})
QUERIES = np.random.default_rng(7).standard_normal((3, DIMENSION)).astype(np.float32)


@pytest.fixture(autouse=True)
def _small_thresholds(monkeypatch):
    """Tails, several indexes, merges and compactions with some dozen rows."""
    monkeypatch.setattr(fold, "SMALLEST_INDEX", 20)
    monkeypatch.setattr(finish, "SMALLEST_INDEX", 20)
    monkeypatch.setattr(fold, "_LARGEST_TAIL", 20)
    monkeypatch.setattr(fold, "_MOST_INDEXES", 2)
    monkeypatch.setattr(fold, "_CALIBRATION_QUERIES", 5)
    monkeypatch.setattr(batch, "SEGMENT_ROWS", 30)
    monkeypatch.setattr(compact, "SEGMENT_ROWS", 30)
    monkeypatch.setattr(compact, "_MOST_SMALL_SEGMENTS", 2)


class Row(NamedTuple):
    vector: np.ndarray
    text: str
    year: int
    document: str


def rows_for(names: list[str], seed: int) -> dict[str, Row]:
    vectors = np.random.default_rng(seed).standard_normal((len(names), DIMENSION))
    return {
        name: Row(vectors[i], f"{name} by {seed}", (i + seed) % 5, f"doc-{name[:2]}")
        for i, name in enumerate(names)
    }


def put(store: Datastore, rows: dict[str, Row], *, replace: bool) -> None:
    change = store.upsert if replace else store.add
    ids = change(
        np.array([row.vector for row in rows.values()]).reshape(-1, DIMENSION),
        ids=list(rows),
        texts=[row.text for row in rows.values()],
        metadata=[{"year": row.year, "document_id": row.document} for row in rows.values()],
    )
    assert ids == list(rows)


def answers(store: Datastore, **options: Any) -> list[list[tuple[Any, ...]]]:
    return [
        [(hit.passage_id, hit.document_id, hit.text, hit.metadata["year"], hit.score) for hit in hits]
        for hits in store.search(QUERIES, k=6, **options)
    ]


def lexical_answers(store: Datastore, words: list[str]) -> list[list[tuple[str, float]]]:
    hits = bm25.on(store).retrieve(words, 6)
    return [[(hit.passage_id, round(hit.score, 5)) for hit in found] for found in hits]


def assert_same_as_fresh(store: Datastore, rows: dict[str, Row], fresh_path: Path) -> None:
    manifest = store.manifest
    with Datastore.create(
        fresh_path, dimension=DIMENSION, metric=manifest.metric, vectors=manifest.dtype, index=FLAT
    ) as fresh:
        # In the order of the store: equal scores are ranked by row.
        order = [store.read_column("passage_id")[row] for row in store.live_rows().tolist()]
        assert sorted(order) == sorted(rows)
        put(fresh, {name: rows[name] for name in order}, replace=False)
        assert len(store) == len(fresh) == len(rows)
        every = {"candidates": max(store.snapshot.rows, 6), "effort": 1024}
        for where in (None, "year < 2", "document_id = 'doc-k1' OR year = 4", "year > 9"):
            expected = answers(fresh, recall=1.0, where=where)
            assert answers(store, recall=1.0, where=where) == expected
            assert answers(store, where=where, **every) == expected
        if store.live_rows().size:
            words = ["by 0", "k1 3", "a07 2"]
            assert lexical_answers(store, words) == lexical_answers(fresh, words)
        names = [*sorted(rows), "never"]
        found = store.get_by_ids(names)
        assert [(hit.passage_id, hit.text) for hit in found] == [
            (name, rows[name].text) for name in names[:-1]
        ]


NAMES = st.sampled_from([f"k{number}" for number in range(60)])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 45)),
        st.tuples(st.just("upsert"), st.lists(NAMES, min_size=1, max_size=40, unique=True)),
        st.tuples(st.just("delete"), st.integers(0, 10_000)),
        st.tuples(st.just("delete many"), st.integers(2, 5)),
        st.tuples(st.just("delete documents"), st.sampled_from(["doc-k1", "doc-k2", "doc-a0"])),
        st.tuples(st.just("delete where"), st.integers(0, 5)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("prune"), st.integers(1, 3)),
        st.tuples(st.just("rollback"), st.integers(0, 5)),
    ),
    min_size=3,
    max_size=9,
)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=CHANGES)
def test_any_sequence_of_changes_answers_like_a_fresh_store(tmp_path_factory, metric, dtype, changes):
    path = tmp_path_factory.mktemp("edit")
    store = Datastore.create(path / "s", dimension=DIMENSION, metric=metric, vectors=dtype, index=FLAT)
    rows: dict[str, Row] = {}
    versions: dict[int, dict[str, Row]] = {store.version: {}}
    for seed, (change, value) in enumerate(changes):
        match change:
            case "add":
                # As many as are new: also ids that were deleted.
                names = [name for number in range(value) if (name := f"a{number:02}") not in rows]
                new = rows_for(names, seed)
                put(store, new, replace=False)
                rows = {**rows, **new}
            case "upsert":
                new = rows_for(value, seed)
                put(store, new, replace=True)
                rows = {**rows, **new}
            case "delete" if rows:
                name = sorted(rows)[value % len(rows)]
                assert store.delete([name]) == 1
                rows = {kept: row for kept, row in rows.items() if kept != name}
            case "delete many" if rows:
                names = sorted(rows)[::value]
                assert store.delete(names) == len(names)
                rows = {name: row for name, row in rows.items() if name not in names}
            case "delete documents":
                kept = {name: row for name, row in rows.items() if row.document != value}
                if len(kept) < len(rows):
                    assert store.delete(document_ids=[value]) == len(rows) - len(kept)
                else:
                    with pytest.raises(NotFoundError, match="none of the documents"):
                        store.delete(document_ids=[value])
                rows = kept
            case "delete where":
                kept = {name: row for name, row in rows.items() if row.year != value}
                assert store.delete(where=f"year = {value}") == len(rows) - len(kept)
                rows = kept
            case "compact":
                store.compact()
            case "prune":
                store.prune(keep=value)
            case "rollback":
                kept_versions = sorted(versions)[-4:]
                version = kept_versions[value % len(kept_versions)]
                try:
                    store.rollback(version)
                except NotFoundError:
                    assert version not in edit.versions(path / "s")
                else:
                    rows = versions[version]
        versions[store.version] = rows
    assert_same_as_fresh(store, rows, path / "fresh")
    assert verify(path / "s") == []


@pytest.fixture
def store(tmp_path) -> Datastore:
    return Datastore.create(tmp_path / "store", dimension=DIMENSION, index=FLAT)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION))


def test_indexes_grow_in_number_and_merge_and_the_tail_is_scanned(store):
    seen = []
    for number in range(5):
        store.add(vectors(22, number))
        seen.append([index.rows for index in store.manifest.indexes])
    assert seen == [[22], [22, 22], [66], [66, 22], [110]]
    store.add(vectors(5, 9), ids=[f"tail-{i}" for i in range(5)])
    assert [index.rows for index in store.manifest.indexes] == [110]
    assert len(store.snapshot.dense._tail) > 0
    hit = store.search(vectors(5, 9), k=1, candidates=10)[3][0]
    assert (hit.passage_id, round(hit.score, 2)) == ("tail-3", 1.0)


def test_many_deleted_rows_are_written_anew_without_them(store):
    store.add(vectors(60), ids=[str(i) for i in range(60)])
    store.delete([str(i) for i in range(5)])
    assert store.snapshot.rows == 60
    store.delete([str(i) for i in range(5, 20)])
    assert store.snapshot.rows == len(store) == 40
    assert sum(index.rows for index in store.manifest.indexes) == 40


def test_rows_that_come_one_at_a_time_do_not_make_ever_more_segments(store):
    for number in range(12):
        store.add(vectors(1, number), ids=[f"row-{number}"], texts=[f"text {number}"])
        store.upsert(vectors(1, 50 + number), ids=["again"], texts=[f"again {number}"])
        assert len(store.manifest.segments) <= 3

    with Datastore.open(store.path, version=9) as earlier:
        assert len(earlier) == 5  # its segments are still there
    assert len(store) == 13
    assert store.get_by_ids(["again", "row-3"])[0].text == "again 11"
    assert store.search(vectors(1, 4), k=1, recall=1)[0][0].passage_id == "row-4"
    assert verify(store.path) == []
    store.prune()
    assert len(list((store.path / "segments").iterdir())) == len(store.manifest.segments)


def test_deleting_everything_leaves_an_empty_store_that_takes_rows_again(store):
    for count in (3, 50):  # fewer and more than are written anew
        store.add(vectors(count), ids=[str(i) for i in range(count)])
        assert store.delete(where="ordinal = 0") == count
        assert len(store) == 0
        assert (store.search(QUERIES).rows == -1).all()
        assert store.get_by_ids(["1"]) == []
        store.compact()
        assert verify(store.path) == []


def test_adding_nothing_makes_no_version(store):
    assert store.add(np.empty((0, DIMENSION)), ids=[]) == []
    assert store.version == 1


def test_a_deleted_id_can_be_added_again(store):
    store.add(vectors(2), ids=["a", "b"], texts=["old", "b"])
    store.delete(["a"])
    store.add(vectors(1, 1), ids=["a"], texts=["new"])

    assert [hit.text for hit in store.get_by_ids(["a", "b", "a"])] == ["new", "b", "new"]
    assert sorted(hit.text for hit in store.search(QUERIES, k=9)[0]) == ["b", "new"]
    store.delete(["a"])
    assert store.get_by_ids(["a"]) == []


def test_ids_are_made_where_none_are_given_and_differ_between_versions(store):
    first, second = store.add(vectors(3)), store.add(vectors(3, 1))

    assert len({*first, *second}) == 6
    assert [hit.passage_id for hit in store.get_by_ids(second)] == second


def test_a_rolled_back_version_is_a_new_one_and_can_be_changed(store):
    store.add(vectors(30), ids=[f"a{i}" for i in range(30)])
    store.delete([f"a{i}" for i in range(10)])
    assert store.rollback(2) == 4
    assert len(store) == 30
    store.add(vectors(1, 1), ids=["more"])
    assert (len(store), store.version) == (31, 5)
    with pytest.raises(NotFoundError, match="no version 9") as caught:
        store.rollback(9)
    assert "1, 2, 3, 4, 5" in caught.value.hint


def bad(row: int, value: Any, count: int = 4) -> np.ndarray:
    wrong = vectors(count)
    wrong[row] = value
    return wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vectors": bad(2, np.nan)}, r"row 2 \(id '2'\) is not finite"),
        ({"vectors": bad(3, np.inf)}, r"row 3 \(id '3'\) is not finite"),
        ({"vectors": bad(1, 0)}, r"row 1 \(id '1'\) is zero"),
        ({"vectors": bad(39, np.nan, 40), "ids": [f"x{i}" for i in range(40)]}, r"row 39 \(id 'x39'\)"),
        ({"vectors": np.ones((4, DIMENSION + 1))}, r"shape \(n, 8\), got \(4, 9\)"),
        ({"vectors": np.ones(DIMENSION)}, r"shape \(n, 8\), got \(8,\)"),
        ({"vectors": np.float32(3)}, r"shape \(n, 8\), got \(\)"),
        ({"vectors": np.ones((4, DIMENSION), dtype=complex)}, "complex128"),
        ({"vectors": np.full((4, DIMENSION), "x")}, "got"),
        ({"ids": ["a", "b", "c", 4]}, "id 3 must be a string .* got 4"),
        ({"ids": ["a", "b", "", "d"]}, "id 2 must be a string"),
        ({"ids": ["a", "b", "\ud800", "d"]}, "id 2 is not valid text"),
        ({"ids": ["a", "b", "b", "d"]}, "id 'b' occurs twice, last at row 2"),
        ({"ids": ["a", "b"]}, "4 vectors but 2 ids"),
        ({"texts": ["a"]}, "4 vectors but 1 texts"),
        ({"texts": ["a", "b", 3, "d"]}, "text 2 is a int"),
        ({"texts": ["a", "b", "\ud800", "d"]}, "text 2 is not valid text"),
        ({"metadata": [{}]}, "4 vectors but 1 metadata"),
        ({"metadata": [{}, {}, {"x": b"bytes"}, {}]}, "metadata of row 2"),
        ({"metadata": [{}, {}, {"x": "\ud800"}, {}]}, "metadata of row 2"),
        ({"metadata": [{}, {}, {"\ud800": 1}, {}]}, "metadata of row 2"),
        ({"metadata": [{}, {}, {}, {"title": "\ud800"}]}, "metadata of row 3"),
        ({"metadata": [{}, "text", {}, {}]}, "metadata of row 1 must map"),
        ({"metadata": [{}, {1: 2}, {}, {}]}, "metadata of row 1 must map"),
        ({"metadata": [{}, {"ordinal": "1"}, {}, {}]}, "ordinal of row 1"),
        ({"metadata": [{}, {"ordinal": True}, {}, {}]}, "ordinal of row 1"),
        ({"metadata": [{}, {"x": {1: 2, "a": 3}}, {}, {}]}, "metadata of row 1 holds what JSON cannot"),
        (
            {"metadata": pa.table({"day": pa.array([0, 0, 0, 10**12], pa.timestamp("s"))})},
            "metadata of rows 0 to 3",
        ),
        ({"metadata": [{}, {"ordinal": 2**31}, {}, {}]}, "ordinal of row 1"),
        ({"metadata": [{}, {"passage_id": "other"}, {}, {}]}, "row 1 has another passage_id"),
        (
            {"metadata": pa.Table.from_arrays([pa.array([1] * 4), pa.array([2] * 4)], ["year", "year"])},
            "metadata has several columns 'year'",
        ),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_added(store, arguments, message):
    store.add(vectors(2, 5), ids=["kept", "too"])
    given = {"vectors": vectors(4), "ids": [str(i) for i in range(4)], **arguments}

    for change in (store.add, store.upsert):
        with pytest.raises(UsageError, match=message):
            change(**given)

    assert (len(store), store.version, store.refresh()) == (2, 2, False)
    assert [path.name for path in store.path.glob("*/.*")] == []
    assert verify(store.path) == []


def test_deleting_a_document_that_is_not_there_is_refused_as_a_passage_is(store):
    store.add(vectors(3), ids=list("abc"))
    with pytest.raises(NotFoundError, match="none of the documents is in the store, first 'nope'"):
        store.delete(document_ids=["nope"])
    assert (len(store), store.version) == (3, 2)
    assert store.delete(document_ids=["nope", "b"]) == 1
    assert store.delete(document_ids=[]) == 0


def test_what_is_asked_for_wrongly_is_refused(store):
    store.add(vectors(3), ids=list("abc"))
    assert store.search([]).rows.shape == (0, 10)
    with pytest.raises(UsageError, match="ids must be strings, got 1"):
        store.get_by_ids([1])
    with pytest.raises(UsageError, match="vectors must be numbers of one length: Can't call numpy"):
        store.search(torch.ones(1, DIMENSION, requires_grad=True))
    with pytest.raises(UsageError, match="timeout_s must be a positive number of seconds, got True"):
        store.search(vectors(1), timeout_s=True)


@pytest.mark.parametrize(
    ("metric", "value"), [("inner_product", 70_000.0), ("l2", 1e6), ("inner_product", 1e-9)]
)
def test_what_float16_cannot_hold_is_refused(tmp_path, metric, value):
    store = Datastore.create(tmp_path / "half", dimension=DIMENSION, metric=metric, vectors="float16")
    with pytest.raises(UsageError, match=r"row 1 .* does not fit float16") as caught:
        store.add(bad(1, value))
    assert "float32" in caught.value.hint
    whole = Datastore.create(tmp_path / "whole", dimension=DIMENSION, metric=metric, vectors="float32")
    assert len(whole.add(bad(1, value))) == 4


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("value", [1e16, 1e25, 1e38, 1e300])
def test_what_float32_cannot_square_and_sum_is_refused(tmp_path, metric, value):
    store = Datastore.create(tmp_path / "s", dimension=DIMENSION, metric=metric, vectors="float32")
    store.add(vectors(4))
    with pytest.raises(UsageError, match=r"row 1 .* is too long for float32 \(at most 1e\+15\)") as caught:
        store.add(bad(1, value).astype(np.float64))
    assert caught.value.hint == "divide all vectors by one number"
    with pytest.raises(UsageError, match="a query vector is too long for float32"):
        store.search(np.full((1, DIMENSION), value))
    assert len(store) == 4

    cosine = Datastore.create(tmp_path / "c", dimension=DIMENSION)  # where only directions count
    cosine.add(bad(1, value).astype(np.float64), ids=list("abcd"))
    assert [hit.passage_id for hit in cosine.search(np.full((1, DIMENSION), value), k=1)[0]] == ["b"]


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_what_float32_loses_is_refused_and_the_shortest_keep_their_order(tmp_path, metric):
    store = Datastore.create(tmp_path / "s", dimension=DIMENSION, metric=metric, vectors="float32")
    directions = vectors(4).astype(np.float64) / np.linalg.norm(vectors(4), axis=1)[:, None]
    for length in (1e-16, 1e-24, 1e-50):
        with pytest.raises(
            UsageError, match=r"row 1 .* is too short for float32 \(at least 1e-15\)"
        ) as caught:
            store.add(np.array([directions[0], directions[1] * length]))
        assert caught.value.hint == "multiply all vectors by one number"
    store.add(directions * 1.01e-15, ids=list("abcd"))

    for query in directions * 1.01e-15:
        scores = (
            directions @ query
            if metric == "inner_product"
            else -np.linalg.norm(directions * 1.01e-15 - query, axis=1)
        )
        best = ["abcd"[row] for row in np.argsort(-scores)]
        assert [hit.passage_id for hit in store.search(query[None], k=4)[0]] == best
    if metric == "inner_product":
        with pytest.raises(UsageError, match="a query vector is too short for float32"):
            store.search(directions[:1] * 1e-20)
    assert len(store.search(np.zeros((1, DIMENSION)), k=4)[0]) == 4


@pytest.mark.parametrize(
    ("metric", "family"), [("inner_product", "flat"), ("inner_product", "hnsw_sq8"), ("l2", "flat")]
)
def test_rows_of_most_unlike_lengths_are_found_as_promised(tmp_path, metric, family):
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((3_000, 4)).astype(np.float32)
    rows[:1_000] *= 1e14
    store = Datastore.create(
        tmp_path / "s",
        dimension=4,
        metric=metric,
        vectors="float32",
        index=IndexConfig(family=family),
        features=(),
    )
    store.add(rows)
    queries = generator.standard_normal((100, 4)).astype(np.float32)

    found, true = store.search(queries).rows, store.search(queries, recall=1).rows

    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    products = asked @ wide.T
    scores = -((asked**2).sum(1)[:, None] - 2 * products + (wide**2).sum(1)) if metric == "l2" else products
    np.testing.assert_array_equal(np.sort(true), np.sort(np.argsort(-scores, axis=1)[:, :10]))
    assert np.mean([np.isin(some, best).mean() for some, best in zip(found, true, strict=True)]) >= 0.93


@pytest.mark.parametrize("dimension", [1, 2, 3, 15, 16, 384])
def test_the_default_type_keeps_the_order_of_neighbours(tmp_path, dimension):
    generator = np.random.default_rng(0)
    rows, queries = generator.standard_normal((1_900, dimension)), generator.standard_normal((50, dimension))
    store = Datastore.create(tmp_path / "s", dimension=dimension, features=())
    store.add(rows)

    found = store.search(queries)

    lengths = np.linalg.norm(rows, axis=1), np.linalg.norm(queries, axis=1)[:, None]
    cosines = queries @ rows.T / lengths[0] / lengths[1]
    best = -np.sort(-cosines, axis=1)[:, :10]
    np.testing.assert_allclose(
        np.take_along_axis(cosines, found.rows, axis=1), best, atol=1e-6 if dimension < 16 else 2e-3
    )
    np.testing.assert_allclose(found.scores, best, atol=1e-6 if dimension < 16 else 2e-3)
    assert store.manifest.dtype == ("float32" if dimension < 16 else "float16")


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_wider_type_is_no_help_for_what_is_no_vector(store, value):
    with pytest.raises(UsageError, match="row 1") as caught:
        store.add(bad(1, value))
    assert caught.value.hint == "leave the row out"


@pytest.mark.parametrize("value", [1e-40, 1e-300, 1e300])
def test_the_length_of_a_vector_does_not_matter_to_cosine(store, value):
    store.add(np.full((1, DIMENSION), value), ids=["a"])

    np.testing.assert_allclose(store.read_vectors(np.array([0])), np.full((1, DIMENSION), 8**-0.5), atol=1e-3)


def test_ids_that_are_there_already(store):
    store.add(vectors(3), ids=["a", "b", "c"], texts=["1", "2", "3"])
    with pytest.raises(UsageError, match="2 of the ids are in the store already, first 'b'") as caught:
        store.add(vectors(3), ids=["x", "b", "c"])
    assert "upsert" in caught.value.hint
    with pytest.raises(UsageError, match="id 'b' occurs twice"):
        store.upsert(vectors(2), ids=["b", "b"])
    assert store.version == 2
    with pytest.raises(NotFoundError, match="1 of the ids are not in the store, first 'z'"):
        store.delete(["a", "z"])
    assert len(store) == 3
    assert store.delete("a") == 1
    for arguments in ({}, {"ids": ["b"], "where": "true"}):
        with pytest.raises(UsageError, match="delete takes one of"):
            store.delete(**arguments)


def test_metadata_as_dictionaries_and_as_a_table(store):
    records = [
        {"year": 1, "tag": "x", "document_id": "d", "title": "T", "source": "s", "ordinal": 3},
        {"year": None, "tag": "y", "document_id": None, "title": None, "source": None, "ordinal": None},
    ]
    store.add(vectors(2), ids=["a", "b"], metadata=records)
    store.add(vectors(2, 1), ids=["ta", "tb"], metadata=pa.Table.from_pylist(records))
    day = dt.date(2020, 5, 17)
    store.add(vectors(1, 2), ids=["n"], metadata=[{"year": np.int64(4), "day": day, "ordinal": np.int32(7)}])

    hits = {hit.passage_id: hit for hit in store.get_by_ids(["a", "b", "ta", "tb", "n"])}
    for name in ("a", "ta"):
        assert hits[name].metadata == {"year": 1, "tag": "x"}
        assert (hits[name].document_id, hits[name].source, hits[name].title) == ("d", "s", "T")
    for name in ("b", "tb"):  # what is null is not given
        assert hits[name].metadata == {"year": None, "tag": "y"}
        assert (hits[name].document_id, hits[name].source, hits[name].title) == (name, "added", "")
    assert hits["n"].metadata == {"year": 4, "day": "2020-05-17"}
    found = store.search(QUERIES[:1], where="tag = 'x' AND year = 1 AND ordinal = 3", k=5)[0]
    assert sorted(hit.passage_id for hit in found) == ["a", "ta"]


def test_ids_and_metadata_of_numpy_are_stored_as_plain_values(store):
    record = {"tags": np.array([1, 2]), "day": np.datetime64("2020-05-17"), "ok": np.bool_(True)}
    ids = store.add(vectors(2), ids=np.array(["a", "b"]), metadata=np.array([record, {}]))

    assert [hit.passage_id for hit in store.get_by_ids(ids)] == ["a", "b"]
    assert store.get_by_ids("a")[0].metadata == {"tags": [1, 2], "day": "2020-05-17", "ok": True}
    assert len(store.search(QUERIES[:1], where="ok AND day = '2020-05-17'")[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": "abc"}, "ids must be a list of strings, got the string 'abc'"),
        ({"metadata": {"year": 1, "tag": 2, "day": 3}}, "metadata must be a list .* got a dict"),
        ({"metadata": ({} for _ in range(3))}, "metadata must be a list .* got a generator"),
        ({"metadata": pa.RecordBatch.from_pydict({"year": [1, 2, 3]})}, "got a RecordBatch"),
    ],
)
def test_what_is_no_list_of_rows_is_refused(store, arguments, message):
    with pytest.raises(UsageError, match=message) as caught:
        store.add(vectors(3), **arguments)
    assert "=[" in caught.value.hint
    assert store.version == 1


def test_a_document_whose_passages_came_at_different_times_is_counted_once(store):
    for name, source in (("a", "s"), ("b", "s"), ("c", "t")):
        store.add(vectors(1), ids=[name], metadata=[{"document_id": "d", "source": source}])

    assert describe(store)["documents"] == 2
    store.delete(["b"])
    assert describe(store)["documents"] == 2
    store.delete(["c"])
    assert describe(store)["documents"] == 1


def test_versions_that_are_compared_stay_until_that_is_done(store, monkeypatch):
    store.add(vectors(3), ids=["a", "b", "c"])
    store.delete(["a"])
    module = importlib.import_module("datastore.diff")  # the package's `diff` is the function
    contents = module._contents
    pruned = []

    def prune_first(catalog):
        pruned.append(store.prune())
        return contents(catalog)

    monkeypatch.setattr(module, "_contents", prune_first)
    assert diff(store.path, store.path, version_a=2).removed == 1
    assert [found.held for found in pruned] == [[2], [2]]
    assert store.prune().removed == [2]


def test_ids_that_cannot_be_are_the_ids_of_nothing(store):
    store.add(vectors(1), ids=["a"])

    assert [hit.passage_id for hit in store.get_by_ids(["\ud800", "a", ""])] == ["a"]


def test_new_ids_are_new(tmp_path):
    """Also where a user's own look like them."""
    with Datastore.create(tmp_path / "s", dimension=DIMENSION) as store:
        own = ["2-0", "3-0", "3-1", "3.1-0"]
        store.add(np.eye(DIMENSION)[:4], ids=own, texts=own)

        first = store.add(np.eye(DIMENSION)[:2])
        second = store.upsert(np.eye(DIMENSION)[:2])

        assert (first, second) == (["3.2-0", "3.2-1"], ["4-0", "4-1"])
        assert [hit.text for hit in store.get_by_ids(own)] == own


def test_missing_values_of_pandas_are_missing(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "name": pandas.Series(["ann", float("nan"), "zoe"], dtype=object),
            "ok": pandas.Series([True, float("nan"), False], dtype=object),
            "day": pandas.to_datetime(["2019-05-01", None, "2021-05-01"]),
            "mixed": pandas.Series([0.1, float("nan"), "n/a"], dtype=object),
        }
    )
    with Datastore.create(tmp_path / "s", dimension=DIMENSION) as store:
        store.add(np.eye(DIMENSION)[:3], ids=["a", "b", "c"], metadata=frame.to_dict("records"))
        store.add(np.eye(DIMENSION)[3:4], ids=["d"], metadata=[{"day": np.datetime64("2022-01-01", "ns")}])

        def found(where: str) -> str:
            return "".join(sorted(hit.passage_id for hit in store.search(QUERIES[:1], where=where)[0]))

        for name in ("name", "ok", "day", "mixed"):
            assert found(f"{name} IS NULL") == ("b" if name == "day" else "bd")
        assert found("name > 'A'") == "ac"
        assert (found("ok"), found("NOT ok")) == ("a", "c")
        assert found("day > '2020-01-01'") == "cd"
        assert (found("mixed > 0"), found("mixed = 'n/a'")) == ("a", "c")


def test_numbers_beyond_a_double_beside_fractions_are_texts(tmp_path):
    with Datastore.create(tmp_path / "s", dimension=DIMENSION) as store:
        store.add(np.eye(DIMENSION)[:2], ids=["a", "b"], metadata=[{"x": 10**400}, {"x": 1.5}])

        assert [hit.passage_id for hit in store.search(QUERIES[:1], where="x = 1.5")[0]] == ["b"]


def test_unknown_columns_and_places_that_are_no_folders(tmp_path):
    file = tmp_path / "file.txt"
    file.write_text("text")
    with Datastore.create(tmp_path / "s", dimension=DIMENSION) as store:
        with pytest.raises(UsageError, match="passages have no column 'nope'"):
            store.read_column("nope")
        (store.path / "versions" / "00000099.json").mkdir()
        (store.path / "versions" / "².json").touch()
        assert store.versions() == [1]
        store.add(np.eye(DIMENSION)[:1])
        assert store.prune().removed == [1]
    with pytest.raises(NotFoundError, match="there is no datastore at"):
        Datastore.open(file)
    with pytest.raises(UsageError, match="cannot be made"):
        Datastore.create(file / "below", dimension=DIMENSION)


def test_recall_of_nothing_is_refused(tmp_path):
    with Datastore.create(tmp_path / "s", dimension=DIMENSION) as store:
        with pytest.raises(UsageError, match="has no passages"):
            verify_recall(store.path)
        store.add(np.eye(DIMENSION))
        with pytest.raises(UsageError, match="there is no query"):
            verify_recall(store.path, np.zeros((0, DIMENSION)))
