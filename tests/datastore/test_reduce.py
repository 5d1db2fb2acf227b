"""Fewer dimensions in front of a family: what each reduction keeps, and that queries follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datastore.errors import IntegrityError, UsageError
from datastore.index.dense import DenseIndex, Plan, Vectors, build_index, index_footprint, open_index
from datastore.index.dense.exact import ExactIndex
from datastore.index.dense.reduce import learn

LINEAR = pytest.mark.parametrize("kind", ["pca", "leanvec"])


def stretched(rows: int, dimension: int, seed: int = 0, metric: str = "cosine") -> Vectors:
    """Vectors that vary most in the last dimensions, off the origin; in two parts."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((rows, dimension)) * np.geomspace(0.05, 1, dimension) + 0.1
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Vectors(np.split(vectors.astype(np.float32), [rows // 3]), metric, dimension)


def all_of(vectors: Vectors) -> np.ndarray:
    return np.concatenate(list(vectors.blocks()))


def recall(vectors: Vectors, queries: np.ndarray, reduction: dict, learned_from: np.ndarray) -> float:
    """Share of the exact ten among 20 of an exhaustive search in the reduced space."""
    reduced = learn(reduction, vectors, learned_from)
    truth = ExactIndex(vectors).search(queries, 10).ordinals
    found = ExactIndex(reduced.vectors).search(queries @ reduced.query_projection.T, 20).ordinals
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]))


def built(folder: Path, plan: Plan, vectors: Vectors, queries: np.ndarray | None = None) -> DenseIndex:
    build_index(plan, vectors, folder, queries)
    return open_index(plan.family, folder)


def test_matryoshka_keeps_the_first_dimensions_at_length_one():
    vectors = Vectors([np.array([[3, 4, 12], [0, 0, 1]], dtype=np.float16)], "cosine", 3)

    reduced = learn({"kind": "matryoshka", "dimension": 2}, vectors).vectors

    np.testing.assert_allclose(all_of(reduced), [[0.6, 0.8], [0, 0]], atol=1e-6)
    assert (reduced.metric, reduced.dimension, reduced.rows) == ("cosine", 2, 2)


def test_matryoshka_only_cuts_where_length_counts():
    vectors = Vectors([np.array([[3, 4, 12]], dtype=np.float16)], "inner_product", 3)

    reduced = learn({"kind": "matryoshka", "dimension": 2}, vectors).vectors

    np.testing.assert_array_equal(all_of(reduced), [[3, 4]])


def test_pca_keeps_what_lies_in_a_subspace_exactly():
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.standard_normal((24, 6)))[0].T
    vectors = Vectors([(generator.standard_normal((500, 6)) @ basis + 3).astype(np.float32)], "l2", 24)
    queries = vectors.take(np.arange(7)) + 0.01

    reduced = learn({"kind": "pca", "dimension": 6}, vectors)
    scores = ExactIndex(reduced.vectors).search(queries @ reduced.query_projection.T, 5)
    exact = ExactIndex(vectors).search(queries, 5)

    assert reduced.vectors.metric == "l2"
    np.testing.assert_array_equal(scores.ordinals, exact.ordinals)


def test_all_dimensions_kept_keep_all_products():
    vectors, queries = stretched(300, 16), all_of(stretched(40, 16, seed=1))
    matryoshka, pca, leanvec = (
        learn({"kind": kind, "dimension": 16}, vectors, queries) for kind in ("matryoshka", "pca", "leanvec")
    )

    for reduced in (matryoshka, pca, leanvec):
        products = queries @ reduced.query_projection.T @ all_of(reduced.vectors).T
        np.testing.assert_allclose(products, queries @ all_of(vectors).T, atol=2e-4)


def test_leanvec_beats_pca_where_queries_look_elsewhere_than_the_vectors_vary():
    vectors = stretched(3_000, 32, metric="inner_product")
    generator = np.random.default_rng(1)
    scale = np.geomspace(1, 0.01, 32)  # queries hardly touch the dimensions that vary most
    learned_from, queries = (
        (generator.standard_normal((200, 32)) * scale).astype(np.float32) for _ in range(2)
    )

    pca, leanvec = (
        recall(vectors, queries, {"kind": kind, "dimension": 8}, learned_from) for kind in ("pca", "leanvec")
    )

    assert leanvec > pca + 0.2


