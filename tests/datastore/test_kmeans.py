from __future__ import annotations

import numpy as np

from datastore.index.dense import Vectors
from datastore.index.dense.kmeans import nearest, sample_rows, train_centroids


def groups(rows: int, dimension: int, count: int, seed: int = 0) -> np.ndarray:
    """Rows round `count` far centres, row i at centre i % count."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, dimension))
    rows = centres[np.arange(rows) % count] + 0.01 * random.standard_normal((rows, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_is_the_least_distance_or_the_highest_inner_product():
    random = np.random.default_rng(0)
    vectors, centroids = random.standard_normal((500, 12)) * 3, random.standard_normal((40, 12))
    distances = ((vectors[:, None] - centroids) ** 2).sum(axis=2)
    vectors, centroids = vectors.astype(np.float32), centroids.astype(np.float32)

    for metric in ("l2", "inner_product"):
        np.testing.assert_array_equal(nearest(vectors, centroids, metric), distances.argmin(axis=1))
    # Steps of bfloat16: the chosen list is as good as the best up to its precision.
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = units @ centroids.T
    chosen = scores[np.arange(500), nearest(units, centroids, "cosine")]
    assert (scores.max(axis=1) - chosen).max() < 0.03


def test_every_separate_group_becomes_a_list_and_none_stays_empty():
    vectors = groups(2_000, 16, 8)
    source = Vectors([vectors[:700], vectors[700:]], "cosine", 16)

    centroids = train_centroids(source, 8, seed=1, iterations=12)

    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert (np.bincount(nearest(vectors, centroids, "cosine"), minlength=8) > 0).all()


def test_the_same_seed_gives_the_same_centroids():
    source = Vectors([groups(600, 8, 20)], "l2", 8)

    first, second = (train_centroids(source, 30, seed=3) for _ in range(2))

    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, train_centroids(source, 30, seed=4))


def test_as_many_lists_as_rows_of_one_value_train():
    source = Vectors([np.ones((10, 4), dtype=np.float16)], "l2", 4)

    np.testing.assert_array_equal(train_centroids(source, 10, seed=0), np.ones((10, 4)))


def test_the_sample_is_bounded_and_never_less_than_the_lists():
    assert sample_rows(1_000, 384, 256) == 1_000
    assert sample_rows(1_000_000, 384, 4_000) == 200_000
    assert sample_rows(10**9, 768, 65_536) == 2**31 // (4 * 768)
    assert sample_rows(10**9, 4_096, 2**20) == 2**20
