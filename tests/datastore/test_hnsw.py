"""The graph of 8-bit codes against the exact answer, its files, its order of insertion; the intrinsic dimension."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from datastore.errors import IntegrityError, UsageError
from datastore.index.dense import Vectors, hnsw_sq8
from datastore.index.dense.exact import ExactIndex
from datastore.index.dense.hnsw_sq8 import HnswIndex
from datastore.index.dense.intrinsic_dimension import estimate, of_rows

ORDERS = pytest.mark.parametrize("order", ["given", "intrinsic_dimension"])


def gaussian(rows: int, dimension: int, seed: int = 0, metric: str = "cosine") -> Vectors:
    """Unit vectors for `cosine`, else of unequal length; in two parts."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((rows, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric != "cosine":
        vectors *= generator.uniform(0.7, 1.4, (rows, 1))
    return Vectors(np.split(vectors.astype(np.float32), [rows // 3]), metric, dimension)


def built(vectors: Vectors, folder: Path, **parameters: object) -> HnswIndex:
    hnsw_sq8.build(vectors, folder, **parameters)
    return hnsw_sq8.open_index(folder)


def recall(
    index: HnswIndex, vectors: Vectors, queries: np.ndarray, effort: int, mask: np.ndarray | None = None
) -> float:
    truth = ExactIndex(vectors).search(queries, 10, mask).ordinals
    found = index.search(queries, 15, mask, effort).ordinals
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)]))


@ORDERS
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_enough_effort_finds_the_true_ten(tmp_path, metric, order):
    vectors, queries = gaussian(1_500, 24, metric=metric), gaussian(20, 24, seed=1).take(np.arange(20))
    index = built(vectors, tmp_path, order=order)

    found = index.search(queries, 10, effort=256)

    assert recall(index, vectors, queries, 256) >= 0.98
    assert (np.diff(found.scores, axis=1) <= 0).all()
    exact = ExactIndex(vectors).search(queries, 10).scores
    np.testing.assert_allclose(found.scores[:, 0], exact[:, 0], atol=0.05)


def test_more_effort_finds_more(tmp_path):
    vectors, queries = gaussian(3_000, 24), gaussian(50, 24, seed=1).take(np.arange(50))
    index = built(vectors, tmp_path, links=6, construction_effort=40)

    low, high = (recall(index, vectors, queries, effort) for effort in (index.efforts[0], index.efforts[-1]))

    assert low + 0.02 < high > 0.98


@ORDERS
@pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
def test_a_mask_raises_the_effort_until_its_best_are_found(tmp_path, order, share):
    vectors, queries = gaussian(3_000, 24), gaussian(20, 24, seed=1).take(np.arange(20))
    mask = np.random.default_rng(3).random(3_000) < share
    index = built(vectors, tmp_path, order=order, construction_effort=40)

    found = index.search(queries, 10, mask, effort=64)

    matches = min(10, int(mask.sum()))
    assert ((found.ordinals >= 0).sum(axis=1) == matches).all()
    assert mask[found.ordinals[:, :matches]].all()
    assert np.isneginf(found.scores[:, matches:]).all()
    if matches:
        assert recall(index, vectors, queries, 64, mask) >= 0.95


def test_a_mask_that_hides_too_much_for_a_graph_gives_no_candidates(tmp_path):
    vectors = gaussian(6_000, 8)
    index = built(vectors, tmp_path, links=4, construction_effort=8)
    queries = np.ones((2, 8), dtype=np.float32)
    scores = vectors.take(np.arange(6_000)) @ queries[0]
    mask = np.zeros(6_000, dtype=bool)
    mask[np.argsort(scores)[:3]] = True  # what lies furthest from the queries

    found = index.search(queries, 4, mask)

    np.testing.assert_array_equal(found.ordinals, np.full((2, 4), -1))
    assert np.isneginf(found.scores).all()


def test_a_mask_of_another_topic_than_the_queries_still_gives_the_best_of_it(tmp_path):
    rows = gaussian(3_000, 24).take(np.arange(3_000))
    rows[:, 0] += np.where(np.arange(3_000) < 2_700, 0.5, -0.5)
    queries = gaussian(20, 24, seed=1).take(np.arange(20)) + np.eye(1, 24, dtype=np.float32) / 2
    vectors = Vectors([rows], "inner_product", 24)

    assert recall(built(vectors, tmp_path), vectors, queries, 256, np.arange(3_000) >= 2_700) >= 0.95


@ORDERS
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_graph_of_few_vectors_gives_them_all(tmp_path, order, rows):
    found = built(gaussian(rows, 8), tmp_path, order=order).search(np.ones((2, 8), dtype=np.float32), 9)

    assert (np.sort(found.ordinals[:, :rows]) == np.arange(rows)).all()
    assert (found.ordinals[:, rows:] == -1).all()


def test_an_effort_beyond_the_rows_is_all_of_them(tmp_path):
    """Room for so many nodes would be all memory there is."""
    vectors = gaussian(300, 16)
    index = built(vectors, tmp_path)
    queries = np.ones((2, 16), dtype=np.float32)
    every = index.search(queries, 5, effort=300)

    for effort in (2**31 - 1, 2**40):
        found = index.search(queries, 5, effort=effort)
        assert (found.ordinals == every.ordinals).all()
        masked = index.search(queries, 5, np.arange(300) % 2 == 0, effort=effort)
        assert (masked.ordinals % 2 == 0).all()


