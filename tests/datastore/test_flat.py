"""The exhaustive scan: both engines against the exact answer, their files, and their bytes."""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from datastore.errors import IntegrityError, MissingPackageError, UsageError
from datastore.index.dense import DenseIndex, Vectors, flat
from datastore.index.dense.exact import ExactIndex

needs_turbovec = pytest.mark.skipif(
    importlib.util.find_spec("turbovec") is None, reason="turbovec is not installed"
)
CODES = pytest.mark.parametrize(
    ("engine", "bits"),
    [
        pytest.param("turbovec", 4, marks=needs_turbovec),
        pytest.param("turbovec", 2, marks=needs_turbovec),
        ("faiss", 2),
        ("faiss", 4),
        ("faiss", 8),
    ],
)


def gaussian(rows: int, dimension: int, seed: int = 0, metric: str = "inner_product") -> Vectors:
    """Vectors of unequal length, in two parts."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((rows, dimension)) * generator.uniform(0.5, 2, (rows, 1))
    return Vectors(np.split(vectors.astype(np.float32), [rows // 3]), metric, dimension)


def built(vectors: Vectors, folder: Path, engine: str, bits: int) -> DenseIndex:
    folder.mkdir(exist_ok=True)
    flat.build(vectors, folder, bits=bits, engine=engine)
    return flat.open_index(folder)


def recall(index: DenseIndex, vectors: Vectors, queries: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Share of the exact ten among 40 candidates."""
    truth = ExactIndex(vectors).search(queries, 10, mask).ordinals
    found = index.search(queries, 40, mask).ordinals
    pairs = zip(truth, found, strict=True)
    return sum(len(set(a[a >= 0]) & set(b)) for a, b in pairs) / (truth >= 0).sum()


@CODES
def test_forty_candidates_hold_the_true_ten_of_vectors_of_any_length(tmp_path, engine, bits):
    vectors, queries = gaussian(3_000, 64), gaussian(20, 64, seed=1).take(np.arange(20))

    assert recall(built(vectors, tmp_path, engine, bits), vectors, queries) >= (0.85 if bits == 2 else 0.99)


@pytest.mark.parametrize("bits", [4, 8])
def test_faiss_ranks_by_distance(tmp_path, bits):
    vectors, queries = gaussian(3_000, 64, metric="l2"), gaussian(20, 64, seed=1).take(np.arange(20))
    index = built(vectors, tmp_path, "faiss", bits)
    exact = ExactIndex(vectors).search(queries, 1).scores

    assert recall(index, vectors, queries) >= 0.95
    np.testing.assert_allclose(index.search(queries, 1).scores, exact, rtol=0.15)


@CODES
@pytest.mark.parametrize("share", [0.5, 0.01, 0.0])
def test_a_mask_gives_all_that_match_and_nothing_else(tmp_path, engine, bits, share):
    vectors, queries = gaussian(3_000, 32), gaussian(5, 32, seed=1).take(np.arange(5))
    mask = np.random.default_rng(3).random(3_000) < share

    found = built(vectors, tmp_path, engine, bits).search(queries, 60, mask)

    expected = min(60, int(mask.sum()))
    assert ((found.ordinals >= 0).sum(axis=1) == expected).all()
    assert mask[found.ordinals[:, :expected]].all()
    assert np.isneginf(found.scores[:, expected:]).all()
    assert (found.ordinals[:, expected:] == -1).all()
    assert (np.diff(found.scores[:, :expected], axis=1) <= 0).all()


@CODES
def test_a_mask_of_another_topic_than_the_queries_still_gives_the_best_of_it(tmp_path, engine, bits):
    rows = gaussian(3_000, 32).take(np.arange(3_000))
    rows[:, 0] += np.where(np.arange(3_000) < 2_900, 5, -5)
    queries = gaussian(5, 32, seed=1).take(np.arange(5)) + np.eye(1, 32, dtype=np.float32) * 5
    vectors = Vectors([rows], "inner_product", 32)

    assert recall(built(vectors, tmp_path, engine, bits), vectors, queries, np.arange(3_000) >= 2_900) >= 0.95


@CODES
def test_one_vector_and_more_candidates_than_rows(tmp_path, engine, bits):
    found = built(gaussian(1, 8), tmp_path, engine, bits).search(np.ones((2, 8), dtype=np.float32), 3)

    np.testing.assert_array_equal(found.ordinals, [[0, -1, -1]] * 2)
    assert np.isneginf(found.scores[:, 1:]).all()


@CODES
def test_equal_vectors_and_vectors_of_zeros_are_found(tmp_path, engine, bits):
    rows = np.repeat([[1.0] * 8, [0.0] * 8], 20, axis=0).astype(np.float32)

    found = built(Vectors([rows], "inner_product", 8), tmp_path, engine, bits).search(rows[:1], 40)

    assert set(found.ordinals[0, :20]) == set(range(20))
    assert set(found.ordinals[0]) == set(range(40))


