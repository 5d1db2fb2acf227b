"""Exact scores against float64 arithmetic on the stored vectors, whatever the segments, the batch, the page cache."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import UsageError
from datastore.errors import IntegrityError
from datastore.rescore import ExactVectors, VectorFile

METRICS = pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
DTYPES = pytest.mark.parametrize("dtype", [np.float16, np.float32])


def draw(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def opened(
    folder: Path, vectors: np.ndarray, cuts: tuple[int, ...] = (), metric: str = "cosine"
) -> ExactVectors:
    folder.mkdir(exist_ok=True)
    files = []
    for number, part in enumerate(np.split(vectors, cuts)):
        files.append(VectorFile(folder / f"{number}.npy", len(part)))
        np.save(files[-1].path, part)
    return ExactVectors(files, vectors.shape[1], vectors.dtype.type, metric)


def reference(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    """(nq, n) float64 scores of all rows."""
    queries, vectors = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        return -((queries[:, None] - vectors[None]) ** 2).sum(axis=2)
    return queries @ vectors.T


@METRICS
@DTYPES
@pytest.mark.parametrize("cuts", [(), (1, 40, 40, 299)], ids=["one segment", "five segments, one empty"])
@pytest.mark.parametrize("dimension", [1, 6, 384, 385])
def test_scores_are_those_of_float64_arithmetic(tmp_path, metric, dtype, cuts, dimension):
    vectors, queries = draw(300, dimension).astype(dtype), draw(4, dimension, seed=1)
    exact = opened(tmp_path, vectors, cuts, metric)
    rows = np.random.default_rng(2).integers(0, 300, (4, 70))
    expected = reference(queries, vectors, metric)
    scores = exact.scores(queries, rows)
    assert scores.dtype == np.float32
    assert exact.rows == 300
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, axis=1), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(exact.scores_of_rows(queries, np.arange(300)), expected, rtol=1e-6, atol=1e-12)
    taken = exact.take(rows[0])
    assert taken.dtype == dtype
    np.testing.assert_array_equal(taken, vectors[rows[0]])


def test_hand_computed_scores(tmp_path):
    vectors = np.array([[1, 2], [3, 4], [-1, 0.5]], dtype=np.float16)
    rows = np.array([[2, 0, -1, 1]])
    query = np.array([[2, 1]], dtype=np.float32)
    inner, distance = (opened(tmp_path / metric, vectors, (1,), metric) for metric in ("inner_product", "l2"))
    np.testing.assert_array_equal(inner.scores(query, rows), [[-1.5, 4, -np.inf, 10]])
    np.testing.assert_array_equal(distance.scores(query, rows), [[-9.25, -2, -np.inf, -10]])


def test_distances_of_near_twins_keep_their_digits(tmp_path):
    vectors = draw(50, 384)
    queries = vectors[:5] + np.float32(1e-5) * draw(5, 384, seed=1)
    exact = opened(tmp_path, vectors, (20,), "l2")
    expected = reference(queries, vectors, "l2")[np.arange(5), np.arange(5)]
    np.testing.assert_allclose(exact.scores(queries, np.arange(5)[:, None])[:, 0], expected, rtol=1e-6)


@METRICS
def test_absent_rows_score_minus_infinity(tmp_path, metric):
    vectors, queries = draw(30, 8).astype(np.float16), draw(3, 8, seed=1)
    exact = opened(tmp_path, vectors, (10,), metric)
    rows = np.array([[3, -1, 29, -1], [-1, -1, -1, -1], [0, 1, 2, 10]])
    scores = exact.scores(queries, rows)
    assert np.array_equal(np.isneginf(scores), rows < 0)
    expected = np.take_along_axis(reference(queries, vectors, metric), np.maximum(rows, 0), axis=1)
    np.testing.assert_allclose(scores[rows >= 0], expected[rows >= 0], rtol=1e-6)
    assert np.isneginf(exact.scores(queries, np.full((3, 5), -1))).all()


@METRICS
@DTYPES
def test_a_score_has_the_same_bits_whatever_is_asked_beside_it(tmp_path, metric, dtype):
    vectors = draw(500, 384).astype(dtype)
    vectors[[7, 123, 400, 499]] = vectors[3]
    exact = opened(tmp_path, vectors, (100, 101, 350), metric)
    queries = draw(64, 384, seed=1)
    rows = np.random.default_rng(2).integers(0, 500, (64, 61))
    rows[:, [0, 9, 17, 40, 60]] = [3, 7, 123, 400, 499]
    together = exact.scores(queries, rows)
    for i in range(64):
        np.testing.assert_array_equal(exact.scores(queries[i : i + 1], rows[i : i + 1])[0], together[i])
    np.testing.assert_array_equal(exact.scores(queries[5:6], rows[5:6, ::-1])[0, ::-1], together[5])
    assert (together[:, [0, 9, 17, 40, 60]] == together[:, :1]).all()
    for count in (1, 3, 64):
        everything = exact.scores_of_rows(queries[:count], np.arange(500))
        np.testing.assert_array_equal(np.take_along_axis(everything, rows[:count], axis=1), together[:count])


@given(data=st.data())
def test_any_split_into_segments_gives_the_same(tmp_path_factory, data):
    rows = data.draw(st.integers(1, 60), label="rows")
    dimension = data.draw(st.sampled_from([1, 3, 48, 100]), label="dimension")
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, rows), max_size=8), label="cuts")))
    wanted = np.array(data.draw(st.lists(st.integers(-1, rows - 1), min_size=1, max_size=20), label="wanted"))
    vectors, query = draw(rows, dimension, seed=rows).astype(np.float16), draw(1, dimension, seed=99)
    folder = tmp_path_factory.mktemp("split")
    whole, split = opened(folder / "a", vectors), opened(folder / "b", vectors, cuts)
    np.testing.assert_array_equal(whole.scores(query, wanted[None]), split.scores(query, wanted[None]))
    present = wanted[wanted >= 0]
    np.testing.assert_array_equal(split.take(present), vectors[present])
    np.testing.assert_array_equal(whole.scores_of_rows(query, present), split.scores_of_rows(query, present))


def test_nothing_asked_or_nothing_there(tmp_path):
    nothing = ExactVectors([], 4, np.float16, "cosine")
    assert nothing.rows == 0
    assert np.isneginf(nothing.scores(np.ones((2, 4), np.float32), np.full((2, 3), -1))).all()
    assert nothing.take(np.array([], dtype=np.int64)).shape == (0, 4)
    exact = opened(tmp_path, draw(3, 4).astype(np.float16))
    none = np.array([], dtype=np.int64)
    assert exact.scores(np.ones((2, 4), np.float32), np.empty((2, 0), np.int64)).shape == (2, 0)
    assert exact.scores(np.ones((0, 4), np.float32), np.empty((0, 5), np.int64)).shape == (0, 5)
    assert exact.scores_of_rows(np.ones((2, 4), np.float32), none).shape == (2, 0)
    assert exact.take(none).shape == (0, 4)


def test_rows_that_do_not_exist_are_errors(tmp_path):
    exact = opened(tmp_path, draw(30, 4).astype(np.float16), (10, 20))
    query = np.ones((1, 4), np.float32)
    for ask in (
        lambda row: exact.scores(query, np.array([[0, row]])),
        lambda row: exact.scores_of_rows(query, np.array([0, row])),
        lambda row: exact.take(np.array([0, row])),
    ):
        with pytest.raises(IndexError):
            ask(30)
        with pytest.raises(IndexError):
            ask(1 << 60)
    with pytest.raises(IndexError, match="-1 stands for none"):
        exact.take(np.array([-1]))
    with pytest.raises(IndexError, match="-1 stands for none"):
        exact.scores_of_rows(query, np.array([3, -1]))


def test_queries_may_be_float16_or_not_contiguous(tmp_path):
    exact = opened(tmp_path, draw(30, 8).astype(np.float16))
    queries = draw(3, 16, seed=1)[:, ::2].astype(np.float16)
    rows = np.arange(30).reshape(3, 10)
    plain = exact.scores(np.ascontiguousarray(queries, dtype=np.float32), rows)
    np.testing.assert_array_equal(exact.scores(queries, rows), plain)


def read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def drop(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm_scores(exact: ExactVectors, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Scores once all is in memory: where that is short, the kernel may take pages away at any moment."""
    for _ in range(20):
        scores = exact.scores(queries, rows)
        if not exact._cold:
            break
    assert not exact._cold
    return scores


