"""What holds for every chain that is bound to a store."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest

from datastore import Datastore, Hits, IntegrityError, UsageError
from datastore.index import multivector as multivector_kind
from datastore.manifest import FeatureEntry, manifest_path
from retrievers import decontaminated, multivector, parse, rrf

HASHING = {"model": "hashing"}
FEATURES = (
    "bm25",
    {"kind": "sparse", "encoder": HASHING},
    {"kind": "multivector", "encoder": HASHING},
    {"kind": "vectors", "encoder": HASHING},
    {"kind": "graph"},
)
TEXTS = [f"a painter of ships number {number}, taught in harbour {number % 7}" for number in range(200)]
CHAINS = [
    "dense",
    "dense(vectors='vectors')",
    "bm25",
    "sparse",
    "multivector",
    "rrf(dense, bm25)",
    "router",
    "bm25 >> maxsim",
    "bm25 >> graph",
    "bm25 >> mmr",
]


@pytest.fixture
def store(make_store) -> Datastore:
    return make_store(TEXTS, segment_rows=80, features=FEATURES)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_bound_chain_is_pickled_as_what_it_is_bound_to(store, chain):
    bound = parse(chain).on(store)
    hits = bound.retrieve(["ships in harbour 3"], 5)
    data = pickle.dumps(bound)
    assert len(data) < 2_000  # nothing of the store is in it
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.retrieve(["ships in harbour 3"], 5).rows, hits.rows)


def test_a_model_that_is_loaded_is_no_part_of_it(store):
    bound = parse("sparse").on(store)
    bound.retrieve(["ships"], 1)
    bound._encoder = (bound._encoder[0], threading.Lock())  # as a model's, which cannot be pickled
    assert pickle.loads(pickle.dumps(bound)).retrieve(["ships"], 1)[0]


class _Refreshing:
    """A retriever after which the store has moved on, so many times."""

    def __init__(self, retriever, store: Datastore, times: int) -> None:
        self.retriever, self.store, self.times = retriever, store, times

    def on(self, store: Datastore):  # noqa: ARG002 (it is bound already)
        return self

    def retrieve(self, queries, k, where=None, explain=False) -> Hits:
        hits = self.retriever.retrieve(queries, k, where, explain)
        if self.times:
            self.times -= 1
            self.store.add(texts=["another ship"])
        return hits


def test_a_refresh_between_the_arms_of_a_fusion_does_not_mix_versions(store):
    moving = _Refreshing(parse("bm25").on(store), store, 1)
    hits = rrf(moving, parse("dense")).on(store).retrieve(["ship"], 3)
    assert hits.version == store.version
    restless = _Refreshing(parse("bm25").on(store), store, 100)
    with pytest.raises(UsageError, match="moves on during every search"):
        rrf(restless, parse("dense")).on(store).retrieve(["ship"], 3)


def test_a_refresh_between_an_answer_and_a_deeper_one_does_not_mix_versions(make_store):
    question = "the ship that sailed from the old harbour at dawn carried grain and oil to the north"
    store = make_store([question, f"{question} coast", "ship one", "ship two", "ship three"])
    still = decontaminated(parse("bm25")).on(store).retrieve([question], 2)
    moving = _Refreshing(parse("bm25").on(store), store, 1)

    hits = decontaminated(moving).on(store).retrieve([question], 2)

    assert moving.times == 0
    assert hits.version == store.version == still.version + 1
    assert [hit.text for hit in hits[0]][:1] == [hit.text for hit in still[0]][:1]


def test_terms_of_other_rules_are_not_compared(make_store):
    store = make_store(["tea", "coffee"])
    path = manifest_path(store.path, store.version)
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"]
    (feature,) = manifest["features"]
    old_id = FeatureEntry.model_validate(feature).id
    feature["fingerprint"]["stemmer"] = "snowball 0"
    new_id = FeatureEntry.model_validate(feature).id
    for segment in manifest["segments"]:
        segment["features"][new_id] = segment["features"].pop(old_id)
        folder = store.path / "features" / segment["id"]
        (folder / old_id).rename(folder / new_id)
    path.write_text(json.dumps(manifest))
    with Datastore.open(store.path) as opened, pytest.raises(IntegrityError, match="'snowball 0'"):
        parse("bm25").on(opened)


def test_an_edge_that_leads_out_of_the_graph_is_damage(make_store):
    store = make_store(["taught by Bea", "a weaver"], titles=["Ada", "Bea"], features=("bm25", "graph"))
    (folder,) = (store.path / "indexes").glob("graph-*")
    targets = np.load(folder / "target.npy")
    targets[:] = 1_000
    np.save(folder / "target.npy", targets)
    with Datastore.open(store.path) as opened, pytest.raises(IntegrityError, match="leads nowhere") as error:
        parse("bm25 >> graph").on(opened).retrieve(["taught"], 2)
    assert "compendia verify" in error.value.hint


@pytest.mark.parametrize("proxy", ["mean", "fde", "pooled"])
def test_a_proxy_over_vectors_of_another_dimension_is_damage(make_store, monkeypatch, proxy):
    monkeypatch.setattr(multivector_kind, "_LEAST_INDEXED_ROWS", 1)
    feature = {"kind": "multivector", "encoder": HASHING, "proxy": {"kind": proxy}}
    store = make_store(TEXTS, features=[feature])
    (folder,) = (store.path / "indexes").glob("multivector-*")
    if proxy == "pooled":
        tokens = np.load(folder / "tokens.npy")
        np.save(folder / "tokens.npy", tokens[:, :64].copy())
    elif proxy == "fde":
        np.save(folder / "centre.npy", np.zeros(64, dtype=np.float32))
    else:
        from datastore.index.dense import Plan, Vectors, build_index

        vectors = np.random.default_rng(0).standard_normal((len(TEXTS), 64)).astype(np.float16)
        for file in folder.iterdir():
            file.unlink()
        build_index(Plan("flat", {"bits": 8}), Vectors([vectors], "inner_product", 64), folder)
    with Datastore.open(store.path) as opened, pytest.raises(IntegrityError, match="compendia verify"):
        multivector(candidates=10).on(opened).retrieve(["ships"], 2)


def test_another_proxy_than_was_asked_for_is_never_searched(store):
    bound = multivector(proxy="pooled").on(store)
    bound.retrieve(["ships"], 1)
    store.drop_index("multivector")
    store.add_index({"kind": "multivector", "encoder": HASHING, "proxy": {"kind": "mean"}})
    for _ in range(2):
        with pytest.raises(UsageError, match="has the proxy mean, not pooled"):
            bound.retrieve(["ships"], 1)
