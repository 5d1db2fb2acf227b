from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.encoders import EncoderConfig, load_encoder
from datastore.errors import IntegrityError
from datastore.index.dense import Plan, Vectors, build_index, open_index
from datastore.index.dense.exact import ExactIndex
from datastore.recall.calibration import (
    FILE,
    Curve,
    Point,
    RecallRow,
    Setting,
    mean_interval,
    measure,
    read_curve,
    recall_at,
    recall_report,
    write_curve,
)
from datastore.recall.calibration_queries import perturbed_rows, sentence_queries, suitable_sentences


def point(k=10, candidates=10, recall=0.9, cost_us=1.0, effort=None, low=None):
    return Point(k, effort, candidates, recall, recall if low is None else low, cost_us)


AT_100 = point(k=100, candidates=200, recall=0.97, cost_us=50.0, effort=8)


def curve(*points):
    return Curve("given", 200, (*points, AT_100))


def unit(rng, rows, dimension=32):
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_cheapest_is_the_cheapest_point_that_reaches_the_target():
    measured = curve(
        point(effort=4, candidates=15, recall=0.90, cost_us=10),
        point(effort=16, candidates=15, recall=0.96, cost_us=30),
        point(effort=8, candidates=40, recall=0.95, cost_us=20),
        point(effort=64, candidates=40, recall=0.99, cost_us=90),
    )
    assert measured.cheapest(10, 0.95) == Setting(8, 40, 0.95, 20)
    assert measured.cheapest(10, 0.951) == Setting(16, 15, 0.96, 30)
    assert measured.cheapest(10, 0.5) == Setting(4, 15, 0.90, 10)
    assert measured.best(10) == Setting(64, 40, 0.99, 90)


def test_nothing_reaches_more_than_the_best_point():
    measured = curve(point(recall=0.98))
    assert measured.cheapest(10, 0.981) is None
    assert measured.cheapest(100, 0.98) is None
    assert measured.best(100) == Setting(8, 200, 0.97, 50.0)


def test_of_points_within_five_percent_of_the_least_cost_the_best_is_taken():
    measured = curve(
        point(candidates=15, recall=0.95, cost_us=100),
        point(candidates=20, recall=0.99, cost_us=105),
        point(candidates=30, recall=0.999, cost_us=105.1),
    )
    assert measured.cheapest(10, 0.95) == Setting(None, 20, 0.99, 105)
    # The window starts at what reaches the target, so here the third is within it.
    assert measured.cheapest(10, 0.98) == Setting(None, 30, 0.999, 105.1)


def test_equal_recall_goes_to_the_lower_cost():
    measured = curve(point(candidates=20, cost_us=102), point(candidates=15, cost_us=100))
    assert measured.cheapest(10, 0.9).candidates == 15
    assert measured.best(10).candidates == 15


def test_a_target_must_be_reached_by_one_standard_error():
    # The interval's half width is .0196, so the standard error is .01.
    measured = curve(point(recall=0.96, low=0.9404, candidates=15))
    assert measured.cheapest(10, 0.9499).candidates == 15
    assert measured.cheapest(10, 0.9501) is None


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, Setting(None, 30, 0.95, 7.0)),
        (10, Setting(None, 30, 0.95, 7.0)),
        (11, Setting(8, 200, 0.97, 50.0)),
        (100, Setting(8, 200, 0.97, 50.0)),
        (150, Setting(10, 300, 0.97, 75.0)),
        (1001, Setting(26, 2002, 0.97, 500.5)),
    ],
)
def test_which_curve_answers_for_k(k, expected):
    measured = curve(point(candidates=30, recall=0.95, cost_us=7.0))
    assert measured.cheapest(k, 0.9) == expected
    assert measured.best(k) == expected


def test_as_many_candidates_as_hits_at_least():
    few = Curve("rows", 5, (point(), point(k=100, candidates=60)))
    assert few.cheapest(80, 0.9).candidates == 80


