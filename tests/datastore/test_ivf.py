"""Inverted-file families against the exact scan."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore.errors import IntegrityError, UsageError
from datastore.index.dense import Candidates, Metric, Vectors, ivf_pq, ivf_rabitq
from datastore.index.dense.exact import ExactIndex

ROWS, DIMENSION = 4_000, 32
FAMILIES = {
    "pq-4": (ivf_pq, {"lists": 64}),
    "pq-8": (ivf_pq, {"lists": 64, "bits": 8}),
    "rabitq-1": (ivf_rabitq, {"lists": 64, "bits": 1}),
    "rabitq-3": (ivf_rabitq, {"lists": 64, "bits": 3}),
}


def clustered(metric: Metric, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, DIMENSION))
    vectors = centres[random.integers(40, size=rows)] + 0.7 * random.standard_normal((rows, DIMENSION))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric == "cosine":
        return (vectors / lengths).astype(np.float16)
    # Lengths that differ by a factor of two, away from the origin.
    return (vectors / lengths * random.uniform(1, 2, (rows, 1)) + 0.2).astype(np.float16)


def source(metric: Metric) -> Vectors:
    return Vectors(np.split(clustered(metric), [1_500]), metric, DIMENSION)


@pytest.fixture(scope="module", params=["cosine", "inner_product", "l2"])
def metric(request):
    return request.param


@pytest.fixture(scope="module", params=FAMILIES)
def built(request, metric, tmp_path_factory):
    """(family, metric, folder)."""
    family, parameters = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "indexes" / "index"
    folder.mkdir(parents=True)
    family.build(source(metric), folder, **parameters)
    return family, metric, folder


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("intact") / "indexes" / "index"
    folder.mkdir(parents=True)
    ivf_pq.build(source("cosine"), folder, lists=8)
    return folder


def queries_of(metric: Metric, count: int = 40) -> np.ndarray:
    return clustered(metric, count, seed=1).astype(np.float32)


def recall(found: Candidates, expected: Candidates) -> float:
    pairs = zip(found.ordinals, expected.ordinals, strict=True)
    return float(np.mean([len(set(a[a >= 0]) & set(b[b >= 0])) / max(1, (b >= 0).sum()) for a, b in pairs]))


def test_all_lists_hold_the_exact_ten_among_a_hundred_candidates(built):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)

    found = index.search(queries, 100, effort=64)

    assert recall(found, ExactIndex(source(metric)).search(queries, 10)) >= 0.97
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert index.efforts[0] == 1
    assert index.efforts[-1] == 64
    assert index.efforts[3:6] == (4, 6, 8)


def test_recall_grows_with_effort(built):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)
    expected = ExactIndex(source(metric)).search(queries, 10)

    shares = [recall(index.search(queries, 30, effort=effort), expected) for effort in (1, 8, 64)]

    assert (np.diff(shares) >= -0.02).all()  # more rows compete for the 30 places


@pytest.mark.parametrize("kind", ["half", "hundredth", "three rows", "far topic", "near topic"])
def test_a_mask_is_obeyed_and_its_best_rows_are_found(built, kind):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)
    closeness = clustered(metric).astype(np.float32) @ queries[0]
    mask = {
        "half": np.random.default_rng(2).random(ROWS) < 0.5,
        "hundredth": np.random.default_rng(2).random(ROWS) < 0.01,
        "three rows": np.isin(np.arange(ROWS), [5, 1_700, 3_999]),
        "far topic": closeness < np.quantile(closeness, 0.05),
        "near topic": closeness > np.quantile(closeness, 0.95),
    }[kind]

    found = index.search(queries, 100, mask)

    reachable = min(100, int(mask.sum()))
    assert (found.ordinals[:, :reachable] >= 0).all()
    assert (found.ordinals[:, reachable:] == -1).all()
    assert mask[found.ordinals[:, :reachable]].all()
    assert recall(found, ExactIndex(source(metric)).search(queries, 10, mask)) >= 0.93


def test_one_probe_gives_what_one_list_holds_and_all_probes_give_all(built):
    family, metric, folder = built
    index = family.open_index(folder)

    one = index.search(queries_of(metric), 900, effort=1)
    every = index.search(queries_of(metric), 900, effort=index.lists)

    assert (one.ordinals >= 0).any(axis=1).all()
    assert (one.ordinals[:, -1] == -1).all()
    assert (np.diff((one.ordinals < 0).astype(int), axis=1) >= 0).all()
    assert (every.ordinals >= 0).all()
    assert all(len(set(line)) == 900 for line in every.ordinals)


@pytest.mark.parametrize("lists", [1, 4, 30])
@pytest.mark.parametrize("name", FAMILIES)
def test_few_lists_of_vectors_of_very_different_lengths_are_all_searched(tmp_path, name, metric, lists):
    """Sums of positive vectors: the router's worst list for one of these queries is the worst in every code."""
    family, parameters = FAMILIES[name]
    random = np.random.default_rng(5)
    tokens = random.exponential(size=(300, DIMENSION))
    lengths = np.rint(10 ** random.uniform(1, 2, 600)).astype(int)
    vectors = np.stack([tokens[random.integers(300, size=length)].sum(axis=0) for length in lengths])
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = Vectors([vectors.astype(np.float16)], metric, DIMENSION)
    queries = vectors[:40].astype(np.float32)
    mask = random.random(len(vectors)) < 0.5
    family.build(parts, tmp_path, **parameters | {"lists": lists})
    index = family.open_index(tmp_path)

    _, numbers = index._router.choose(queries, lists, None)
    np.testing.assert_array_equal(np.sort(numbers, axis=1), np.tile(np.arange(lists), (40, 1)))
    if metric == "inner_product":
        expected = ExactIndex(parts)
        for allowed in (None, mask):
            assert recall(index.search(queries, 60, allowed), expected.search(queries, 10, allowed)) >= 0.9