def test_a_node_has_at_least_two_links(tmp_path):
    with pytest.raises(UsageError, match="1 links"):
        hnsw_sq8.build(gaussian(10, 8), tmp_path, links=1)


@ORDERS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_and_a_forked_process_get_what_one_thread_gets(tmp_path, order):
    index = built(gaussian(2_000, 24), tmp_path, order=order)
    queries = gaussian(64, 24, seed=1).take(np.arange(64))
    expected = index.search(queries, 10).ordinals

    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda query: index.search(query[None], 10).ordinals[0], queries))
    process = os.fork()
    if not process:
        os._exit(int(not (index.search(queries, 10).ordinals == expected).all()))

    np.testing.assert_array_equal(alone, expected)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@ORDERS
@pytest.mark.parametrize("links", [8, 16])
def test_the_footprint_is_the_size_of_files_and_arrays(tmp_path, order, links):
    index = built(gaussian(5_000, 96), tmp_path, order=order, links=links, construction_effort=16)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())

    predicted = hnsw_sq8.footprint(5_000, 96, links=links, order=order)

    assert predicted.file_bytes == pytest.approx(written, rel=0.02)
    assert predicted.ram_bytes == pytest.approx(index.ram_bytes, rel=0.02)


@ORDERS
def test_a_damaged_file_is_an_error_or_harmless(tmp_path, order):
    query = gaussian(1, 16).take(np.arange(1))
    built(gaussian(300, 16), tmp_path, order=order, links=4)
    generator = np.random.default_rng(0)

    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for kept in (0.0, 0.3, 0.99):
            file.write_bytes(whole[: int(len(whole) * kept)])
            with pytest.raises(IntegrityError, match="cannot be read"):
                hnsw_sq8.open_index(tmp_path)
        for place in generator.integers(0, len(whole), 20).tolist() + list(
            range(0, min(200, len(whole)), 10)
        ):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(generator.integers(8))
            file.write_bytes(damaged)
            try:
                index = hnsw_sq8.open_index(tmp_path)
            except IntegrityError:
                continue
            assert index.search(query, 5).ordinals.max() < 300
        file.write_bytes(whole)


def test_a_link_to_a_node_that_is_not_on_its_level_is_refused(tmp_path):
    built(gaussian(300, 16), tmp_path, links=4)
    levels, links = np.load(tmp_path / "levels.npy"), np.load(tmp_path / "links.npy")
    node = int(np.flatnonzero(levels > 1)[0])
    start = int(np.where(levels[:node] > 1, 8 + 4 * (levels[:node] - 1), 8).sum())
    links[start + 8] = int(np.flatnonzero(levels == 1)[0])
    np.save(tmp_path / "links.npy", links)

    with pytest.raises(IntegrityError):
        hnsw_sq8.open_index(tmp_path)


def test_vectors_of_high_intrinsic_dimension_are_inserted_first(tmp_path):
    generator = np.random.default_rng(0)
    plane = np.pad(generator.random((1_500, 2)), ((0, 0), (0, 14)))
    vectors = Vectors([plane, generator.random((1_500, 16)) + 2], "l2", 16)

    hnsw_sq8.build(vectors, tmp_path, order="intrinsic_dimension", construction_effort=8)

    order = np.load(tmp_path / "order.npy")
    assert (order[:1_000] >= 1_500).mean() > 0.99


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_the_estimate_is_the_dimension_of_a_uniform_cube_in_a_larger_space(dimension):
    generator = np.random.default_rng(0)
    turned = np.linalg.qr(generator.standard_normal((32, 32)))[0][:dimension]
    vectors = Vectors([(generator.random((6_000, dimension)) @ turned).astype(np.float32)], "l2", 32)

    # Borders lower it, the more the higher the dimension.
    assert 0.75 * dimension <= estimate(vectors, seed=0) <= 1.1 * dimension


def test_the_estimate_on_a_line_is_the_formula():
    # Seen from the end: distances 1, 2, 3, and the mean of log(3/1), log(3/2) inverted; from the middle others.
    points = Vectors([np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)], "l2", 1)
    distances = [[1, 3, 7], [1, 2, 6], [2, 3, 4], [4, 6, 7]]
    inverses = [np.mean([np.log(last / first), np.log(last / second)]) for first, second, last in distances]

    assert estimate(points, seed=0) == pytest.approx(1 / np.mean(inverses), rel=1e-5)
    np.testing.assert_allclose(of_rows(points, seed=0), 1 / np.array(inverses), rtol=1e-5)


def test_copies_of_a_vector_are_not_its_neighbours():
    vectors = gaussian(400, 8, metric="l2").take(np.arange(400))

    once, twice = (estimate(Vectors([vectors] * copies, "l2", 8), seed=0) for copies in (1, 2))

    assert twice == pytest.approx(once, rel=0.35)
    assert np.isnan(estimate(Vectors([np.ones((50, 8), dtype=np.float32)], "l2", 8), seed=0))
