"""Filters against brute force, for every index family: all matching, min(k, matches) of them, recall as promised."""

from __future__ import annotations

import numpy as np
import pytest

from datastore import Datastore, IndexConfig

ROWS, DIMENSION, TOPICS, K = 6_000, 32, 12, 10

# Settings for this size; what a planner would choose is tested with the planner.
FAMILIES = {
    "exact": IndexConfig(family="exact"),
    "flat-turbovec": IndexConfig(family="flat", parameters={"bits": 4}),
    "flat-faiss": IndexConfig(family="flat", parameters={"bits": 4, "engine": "faiss"}),
    "ivf_pq": IndexConfig(family="ivf_pq", parameters={"lists": 64}),
    "ivf_rabitq": IndexConfig(family="ivf_rabitq", parameters={"lists": 64, "bits": 3}),
    "hnsw_sq8": IndexConfig(family="hnsw_sq8"),
}

CONDITIONS = {
    "random half": "draw < 0.5",
    "random hundredth": "draw < 0.01",
    "random two of ten thousand": "draw < 0.0004",
    "nothing": "draw < 0",
    "one topic": "topic = 3",
    "all but one topic": "topic <> 3",
    "one topic, a few of it": "topic = 3 AND draw < 0.05",
    "another source than the query's": "source = 'b'",
}


def clustered(rows: int, seed: int, centres: np.ndarray, topics: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((rows, DIMENSION))
    vectors = centres[topics] + 0.9 * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Made:
    """Vectors around topic centres, with a topic, a source that goes with it, and a random draw for each."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        centres = generator.standard_normal((TOPICS, DIMENSION))
        self.topics = generator.integers(TOPICS, size=ROWS)
        self.vectors = clustered(ROWS, 1, centres, self.topics)
        self.draws = generator.random(ROWS)
        # Queries are about the topics of source a: matches of source b lie far from them.
        self.queries = clustered(60, 2, centres, generator.integers(TOPICS // 2, size=60))
        self.calibration = clustered(200, 3, centres, generator.integers(TOPICS // 2, size=200))

    def metadata(self) -> list[dict]:
        return [
            {"topic": int(topic), "draw": float(draw), "source": "a" if topic < TOPICS // 2 else "b"}
            for topic, draw in zip(self.topics, self.draws, strict=True)
        ]

    def mask(self, name: str) -> np.ndarray:
        return {
            "random half": self.draws < 0.5,
            "random hundredth": self.draws < 0.01,
            "random two of ten thousand": self.draws < 0.0004,
            "nothing": self.draws < 0,
            "one topic": self.topics == 3,
            "all but one topic": self.topics != 3,
            "one topic, a few of it": (self.topics == 3) & (self.draws < 0.05),
            "another source than the query's": self.topics >= TOPICS // 2,
        }[name]


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


@pytest.fixture(scope="module", params=list(FAMILIES))
def store(request, made, tmp_path_factory):
    path = tmp_path_factory.mktemp("filtered") / "store"
    store = Datastore.create(
        path, dimension=DIMENSION, index=FAMILIES[request.param], calibration_queries=made.calibration
    )
    store.add(made.vectors, metadata=made.metadata())
    assert [index.family for index in store.manifest.indexes] == (
        [] if request.param == "exact" else [FAMILIES[request.param].family]
    )
    return store


def recall_of(store, made, hits, mask) -> float:
    stored = store.read_vectors(np.arange(ROWS)).astype(np.float64)
    scores = np.where(mask, made.queries.astype(np.float64) @ stored.T, -np.inf)
    wanted = min(K, int(mask.sum()))
    truth = np.argsort(-scores, axis=1, kind="stable")[:, :wanted]
    return float(
        np.mean([len(set(a) & set(b[:wanted])) / wanted for a, b in zip(truth, hits.rows, strict=True)])
    )


@pytest.mark.parametrize("condition", list(CONDITIONS))
@pytest.mark.parametrize("together", [True, False], ids=["batch", "one-by-one"])
def test_filters_keep_what_is_promised(store, made, condition, together):
    mask = made.mask(condition)
    where, queries = CONDITIONS[condition], made.queries
    found = (
        [store.search(queries, k=K, where=where)]
        if together
        else [store.search(query[None], k=K, where=where) for query in queries]
    )
    rows = np.concatenate([hits.rows for hits in found])

    present = rows >= 0
    assert mask[rows[present]].all()
    assert (present.sum(axis=1) == min(K, int(mask.sum()))).all()
    assert all(len(set(line[line >= 0])) == (line >= 0).sum() for line in rows)
    assert found[0].route
    if mask.any():

        class All:
            pass

        everything = All()
        everything.rows = rows
        assert recall_of(store, made, everything, mask) >= 0.95 - 0.02, found[0].route


def test_filters_and_deletes_together(made, tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=DIMENSION, index=FAMILIES["flat-faiss"])
    store.add(made.vectors, metadata=made.metadata())
    store.delete(where="topic = 5 OR draw > 0.95")
    mask = (made.topics != 5) & (made.draws <= 0.95) & (made.draws < 0.5)

    hits = store.search(made.queries, k=K, where="draw < 0.5")

    assert mask[hits.rows].all()
    assert recall_of(store, made, hits, mask) >= 0.93


def test_few_matches_are_scored_exactly_and_the_answer_says_so(store, made):
    if not store.manifest.indexes:
        pytest.skip("there is no index whose use could be avoided")

    hits = store.search(made.queries[:1], k=K, where="draw < 0.0004")

    assert hits.route.startswith("exact: ")
    assert "of 6,000 rows match" in hits.route