@pytest.mark.parametrize("rows", [1, 40, 3_000])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_one_row_that_is_not_zero_is_found(tmp_path, name, metric, rows):
    family, parameters = FAMILIES[name]
    vectors = np.zeros((rows, DIMENSION), dtype=np.float16)
    vectors[rows // 2, 3] = 1
    family.build(Vectors([vectors], metric, DIMENSION), tmp_path, **parameters | {"lists": 2 * rows // 3 + 1})

    found = family.open_index(tmp_path).search(vectors[rows // 2 : rows // 2 + 1].astype(np.float32), 5)

    assert rows // 2 in found.ordinals[0]


def test_reopening_gives_the_same_answers_and_the_bytes_that_were_predicted(built):
    family, metric, folder = built
    parameters = next(p for f, p in FAMILIES.values() if f is family and _matches(folder, p))
    queries = queries_of(metric)

    first, second = family.open_index(folder), family.open_index(folder)

    for a, b in zip(first.search(queries, 20), second.search(queries, 20), strict=True):
        np.testing.assert_array_equal(a, b)
    predicted = family.footprint(ROWS, DIMENSION, **parameters)
    written = sum(path.stat().st_size for path in folder.iterdir())
    assert abs(predicted.file_bytes / written - 1) < 0.05
    assert abs(predicted.ram_bytes / first.ram_bytes - 1) < 0.05


def _matches(folder: Path, parameters: dict[str, int]) -> bool:
    return json.loads((folder / "ivf.json").read_text())["codec"]["bits"] == parameters.get("bits", 4)


def test_threads_get_the_answers_of_one_caller(built):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)
    alone = [index.search(query[None], 20).ordinals for query in queries]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: index.search(query[None], 20).ordinals, queries))

    np.testing.assert_array_equal(alone, together)


def test_a_forked_child_searches(built):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)
    expected = index.search(queries[:1], 20).ordinals

    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(index.search(queries[:1], 20).ordinals, expected) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_read_only_mask_is_kept_and_one_that_can_change_is_read_again(built):
    family, metric, folder = built
    index, queries = family.open_index(folder), queries_of(metric)
    mask = np.arange(ROWS) < 50

    index.search(queries, 20, mask)
    mask[:] = ~mask
    assert (index.search(queries, 20, mask).ordinals >= 50).all()

    mask.flags.writeable = False
    first = index.search(queries, 20, mask)
    np.testing.assert_array_equal(index.search(queries, 20, mask).ordinals, first.ordinals)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("length", [1e14, 1e5, 1e-8])
def test_long_and_short_vectors_are_found_as_well_as_others(tmp_path, name, metric, length):
    family, parameters = FAMILIES[name]
    recalls = []
    for factor in (np.float32(1), np.float32(length)):
        vectors = Vectors([clustered(metric).astype(np.float32) * factor], metric, DIMENSION)
        folder = tmp_path / str(factor)
        folder.mkdir()
        family.build(vectors, folder, **parameters)
        queries = queries_of(metric) * factor
        found = family.open_index(folder).search(queries, 30, effort=64)
        exact = ExactIndex(vectors).search(queries, 10)
        recalls.append(recall(found, exact))
        # Scores are of the vectors as they are.
        np.testing.assert_allclose(
            found.scores[:, 0], exact.scores[:, 0], atol=0.25 * np.abs(exact.scores).max()
        )

    assert recalls[1] >= recalls[0] - 0.02


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_vectors_too_short_to_square_make_an_index_that_opens(tmp_path, metric):
    vectors = Vectors([clustered(metric).astype(np.float32) * np.float32(1e-35)], metric, DIMENSION)
    ivf_pq.build(vectors, tmp_path, lists=16)

    found = ivf_pq.open_index(tmp_path).search(queries_of(metric), 10, effort=16)

    assert [len(set(line)) for line in found.ordinals.tolist()] == [10] * 40


@pytest.mark.parametrize(
    "name", ["ivf.json", "lists.bin", "centroids.npy", "router.npy", "codebooks.npy", "sizes.npy"]
)
@pytest.mark.parametrize("fault", ["gone", "half", "garbage"])
def test_a_damaged_file_is_an_integrity_error(tmp_path, intact, name, fault):
    damaged = tmp_path / "indexes" / "index"
    shutil.copytree(intact, damaged)
    content = (damaged / name).read_bytes()
    if fault == "gone":
        (damaged / name).unlink()
    else:
        (damaged / name).write_bytes(
            content[: len(content) // 2] if fault == "half" else b"\xff" * len(content)
        )

    with pytest.raises(IntegrityError, match="cannot be read"):
        ivf_pq.open_index(damaged)


@pytest.mark.parametrize(
    "header",
    [
        {"metric": "euclid", "codec": {"subquantizers": 16, "bits": 4}},
        {"metric": "cosine", "codec": {"subquantizers": 0, "bits": 4}},
        {"metric": "cosine", "codec": {"subquantizers": 7, "bits": 4}},
        {"metric": "cosine", "codec": {"subquantizers": 16, "bits": 5}},
        {"metric": "cosine", "codec": {"subquantizers": "16", "bits": 4}},
        {"metric": "cosine", "codec": {}},
        {"metric": "cosine", "codec": {"subquantizers": 16, "bits": 4}, "scale": 0},
        {"metric": "cosine", "codec": {"subquantizers": 16, "bits": 4}, "scale": float("nan")},
        [],
    ],
)
def test_a_header_that_cannot_be_is_an_integrity_error(tmp_path, intact, header):
    folder = tmp_path / "indexes" / "index"
    shutil.copytree(intact, folder)
    (folder / "ivf.json").write_text(json.dumps(header))

    with pytest.raises(IntegrityError):
        ivf_pq.open_index(folder)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 60), st.integers(1, 9), st.integers(1, 70), st.sampled_from(sorted(FAMILIES)), st.data()
)
def test_any_small_set_gives_every_match_once(tmp_path_factory, rows, dimension, candidates, name, data):
    family, parameters = FAMILIES[name]
    vectors = np.random.default_rng(rows).integers(-2, 3, (rows, dimension)).astype(np.float16)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    folder = tmp_path_factory.mktemp("small") / "indexes" / "index"
    folder.mkdir(parents=True)
    family.build(Vectors([vectors], "l2", dimension), folder, **parameters)

    found = family.open_index(folder).search(vectors[:2].astype(np.float32), candidates, mask)

    reachable = min(candidates, int(mask.sum()))
    for line, scores in zip(found.ordinals, found.scores, strict=True):
        assert len(set(line[:reachable])) == reachable
        assert mask[line[:reachable]].all()
        assert (line[reachable:] == -1).all()
        assert np.isneginf(scores[reachable:]).all()