def test_a_curve_needs_a_point_at_both_depths():
    with pytest.raises(ValueError, match="no point for k = 100"):
        Curve("given", 200, (point(),))


points = st.builds(
    lambda k, effort, candidates, recall, width, cost_us: Point(
        k, effort, candidates, recall, max(0.0, recall - width), cost_us
    ),
    st.sampled_from([10, 100]),
    st.none() | st.integers(1, 1024),
    st.integers(1, 3000),
    st.floats(0, 1),
    st.floats(0, 0.1),
    st.floats(0, 1e6),
)


@given(st.lists(points, max_size=30), st.integers(1, 400), st.floats(0, 1))
def test_cheapest_agrees_with_its_definition(measured, k, target):
    answer = curve(point(), *measured).cheapest(k, target)
    pool = [one for one in (point(), *measured, AT_100) if one.k == (10 if k <= 10 else 100)]
    reaching = [one for one in pool if one.safe_recall >= target]
    if answer is None:
        assert not reaching
        return
    scale = max(1, k / 100)
    least = min(one.cost_us for one in reaching)
    assert least * scale <= answer.cost_us <= least * scale * 1.0501
    assert answer.candidates >= k
    assert answer.recall >= target
    assert not [one for one in reaching if one.cost_us <= least * 1.05 and one.recall > answer.recall]


@given(st.lists(points, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_more_recall_never_costs_noticeably_less(measured, one, other):
    one, other = sorted((one, other))
    low, high = (curve(point(), *measured).cheapest(10, target) for target in (one, other))
    if high is not None:
        assert low is not None
        assert low.cost_us <= high.cost_us * 1.0501


@given(st.lists(points, max_size=20))
def test_what_is_written_is_read(tmp_path_factory, measured):
    folder = tmp_path_factory.mktemp("index")
    written = curve(point(), *measured)
    write_curve(folder, written)
    assert read_curve(folder) == written


def test_without_a_file_there_is_no_curve(tmp_path):
    assert read_curve(tmp_path) is None


def stored(**changes):
    return {"source": "given", "queries": 200, "points": [stored_point(), stored_point(k=100)]} | changes


def stored_point(**changes):
    return {"k": 10, "effort": 4, "candidates": 15, "recall": 0.9, "low": 0.8, "cost_us": 1.0} | changes


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[1, 2]", "is not a recall curve: Input should be an object"),
        (json.dumps(stored(source="guess")).encode(), "source"),
        (json.dumps(stored(queries=0)).encode(), "queries"),
        (json.dumps(stored(points=[])).encode(), "no point for k = 10"),
        (json.dumps(stored(points=[stored_point()])).encode(), "no point for k = 100"),
        (json.dumps(stored(extra=1)).encode(), "extra"),
        (json.dumps(stored(points=[stored_point(extra=1)])).encode(), "extra"),
        (json.dumps(stored(points=[stored_point(k=11)])).encode(), "points: 0: k"),
        (json.dumps(stored(points=[stored_point(effort=0)])).encode(), "effort"),
        (json.dumps(stored(points=[stored_point(candidates=2**31)])).encode(), "candidates"),
        (json.dumps(stored(points=[stored_point(recall=1.5)])).encode(), "recall"),
        (json.dumps(stored(points=[stored_point(recall=float("nan"))])).encode(), "recall"),
        (json.dumps(stored(points=[stored_point(cost_us=float("inf"))])).encode(), "cost_us"),
        (json.dumps(stored(points=[stored_point(low=-1)])).encode(), "low"),
        (json.dumps(stored())[:-3].encode(), "Invalid JSON"),
        (b" " * (1 << 20) + json.dumps(stored()).encode(), "too long"),
        (b"[" * 500_000, "JSON"),
    ],
)
def test_a_broken_file_is_an_integrity_error(tmp_path, content, complaint):
    folder = tmp_path / "indexes" / "dense"
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(content)
    with pytest.raises(IntegrityError, match=complaint) as caught:
        read_curve(folder)
    assert caught.value.hint == f"compendia verify {tmp_path}"


