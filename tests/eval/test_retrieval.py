from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from datastore import Datastore, Hits
from datastore.errors import UsageError
from eval import beir, retrieval
from eval.beir import Collection
from eval.files import read_records
from eval.metrics import METRICS
from retrievers import bm25, dense, rrf

TEXTS = ["red apples in autumn", "green pears in spring", "blue plums in summer", "yellow lemons in winter"]


def collection(queries: dict[str, str], qrels: dict[str, dict[str, int]]) -> Collection:
    return Collection("fruit", "test", Path("corpus.jsonl"), queries, qrels, 2)


@dataclass(frozen=True)
class Fixed:
    """A chain whose hits are the given rows for every query, best first; it counts how often it is asked."""

    rows: tuple[int, ...]
    asked: list[tuple[int, int]] = field(default_factory=list, compare=False)
    at_most: int = 1000

    def __str__(self) -> str:
        return "fixed"

    def on(self, store: Datastore) -> BoundFixed:
        return BoundFixed(self, store)


@dataclass(frozen=True)
class BoundFixed:
    chain: Fixed
    store: Datastore

    def retrieve(self, queries: Sequence[str], k: int, where: str | None = None) -> Hits:
        assert where is None
        self.chain.asked.append((len(queries), k))
        if k > self.chain.at_most:
            raise UsageError("this chain has at most that many hits")
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        found = self.chain.rows[:k]
        rows[:, : len(found)] = found
        scores = np.where(rows < 0, -np.inf, -np.arange(k)).astype(np.float32)
        return Hits(self.store.version, rows, scores, self.store, {"call": float(len(self.chain.asked))})


def test_the_report_has_the_hand_computed_values(make_store):
    store = make_store(TEXTS)
    asked = collection(
        {"exact": TEXTS[2], "two": "green pears", "other": "red apples"},
        {"exact": {"2": 1}, "two": {"1": 1, "3": 1}, "other": {"0": 0, "2": 1}},
    )
    chain = Fixed((1, 0, 2))  # no query finds document 3
    report = retrieval.evaluate(store, asked, [chain])
    values = {name: estimate.value for name, estimate in report.arms[0].metrics.items()}
    two_of = 1 / (1 + 1 / np.log2(3))
    assert list(values) == list(METRICS)
    assert values == pytest.approx(
        {
            "nDCG@10": (0.5 + two_of + 0.5) / 3,
            "Recall@5": (1 + 0.5 + 1) / 3,
            "Recall@10": (1 + 0.5 + 1) / 3,
            "Recall@100": (1 + 0.5 + 1) / 3,
            "MRR@10": (1 / 3 + 1 + 1 / 3) / 3,
            "AllGold@10": 2 / 3,
        }
    )


def test_the_json_has_exactly_the_keys_of_its_schema(make_store):
    store = make_store(TEXTS)
    asked = collection({"a": "red apples", "b": "blue plums"}, {"a": {"0": 1}, "b": {"2": 1, "gone": 1}})
    seen = []
    report = retrieval.evaluate(store, asked, [dense, rrf(dense, bm25)], seed=3, on_arm=seen.append)
    assert tuple(seen) == report.arms
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["schema"] == "compendia.eval.retrieval/1"
    assert list(data) == ["schema", "data", "store", "seed", "resamples", "arms", "warnings"]
    assert data["data"] == {
        "name": "fruit",
        "split": "test",
        "queries": 2,
        "unjudged_queries": 2,
        "documents": 4,
        "passages": 4,
        "missing_documents": 1,
    }
    assert data["warnings"] == ["relevant documents that are not in the store: 1; every arm misses them"]
    assert data["store"] == {
        "path": str(store.path),
        "version": 1,
        "contents": data["store"]["contents"],
        "encoder": "hashing",
    }
    assert (data["seed"], data["resamples"]) == (3, 10_000)
    first, second = data["arms"]
    assert [first["retriever"], second["retriever"]] == ["dense", "rrf(dense, bm25)"]
    assert list(first) == ["retriever", "metrics", "difference", "timings_ms", "seconds"]
    assert first["difference"] is None
    assert list(second["metrics"]) == list(second["difference"]) == list(METRICS)
    assert list(second["metrics"]["nDCG@10"]) == ["value", "low", "high"]
    assert list(second["difference"]["nDCG@10"]) == ["value", "low", "high", "p_value"]
    assert second["difference"]["Recall@5"] == {"value": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}
    assert first["timings_ms"].keys() >= {"encode", "exact"}


def test_equal_seeds_give_equal_reports(make_store):
    store = make_store(TEXTS)
    queries = {str(i): text for i, text in enumerate(TEXTS)}
    asked = collection(queries, {str(i): {str((i * i) % 4): 1} for i in range(4)})
    reports = [retrieval.evaluate(store, asked, [dense, bm25], seed=7) for _ in range(2)]
    assert reports[0].arms[1].metrics == reports[1].arms[1].metrics
    assert reports[0].arms[1].difference == reports[1].arms[1].difference