def test_leanvec_of_a_single_query_is_as_good_as_pca():
    vectors, queries = stretched(500, 32), all_of(stretched(50, 32, seed=1))

    pca, leanvec = (
        recall(vectors, queries, {"kind": kind, "dimension": 8}, queries[:1]) for kind in ("pca", "leanvec")
    )

    assert leanvec == pytest.approx(pca, abs=0.02)


def test_reductions_of_real_vectors_to_half_keep_the_ten(test_data):
    passages = np.load(test_data / "vectors" / "passages.f16.npy", mmap_mode="r")[:4_000]
    queries = np.load(test_data / "vectors" / "queries.f16.npy")[:400].astype(np.float32)
    vectors = Vectors([passages], "cosine", 384)

    recalls = [
        recall(vectors, queries[200:], {"kind": kind, "dimension": 192}, queries[:200])
        for kind in ("pca", "leanvec")
    ]

    assert min(recalls) >= 0.97


@pytest.mark.parametrize("kind", ["matryoshka", "pca", "leanvec"])
@pytest.mark.parametrize(("family", "parameters"), [("flat", {"bits": 8}), ("hnsw_sq8", {})])
@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_any_family_searches_in_fewer_dimensions(tmp_path, family, parameters, kind, metric):
    vectors, queries = stretched(1_200, 24, metric=metric), all_of(stretched(20, 24, seed=1))
    reduction = {"kind": kind, "dimension": 16}
    mask = np.arange(1_200) % 2 == 0
    reduced = learn(reduction, vectors, queries)
    truth = ExactIndex(reduced.vectors).search(queries @ reduced.query_projection.T, 10, mask).ordinals

    index = built(tmp_path, Plan(family, {**parameters, "reduction": reduction}), vectors, queries)
    found = index.search(queries, 15, mask, max(index.efforts, default=None)).ordinals

    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]) >= 0.95
    assert mask[found].all()


def test_parts_and_samples_are_those_of_the_reduced_vectors():
    vectors = stretched(1_000, 24)
    reduced = learn({"kind": "pca", "dimension": 5}, vectors).vectors
    rows = np.array([999, 0, 333, 334])

    np.testing.assert_allclose(reduced.take(rows), all_of(reduced)[rows], atol=1e-6)
    assert reduced.sample(10, seed=0).shape == (10, 5)


@LINEAR
def test_the_footprint_counts_the_projection(tmp_path, kind):
    vectors, queries = stretched(4_000, 64), all_of(stretched(100, 64, seed=1))
    plan = Plan("flat", {"bits": 4, "reduction": {"kind": kind, "dimension": 32}})

    index = built(tmp_path, plan, vectors, queries)

    predicted = index_footprint(plan, 4_000, 64)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert predicted.file_bytes == pytest.approx(written, rel=0.02)
    assert predicted.ram_bytes == index.ram_bytes


@pytest.mark.parametrize(
    ("reduction", "metric", "message"),
    [
        ({"kind": "leanvec", "dimension": 4}, "cosine", "none were given"),
        ({"kind": "leanvec", "dimension": 4}, "l2", "not distances"),
        ({"kind": "pcaa", "dimension": 4}, "cosine", 'did you mean "pca"'),
        ({"kind": "pca", "dimension": 25}, "cosine", "cannot reduce 24 dimensions to 25"),
        ({"kind": "pca", "dimension": 0}, "cosine", "cannot reduce"),
        ({"kind": "pca", "dimensions": 4}, "cosine", "has no 'dimensions'"),
    ],
)
def test_a_reduction_that_cannot_be_is_refused(tmp_path, reduction, metric, message):
    with pytest.raises(UsageError, match=message):
        build_index(
            Plan("flat", {"bits": 4, "reduction": reduction}), stretched(50, 24, metric=metric), tmp_path
        )


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_projection_cut_short_is_an_error(tmp_path, kept):
    built(
        tmp_path, Plan("flat", {"bits": 4, "reduction": {"kind": "pca", "dimension": 8}}), stretched(50, 24)
    )
    file = tmp_path / "query_projection.npy"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])

    with pytest.raises(IntegrityError, match="cannot be read"):
        open_index("flat", tmp_path)