def test_the_interval_of_a_mean_by_hand():
    # Two neighbours of three queries: recalls 1, 1/2, 1/2. Mean 2/3, variance 1/12 / 3 = 1/36, so the effective size is
    # (2/9) / (1/36) = 8, more than the 6 trials there are: 6 it is. z² = 3.8416.
    mean, low, high = mean_interval(np.array([1, 0.5, 0.5]), 2)
    centre = (2 / 3 + 3.8416 / 12) / (1 + 3.8416 / 6)
    half = (3.8416 * (2 / 9) / 6 + (3.8416 / 12) ** 2) ** 0.5 / (1 + 3.8416 / 6)
    assert mean == pytest.approx(2 / 3)
    assert (low, high) == pytest.approx((centre - half, centre + half))


def test_queries_that_miss_all_or_nothing_count_once_each():
    # (1/2 · 1/2) / (5/18 / 10) = 9 effective trials of 10 queries, not 100.
    narrow = mean_interval(np.full(10, 0.5), 10)
    wide = mean_interval(np.array([0.0, 1.0] * 5), 10)
    assert wide.high - wide.low == pytest.approx(0.547, abs=0.001)
    assert narrow.high - narrow.low == pytest.approx(0.192, abs=0.001)


def test_nothing_missed_is_no_proof_that_nothing_will_be():
    mean, low, high = mean_interval(np.ones(200), 10)
    assert (mean, high) == (1.0, 1.0)
    assert low == pytest.approx(2000 / 2003.8416)


def test_recall_at_counts_true_rows_among_found_ones():
    truth = np.array([[3, 1, 2], [5, 0, -1], [-1, -1, -1]])
    found = np.array([[9, 2, 3, 1], [0, -1, -1, 7], [1, 2, 3, 4]])
    assert recall_at(truth, found, 3).tolist() == [1, 0.5, 1]
    assert recall_at(truth, found[:, :2], 2).tolist() == [0, 0.5, 1]
    assert recall_at(truth, np.full((3, 4), -1), 3).tolist() == [0, 0, 1]


class Steps:
    """An exact index that loses every row beyond the first `effort` · 10 ordinals."""

    ram_bytes = 0

    def __init__(self, vectors, efforts):
        self.vectors = vectors
        self.efforts = efforts
        self.asked = []

    def search(self, queries, candidates, effort=None):
        self.asked.append((effort, candidates))
        visible = np.arange(self.vectors.rows) < (effort or 10**9) * 10
        return ExactIndex(self.vectors).search(queries, candidates, visible)


def test_measure_on_an_index_whose_recall_is_known():
    # Query i is row 0 of a line of points: truth is 0, 1, 2, … for all, so effort e finds 10 e of the first k.
    line = np.linspace(1, 0.1, 200, dtype=np.float32)[:, None]
    vectors = Vectors([line], "inner_product", 1)
    index = Steps(vectors, (1, 5, 10, 20))
    plan = Plan("ivf_pq", {"lists": 20, "subquantizers": 2, "bits": 4})
    measured = measure(index, vectors, np.ones((3, 1), dtype=np.float32), "given", plan)
    assert (measured.source, measured.queries) == ("given", 3)
    reached = {(one.k, one.effort): one.recall for one in measured.points}
    assert reached == {
        (10, 1): 1.0,
        (100, 1): 0.1,
        (10, 5): 1.0,
        (100, 5): 0.5,
        (10, 10): 1.0,
        (100, 10): 1.0,
    }
    assert all(one.low < one.recall for one in measured.points)
    # All is found at an effort of 10, so 20 is not tried; more candidates are not where they bring nothing.
    assert index.asked == [(1, 10), (1, 100), (1, 150), (5, 10), (5, 100), (5, 150), (10, 10), (10, 100)]


