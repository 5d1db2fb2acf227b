"""Every dense family against the specification: a plain sort of all inner products."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.index.dense import DenseIndex, Plan, Vectors, build_index, open_index
from datastore.index.dense.exact import ExactIndex


def unit_vectors(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def reference(
    vectors: np.ndarray, queries: np.ndarray, k: int, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all rows, sorted by (-score, row), padded."""
    scores = queries.astype(np.float32) @ vectors.astype(np.float32).T
    rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
    ordinals = np.full((len(queries), k), -1, dtype=np.int64)
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for i, line in enumerate(scores):
        order = sorted(rows, key=lambda row: (-line[row], row))[:k]
        ordinals[i, : len(order)], best[i, : len(order)] = order, line[order]
    return ordinals, best


def in_parts(vectors: np.ndarray, *cuts: int) -> Vectors:
    return Vectors(np.split(vectors, cuts), "cosine", vectors.shape[1])


def open_family(
    family: str, parameters: dict[str, int | str], vectors: np.ndarray, folder: Path
) -> DenseIndex:
    source = in_parts(vectors, len(vectors) // 3)
    if family == "exact":
        return ExactIndex(source)
    folder.mkdir(parents=True)
    build_index(Plan(family, parameters), source, folder)
    return open_index(family, folder)


NEEDS_TURBOVEC = pytest.mark.skipif(find_spec("turbovec") is None, reason="turbovec is not installed")
FAMILIES = pytest.mark.parametrize(
    ("family", "parameters", "recall"),
    [
        ("exact", {}, 1.0),
        ("flat", {"bits": 8}, 0.97),
        ("flat", {"bits": 4}, 0.80),
        pytest.param("flat", {"bits": 4, "engine": "turbovec"}, 0.80, marks=NEEDS_TURBOVEC),
        ("hnsw_sq8", {"links": 32}, 0.90),
        ("ivf_pq", {"lists": 32}, 0.45),
        ("ivf_pq", {"lists": 32, "bits": 8}, 0.80),
        ("ivf_rabitq", {"lists": 32, "bits": 4}, 0.75),
    ],
    ids=["exact", "flat-8", "flat-4", "flat-4-turbovec", "hnsw", "ivf-pq-4", "ivf-pq-8", "ivf-rabitq-4"],
)


@FAMILIES
@pytest.mark.parametrize("selected", [None, 0.5, 0.01], ids=["all", "half", "hundredth"])
def test_a_family_finds_what_a_full_sort_finds(tmp_path, family, parameters, recall, selected):
    vectors, queries = unit_vectors(3_000, 48), unit_vectors(20, 48, seed=1).astype(np.float32)
    mask = None if selected is None else np.random.default_rng(2).random(3_000) < selected
    index = open_family(family, parameters, vectors, tmp_path / "index")
    expected, _ = reference(vectors, queries, 10, mask)

    found = index.search(queries, 10, mask)

    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.ordinals, expected, strict=True)])
    assert overlap >= recall
    assert (np.diff(found.scores, axis=1) <= 0).all()
    if mask is not None:
        assert mask[found.ordinals[found.ordinals >= 0]].all()


@FAMILIES
def test_more_candidates_than_rows_are_padded_at_the_end(tmp_path, family, parameters, recall):
    vectors, queries = unit_vectors(5, 8), unit_vectors(2, 8, seed=1).astype(np.float32)
    mask = np.array([True, False, True, False, True])

    found = open_family(family, parameters, vectors, tmp_path / "index").search(queries, 9, mask)

    assert found.ordinals.shape == found.scores.shape == (2, 9)
    for ordinals, scores in zip(found.ordinals, found.scores, strict=True):
        assert sorted(ordinals[:3]) == [0, 2, 4]
        assert (ordinals[3:] == -1).all()
        assert (scores[3:] == -np.inf).all()


@FAMILIES
def test_a_mask_that_allows_nothing_gives_nothing(tmp_path, family, parameters, recall):
    vectors = unit_vectors(50, 8)

    found = open_family(family, parameters, vectors, tmp_path / "index").search(
        vectors[:3].astype(np.float32), 4, np.zeros(50, dtype=bool)
    )

    assert (found.ordinals == -1).all()


@FAMILIES
def test_queries_of_any_layout_give_the_same_answer(tmp_path, family, parameters, recall):
    vectors = unit_vectors(300, 16)
    index = open_family(family, parameters, vectors, tmp_path / "index")
    queries = unit_vectors(6, 16, seed=3).astype(np.float32)

    found = index.search(np.asfortranarray(queries), 5)

    assert (found.ordinals == index.search(queries, 5).ordinals).all()
    assert (index.search(np.repeat(queries, 2, axis=0)[::2], 5).ordinals == found.ordinals).all()


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=40),
    st.integers(1, 12),
    st.data(),
)
def test_exact_orders_by_score_then_ordinal(rows, k, data):
    # Few distinct values: most scores tie, so the order among equals is what is tested.
    vectors = np.array(rows, dtype=np.float16)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    queries = np.array([[1, 0, -1], [0, 0, 0]], dtype=np.float32)
    ordinals, scores = reference(vectors, queries, k, mask)

    found = ExactIndex(in_parts(vectors, len(rows) // 2)).search(queries, k, mask)

    np.testing.assert_array_equal(found.ordinals, ordinals)
    np.testing.assert_array_equal(found.scores, scores)


def test_exact_over_several_blocks_equals_one_sort():
    # More rows than a block of 16,384, so that results of blocks are merged.
    vectors, queries = unit_vectors(40_000, 8), unit_vectors(3, 8, seed=5).astype(np.float32)
    ordinals, scores = reference(vectors, queries, 7)

    found = ExactIndex(in_parts(vectors)).search(queries, 7)

    np.testing.assert_array_equal(found.ordinals, ordinals)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