@pytest.mark.parametrize("cuts", [(), (3_000, 3_001)], ids=["one segment", "three segments"])
def test_rows_that_are_not_in_memory_give_the_same_and_only_their_pages_are_read(tmp_path, cuts):
    vectors, queries = draw(8_000, 384).astype(np.float16), draw(3, 384, seed=1)
    exact = opened(tmp_path, vectors, cuts)
    rows = np.random.default_rng(2).integers(0, 8_000, (3, 60))
    rows[:, :10] = np.arange(2_995, 3_005)
    warm = warm_scores(exact, queries, rows)
    for _ in range(2):  # the first is taken by surprise, the second asks ahead
        exact._grid.base.madvise(mmap.MADV_DONTNEED)  # a page that is mapped cannot be dropped
        for file in tmp_path.iterdir():
            drop(file)
        before = read_bytes()
        np.testing.assert_array_equal(exact.scores(queries, rows), warm)
        if read_bytes() == before:
            pytest.skip("this file system does not drop pages or does not count reads")
        # At most two pages a row, a header or two, not the 6 MB of the whole.
        assert read_bytes() - before <= rows.size * 2 * mmap.PAGESIZE + 65_536
        assert exact._cold
    np.testing.assert_array_equal(warm_scores(exact, queries, rows), warm)