@CODES
def test_a_query_alone_gets_what_it_gets_in_a_batch_and_beside_other_threads(tmp_path, engine, bits):
    index = built(gaussian(3_000, 32), tmp_path, engine, bits)
    queries = gaussian(64, 32, seed=1).take(np.arange(64))
    batch = index.search(queries, 10).ordinals

    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda query: index.search(query[None], 10).ordinals[0], queries))

    np.testing.assert_array_equal(np.sort(alone), np.sort(batch))


@CODES
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_searches_an_index_that_its_parent_has_searched(tmp_path, engine, bits):
    index = built(gaussian(3_000, 32), tmp_path, engine, bits)
    queries = gaussian(64, 32, seed=1).take(np.arange(64))
    expected = index.search(queries, 10).ordinals

    process = os.fork()
    if not process:
        os._exit(int(not (index.search(queries, 10).ordinals == expected).all()))

    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@CODES
@pytest.mark.parametrize("rows", [1_000, 4_017])
def test_the_footprint_is_the_size_of_the_files(tmp_path, engine, bits, rows):
    index = built(gaussian(rows, 200), tmp_path, engine, bits)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())

    predicted = flat.footprint(rows, 200, bits=bits, engine=engine)

    assert predicted.file_bytes == pytest.approx(written, rel=0.02)
    assert predicted.ram_bytes == index.ram_bytes


@CODES
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_file_cut_short_is_an_error(tmp_path, engine, bits, kept):
    built(gaussian(100, 16), tmp_path, engine, bits)

    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(IntegrityError, match="cannot be read"):
            flat.open_index(tmp_path)
        file.write_bytes(whole)


@CODES
def test_a_damaged_file_is_an_error_or_harmless(tmp_path, engine, bits):
    query = gaussian(1, 16).take(np.arange(1))
    built(gaussian(100, 16), tmp_path, engine, bits)
    generator = np.random.default_rng(0)

    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for _ in range(30):
            damaged = bytearray(whole)
            damaged[int(generator.integers(0, min(len(whole), 200)))] ^= 1 << int(generator.integers(8))
            file.write_bytes(damaged)
            try:
                index = flat.open_index(tmp_path)
            except IntegrityError:
                continue
            assert index.search(query, 5).ordinals.max() < 100
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("dimension", "metric", "bits", "reason"),
    [(16, "l2", 4, "inner products"), (16, "cosine", 8, "8 bits"), (12, "cosine", 4, "multiple of 8")],
)
def test_turbovec_refuses_what_it_cannot_do_and_faiss_is_chosen(tmp_path, dimension, metric, bits, reason):
    with pytest.raises(UsageError, match=reason):
        flat.build(gaussian(10, dimension, metric=metric), tmp_path, bits=bits, engine="turbovec")

    assert flat.engine_for(dimension, metric, bits) == "faiss"


def test_no_engine_has_three_bits(tmp_path):
    with pytest.raises(UsageError, match="no flat codes of 3 bits"):
        flat.build(gaussian(10, 16), tmp_path, bits=3)


@needs_turbovec
def test_an_index_of_turbovec_says_what_to_install_where_it_is_missing(tmp_path, monkeypatch):
    assert flat.engine_for(16, "cosine", 4) == "turbovec"
    built(gaussian(100, 16), tmp_path, "turbovec", 4)
    monkeypatch.setitem(sys.modules, "turbovec", None)

    with pytest.raises(MissingPackageError, match="compendia\\[engines\\]"):
        flat.open_index(tmp_path)


@CODES
def test_real_vectors_keep_their_ten_among_twenty_to_thirty(test_data, tmp_path, engine, bits):
    passages = np.load(test_data / "vectors" / "passages.f16.npy", mmap_mode="r")[:4_000]
    queries = np.load(test_data / "vectors" / "queries.f16.npy")[:100].astype(np.float32)
    vectors = Vectors([passages], "cosine", 384)
    truth = ExactIndex(vectors).search(queries, 10).ordinals

    found = built(vectors, tmp_path, engine, bits).search(queries, 30 if bits == 2 else 20).ordinals

    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, found, strict=True)])
    assert overlap >= 0.99


@needs_turbovec
def test_vectors_that_are_all_but_the_same_are_indexed(tmp_path):
    same = np.ones((2_100, 64), dtype=np.float32)
    same[:5] = np.random.default_rng(0).standard_normal((5, 64))
    vectors = Vectors([same], "inner_product", 64)

    index = built(vectors, tmp_path, "turbovec", 4)

    assert index.shape == (2_100, 64)
    assert index.search(same[:5], 5).ordinals[:, 0].tolist() == [0, 1, 2, 3, 4]