def test_what_a_query_was_made_from_counts_neither_as_true_nor_as_found():
    line = np.linspace(1, 0.1, 200, dtype=np.float32)[:, None]
    vectors = Vectors([line], "inner_product", 1)
    queries = np.ones((3, 1), dtype=np.float32)
    index = Steps(vectors, (1, 20))
    plan = Plan("ivf_pq", {"lists": 20, "subquantizers": 2, "bits": 4})
    measured = measure(index, vectors, queries, "sentences", plan)
    # Of 10 visible rows one is the query's own: 9 of the other ten are found, among 10 candidates beside it.
    assert [one.recall for one in measured.points if one.effort == 1] == [0.9, 0.9, 0.09, 0.09]
    assert [one.recall for one in measured.points if one.effort == 20] == [1.0, 1.0]
    assert index.asked[0] == (1, 11)


def test_a_store_smaller_than_the_depth_is_measured_with_what_it_has(tmp_path):
    vectors = Vectors([unit(np.random.default_rng(0), 40)], "cosine", 32)
    build_index(Plan("flat", {"bits": 8, "engine": "faiss"}), vectors, tmp_path)
    index = open_index("flat", tmp_path)
    measured = measure(index, vectors, vectors.take(np.arange(9)), "rows", Plan("flat", {"bits": 8}))
    assert measured.best(10).recall == 1.0
    assert measured.best(100) == Setting(None, 100, 1.0, measured.best(100).cost_us)


@pytest.mark.parametrize("source", ["given", "sentences", "rows"])
def test_measuring_twice_gives_equal_bytes(tmp_path, source):
    rng = np.random.default_rng(5)
    vectors = Vectors([unit(rng, 1500).astype(np.float16), unit(rng, 700).astype(np.float16)], "cosine", 32)
    plan = Plan("flat", {"bits": 4, "engine": "faiss"})
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        build_index(plan, vectors, folder)
        queries = perturbed_rows(vectors, 50, seed=3)
        write_curve(folder, measure(open_index("flat", folder), vectors, queries, source, plan))
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()


def test_recall_of_a_real_index_is_what_searching_it_gives(tmp_path):
    rng = np.random.default_rng(1)
    vectors = Vectors([unit(rng, 3000)], "cosine", 32)
    queries = unit(rng, 100)
    plan = Plan("flat", {"bits": 2, "engine": "faiss"})
    build_index(plan, vectors, tmp_path)
    index = open_index("flat", tmp_path)
    measured = measure(index, vectors, queries, "given", plan)
    truth = ExactIndex(vectors).search(queries, 100).ordinals
    for one in measured.points:
        found = index.search(queries, one.candidates).ordinals
        shares = [
            len(set(a[: one.k]) & set(b)) / one.k for a, b in zip(truth.tolist(), found.tolist(), strict=True)
        ]
        assert one.recall == pytest.approx(np.mean(shares), abs=1e-6)
    setting = measured.cheapest(10, 0.95)
    assert setting is not None
    assert setting.recall >= 0.95


def test_noise_moves_a_row_by_the_distance_to_its_tenth_neighbour():
    # Points of a line, one apart: a 10th neighbour is 5 or 6 away, at the ends up to 10.
    line = np.zeros((2000, 16), dtype=np.float32)
    line[:, 0] = np.arange(2000)
    queries = perturbed_rows(Vectors([line], "l2", 16), 100, seed=0)
    moved = np.sqrt(((queries[:, None] - line[None]) ** 2).sum(axis=2)).min(axis=1)
    assert queries.shape == (100, 16)
    assert queries.dtype == np.float32
    assert np.all(moved <= 5.001)
    assert np.median(moved) > 4