def test_a_document_ranks_where_its_best_passage_does(make_store):
    store = make_store(["p"] * 6, ids=["a", "b", "a", "c", "b", "a"])
    asked = collection({"q": "p"}, {"q": {"c": 1}})
    report = retrieval.evaluate(store, asked, [Fixed((4, 1, 0, 5, 3, 2))])
    assert report.arms[0].metrics["MRR@10"].value == pytest.approx(1 / 3)  # b, a, c
    assert (report.documents, report.passages) == (3, 6)


def test_it_asks_deeper_until_every_query_has_its_documents(make_store):
    # 30 passages of document a come first, then one of each other document.
    store = make_store(["p"] * 60, ids=["a"] * 30 + [f"d{i}" for i in range(30)])
    asked = collection({"q": "p", "r": "p"}, {"q": {"d8": 1}, "r": {"d29": 1}})
    chain = Fixed(tuple(range(60)))
    report = retrieval.evaluate(store, asked, [chain], depth=10)
    assert chain.asked == [(2, 10), (2, 20), (2, 40)]
    assert report.arms[0].timings_ms == {"call": 1.0}
    # a, d0 … d8 are the ten documents of either query.
    assert report.arms[0].metrics["Recall@10"].value == 0.5
    assert list(report.arms[0].metrics) == ["nDCG@10", "Recall@5", "Recall@10", "MRR@10", "AllGold@10"]


def test_it_stops_when_the_retriever_has_no_more(make_store):
    store = make_store(["p"] * 60, ids=["a"] * 30 + [f"d{i}" for i in range(30)])
    asked = collection({"q": "p"}, {"q": {"d8": 1}})
    few = Fixed((0, 1, 2))
    retrieval.evaluate(store, asked, [few], depth=10)
    assert few.asked == [(1, 10)]
    limited = Fixed(tuple(range(60)), at_most=25)
    report = retrieval.evaluate(store, asked, [limited], depth=10)
    assert limited.asked == [(1, 10), (1, 20), (1, 40)]
    assert report.arms[0].metrics["Recall@10"].value == 0.0
    small = make_store(["p"] * 3, ids=["a", "a", "d8"])
    every = Fixed((0, 1, 2))
    assert retrieval.evaluate(small, asked, [every]).arms[0].metrics["MRR@10"].value == 0.5
    assert every.asked == [(1, 3)]


def test_a_deeper_search_never_moves_what_came_first(make_store):
    @dataclass(frozen=True)
    class Fickle:
        """Reverses its order when it is asked for more than 10, as a fusion may."""

        def on(self, store):
            return self.Bound(store)

        @dataclass(frozen=True)
        class Bound:
            store: Datastore

            def retrieve(self, queries, k, where=None):
                assert where is None
                order = tuple(range(60)) if k <= 10 else tuple(reversed(range(60)))
                return Fixed(order).on(self.store).retrieve(queries, k)

    store = make_store(["p"] * 60, ids=["a"] * 30 + [f"d{i}" for i in range(30)])
    report = retrieval.evaluate(
        store, collection({"q": "p"}, {"q": {"a": 1, "d29": 1}}), [Fickle()], depth=10
    )
    assert report.arms[0].metrics["MRR@10"].value == 1.0  # a stays first
    assert report.arms[0].metrics["AllGold@10"].value == 1.0  # d29 comes from the deeper search


def test_what_cannot_be_evaluated_is_an_error(make_store):
    store = make_store(TEXTS)
    asked = collection({"a": "red apples"}, {"a": {"0": 1}})
    with pytest.raises(UsageError, match="at least one retriever"):
        retrieval.evaluate(store, asked, [])
    with pytest.raises(UsageError, match="a depth of 5 or more, got 1 and 4"):
        retrieval.evaluate(store, asked, [dense], depth=4)
    strangers = collection({"a": "red apples"}, {"a": {"x": 1, "0": 0}})
    with pytest.raises(UsageError, match=r"none of the 1 relevant documents of fruit, for example 'x'"):
        retrieval.evaluate(store, strangers, [dense])


def test_bm25_solves_limit_as_published(make_store, test_data):
    limit = beir.load(test_data / "limit")
    documents = [record for _, record in read_records(limit.corpus)]
    store = make_store([d["text"] for d in documents], ids=[d["_id"] for d in documents])
    report = retrieval.evaluate(store, limit, [bm25])
    assert (report.documents, report.queries, report.missing_documents) == (46, 501, 0)
    assert report.arms[0].metrics["Recall@10"].value == 1.0
    assert report.arms[0].metrics["nDCG@10"].value == pytest.approx(0.993, abs=0.005)