def test_parameters_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="7 subquantizers do not divide 32"):
        ivf_pq.footprint(1_000, 32, subquantizers=7)
    with pytest.raises(UsageError, match="bits"):
        ivf_pq.footprint(1_000, 32, bits=5)
    with pytest.raises(UsageError, match="RaBitQ codes of 9 bits"):
        ivf_rabitq.footprint(1_000, 32, bits=9)


def test_real_vectors_reach_the_recall_of_the_lists(tmp_path, test_data):
    vectors = np.load(test_data / "vectors" / "passages.f16.npy", mmap_mode="r")[:10_000]
    queries = np.load(test_data / "vectors" / "queries.f16.npy")[:100].astype(np.float32)
    parts = Vectors([vectors], "cosine", 384)
    ivf_pq.build(parts, tmp_path, lists=128)

    found = ivf_pq.open_index(tmp_path).search(queries, 60, effort=128)

    assert recall(found, ExactIndex(parts).search(queries, 10)) >= 0.98


@pytest.mark.parametrize("name", FAMILIES)
def test_as_many_lists_as_different_vectors(tmp_path, name):
    """Nothing is left for the codes: what is in a list equals its centroid."""
    few = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    vectors = Vectors([np.repeat(few, 420, axis=0)], "l2", 64)

    family, parameters = FAMILIES[name]
    family.build(vectors, tmp_path, **parameters | {"lists": 5})

    found = family.open_index(tmp_path).search(few, 20, effort=5)

    assert np.isfinite(found.scores).all()
    assert (found.ordinals // 420 == np.arange(5)[:, None]).all()