def test_perturbed_rows_of_cosine_have_length_one_and_depend_on_the_seed():
    vectors = Vectors([unit(np.random.default_rng(2), 500)], "cosine", 32)
    one, again, other = (perturbed_rows(vectors, 20, seed) for seed in (1, 1, 2))
    assert np.linalg.norm(one, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert perturbed_rows(vectors, 600, seed=0).shape == (500, 32)


def test_suitable_sentences_have_4_to_40_words():
    long = " ".join(["word"] * 41)
    assert suitable_sentences(f"Too short. This one has five words! {long}. And is this one fine?") == [
        "This one has five words!",
        "And is this one fine?",
    ]


class Texts(list):
    """Passages that remember which were read."""

    def __init__(self, texts):
        super().__init__(texts)
        self.read = []

    def __getitem__(self, number):
        self.read.append(number)
        return super().__getitem__(number)


def test_sentence_queries_are_encoded_sentences_of_the_drawn_passages():
    encoder = load_encoder(EncoderConfig(model="hashing"))
    texts = Texts(
        f"Number {i} is the first sentence. Number {i} has another sentence too." for i in range(500)
    )
    queries = sentence_queries(texts, encoder, 20, seed=4)
    assert len(set(texts.read)) == len(texts.read) == 20
    for number, query in zip(texts.read, queries, strict=True):
        sentences = encoder.encode_queries(suitable_sentences(list.__getitem__(texts, number)))
        assert np.abs(sentences - query).max(axis=1).min() == 0
    assert np.array_equal(queries, sentence_queries(texts, encoder, 20, seed=4))
    assert sentence_queries(texts[:7], encoder, 20, seed=4).shape == (7, 256)


def test_a_passage_without_a_sentence_gives_its_beginning():
    encoder = load_encoder(EncoderConfig(model="hashing"))
    text = "abc " * 100
    assert np.array_equal(sentence_queries([text], encoder, 1, seed=0), encoder.encode_queries([text[:200]]))


def test_recall_report_by_hand():
    truth = np.array([np.arange(100), np.arange(100)])

    def search(queries, k, target):
        found = truth[:, :k].copy()
        found[
            0, : round(k * (1 - target) * 2)
        ] = -1  # the first query misses twice the share allowed, the other none
        return found

    def exact(queries, k):
        return truth[:, :k]

    report = recall_report(search, exact, np.zeros((2, 4), dtype=np.float32), [0.9, 0.5])
    assert [(row.k, row.target, row.recall) for row in report] == [
        (10, 0.9, 0.9),
        (10, 0.5, 0.5),
        (100, 0.9, 0.9),
        (100, 0.5, 0.5),
    ]
    assert all(row.low < row.recall < row.high for row in report)
    assert [row.shortfall for row in report] == [0, 0, 0, 0]


def test_recall_report_names_the_shortfall():
    truth = np.arange(200).reshape(2, 100)
    report = recall_report(
        lambda _queries, k, _target: np.where(np.arange(k) < k / 2, truth[:, :k], -1),
        lambda _queries, k: truth[:, :k],
        np.zeros((2, 4), dtype=np.float32),
        [0.8],
    )
    interval = mean_interval(np.array([0.5, 0.5]), 10)
    assert report[0] == RecallRow(10, 0.8, 0.5, interval.low, interval.high, pytest.approx(0.3))
    assert report[1].k == 100


@pytest.mark.parametrize("bits", [2, 4])
def test_other_queries_of_the_distribution_get_the_recall_that_was_asked_for(test_data, tmp_path, bits):
    passages = np.load(test_data / "vectors" / "passages.f16.npy", mmap_mode="r", allow_pickle=False)
    queries = np.load(test_data / "vectors" / "queries.f16.npy", allow_pickle=False).astype(np.float32)
    vectors = Vectors([passages], "cosine", passages.shape[1])
    plan = Plan("flat", {"bits": bits, "engine": "faiss"})
    build_index(plan, vectors, tmp_path)
    index = open_index("flat", tmp_path)
    measured = measure(index, vectors, queries[:200], "given", plan)

    def search(asked, k, target):
        setting = measured.cheapest(k, target)
        return index.search(asked, setting.candidates, effort=setting.effort).ordinals

    def exact(asked, k):
        return ExactIndex(vectors).search(asked, k).ordinals

    for row in recall_report(search, exact, queries[200:], [0.9, 0.98]):
        assert row.low >= row.target - 0.01