def test_asking_ahead_covers_every_page_once(tmp_path):
    asked: list[tuple[int, int]] = []

    class Memory:
        def madvise(self, _advice: int, start: int, length: int) -> None:
            asked.append((start // mmap.PAGESIZE, length // mmap.PAGESIZE))

    exact = opened(tmp_path, draw(500, 384).astype(np.float16))
    rows = np.array([499, 0, 1, 1, 6, 4, 200, *range(300, 480)])
    exact._prefetch(Memory(), rows)
    pages = [page for start, count in asked for page in range(start, start + count)]
    expected = {
        page
        for row in rows
        for page in ((128 + row * 768) // mmap.PAGESIZE, (128 + row * 768 + 767) // mmap.PAGESIZE)
    }
    assert pages == sorted(expected)
    assert len(asked) < 10


def test_concurrent_calls_and_a_close_in_between(tmp_path):
    vectors, queries = draw(2_000, 64).astype(np.float16), draw(8, 64, seed=1)
    exact = opened(tmp_path, vectors, (500, 900))
    rows = np.random.default_rng(2).integers(0, 2_000, (8, 40))
    expected = exact.scores(queries, rows)
    wrong: list[str] = []

    def ask() -> None:
        try:
            while True:
                if not np.array_equal(exact.scores(queries, rows), expected):
                    wrong.append("other scores")
                exact.take(rows[0])
        except UsageError:
            pass

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    exact.close()
    for thread in threads:
        thread.join()
    assert not wrong
    with pytest.raises(UsageError, match="closed"):
        exact.take(rows[0])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python >= 3.12
def test_a_child_process_scores_too(tmp_path):
    exact = opened(tmp_path, draw(200, 32).astype(np.float16), (70,))
    query, rows = draw(1, 32, seed=1), np.arange(200)[None]
    expected = exact.scores(query, rows)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(exact.scores(query, rows), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def maps_of(folder: Path) -> int:
    return sum(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_closing_leaves_no_file_and_no_map(tmp_path):
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    exact = opened(tmp_path, draw(200, 32).astype(np.float16), (70, 90))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files
    assert maps_of(tmp_path) == 3
    exact.scores(draw(1, 32), np.arange(200)[None])
    exact.close()
    assert maps_of(tmp_path) == 0


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (np.zeros((9, 4), np.float16), r"expected \(10, 4\) float16, got \(9, 4\) float16"),
        (np.zeros((10, 5), np.float16), r"got \(10, 5\) float16"),
        (np.zeros((10, 4), np.float32), r"got \(10, 4\) float32"),
        (np.zeros((4, 10), np.float16).T, "no .npy file of numbers in C order"),
    ],
    ids=["rows", "dimension", "dtype", "order"],
)
def test_a_file_that_is_something_else_is_refused(tmp_path, written, complaint):
    np.save(tmp_path / "vectors.npy", written)
    with pytest.raises(IntegrityError, match=complaint):
        ExactVectors([VectorFile(tmp_path / "vectors.npy", 10)], 4, np.float16, "cosine")


def test_a_missing_malformed_or_shortened_file_is_refused(tmp_path):
    file = VectorFile(tmp_path / "vectors.npy", 10)
    with pytest.raises(IntegrityError, match="cannot be read"):
        ExactVectors([file], 4, np.float16, "cosine")
    file.path.write_bytes(b"no array")
    with pytest.raises(IntegrityError, match="cannot be read"):
        ExactVectors([file], 4, np.float16, "cosine")
    np.save(file.path, np.array([{"an": "object"}]), allow_pickle=True)
    with pytest.raises(IntegrityError, match=r"no .npy file of numbers in C order"):
        ExactVectors([file], 4, np.float16, "cosine")
    np.save(file.path, np.zeros((10, 4), np.float16))
    file.path.write_bytes(file.path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="bytes of numbers instead of"):
        ExactVectors([file], 4, np.float16, "cosine")
