from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from datastore import NotFoundError, UsageError
from retrievers import bm25, dense, rrf
from retrievers.langchain import CompendiaRetriever

TEXTS = [
    f"passage {i}: {topic}"
    for i, topic in enumerate(["the tide", "bread", "the moon", "a volcano", "tide tables"])
]


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _store(self, make_store):
        self.store = make_store(TEXTS)

    @property
    def retriever_constructor(self):
        return CompendiaRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}

    @property
    def retriever_query_example(self):
        return "when is the next tide?"


def test_documents_carry_what_a_hit_has(make_store):
    store = make_store(
        ["the tide rises", "bread"],
        titles=["Tides", "Baking"],
        ids=["t", "b"],
        metadata=[{"year": 1998, "tags": ["sea"]}, {}],
    )

    (document,) = CompendiaRetriever(store=store, retriever="bm25", k=1).invoke("tide")

    (hit,) = bm25.on(store).retrieve(["tide"], 1)[0]
    assert document == Document(
        id="test/t#0",
        page_content="the tide rises",
        metadata={
            "year": 1998,
            "tags": ["sea"],
            "passage_id": "test/t#0",
            "document_id": "t",
            "source": "test",
            "title": "Tides",
            "score": hit.score,
        },
    )
    assert type(document.metadata["score"]) is float


def test_a_clashing_key_of_the_passage_is_kept_under_another_name(make_store):
    store = make_store(["the tide"], metadata=[{"score": 42, "source": "https://sea.example", "year": 1998}])

    (document,) = CompendiaRetriever(store=store).invoke("tide")

    assert document.metadata["metadata_score"] == 42
    assert document.metadata["metadata_source"] == "https://sea.example"
    assert document.metadata["source"] == "test"
    assert 0 < document.metadata["score"] <= 1.001
    assert document.metadata["year"] == 1998


@pytest.mark.parametrize("retriever", ["rrf(dense(candidates=50), bm25)", rrf(dense(candidates=50), bm25)])
def test_retriever_is_a_chain_or_its_text(make_store, retriever):
    store = make_store(TEXTS)

    adapter = CompendiaRetriever(store=store, retriever=retriever, k=3)

    expected = rrf(dense(candidates=50), bm25).on(store).retrieve(["tide tables"], 3)[0]
    assert [document.id for document in adapter.invoke("tide tables")] == [hit.passage_id for hit in expected]
    assert adapter.retriever == rrf(dense(candidates=50), bm25)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_is_opened(make_store, kind):
    store = make_store(TEXTS)

    adapter = CompendiaRetriever(store=kind(store.path))

    assert adapter.store.path == store.path
    assert adapter.invoke("bread", k=1)[0].page_content == "passage 1: bread"


def test_store_and_chain_are_bound_once(make_store, monkeypatch):
    bound = Counter()
    bind = type(bm25).on

    def counted(chain, store):
        bound[chain] += 1
        return bind(chain, store)

    monkeypatch.setattr(type(bm25), "on", counted)
    adapter = CompendiaRetriever(store=make_store(TEXTS), retriever="bm25")

    adapter.invoke("tide")
    adapter.batch(["bread", "moon", "volcano"])

    assert bound == {bm25: 1}
    with pytest.raises(ValidationError, match="frozen"):
        adapter.retriever = dense


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(make_store, k):
    store = make_store(TEXTS)

    with pytest.raises(ValueError, match="greater than 0"):
        CompendiaRetriever(store=store, k=k)
    with pytest.raises(ValueError, match="k must be at least 1"):
        CompendiaRetriever(store=store).invoke("tide", k=k)


async def test_k_is_known_to_ainvoke(make_store):
    adapter = CompendiaRetriever(store=make_store(TEXTS), retriever=bm25)

    assert await adapter.ainvoke("tide", k=2) == adapter.invoke("tide", k=2)
    assert len(await adapter.ainvoke("tide", k=1)) == 1
    with pytest.raises(ValueError, match="k must be at least 1"):
        await adapter.ainvoke("tide", k=0)


async def test_filters_are_conditions_or_values(make_store):
    store = make_store(TEXTS, metadata=[{"part": "one"}, {"part": "it's two"}, {}, {}, {"part": "one"}])
    adapter = CompendiaRetriever(store=store, retriever="rrf(dense, bm25)", filter={"part": "one"})

    def found(documents):
        return sorted(document.metadata["document_id"] for document in documents)

    assert found(adapter.invoke("tide")) == ["0", "4"]
    assert found(adapter.invoke("tide", filter={"part": "it's two"})) == ["1"]
    assert found(await adapter.ainvoke("tide", filter="part IS NOT NULL", k=9)) == ["0", "1", "4"]
    assert adapter.invoke("tide", filter="part = 'three'") == []
    assert len(adapter.invoke("tide", filter={}, k=9)) == 5
    assert adapter.invoke("tide", filter={"part": "one", "user": "new"}) == []
    assert found(adapter.invoke("tide", filter={"part": "it's two", "user": None})) == ["1"]
    with pytest.raises(UsageError, match="'user', which is unknown"):
        adapter.invoke("tide", filter="user = 'new'")


def test_pickling(make_store):
    adapter = CompendiaRetriever(store=make_store(TEXTS), retriever="weighted(dense, bm25)", k=2)

    again = pickle.loads(pickle.dumps(adapter))

    assert again.invoke("tide") == adapter.invoke("tide")


def test_threads_and_run_configuration(make_store):
    adapter = CompendiaRetriever(store=make_store(TEXTS)).configurable_fields(k=ConfigurableField(id="k"))
    queries = ["tide", "bread", "moon", "volcano"] * 5

    found = adapter.batch(queries, config={"configurable": {"k": 1}, "max_concurrency": 4, "tags": ["mine"]})

    assert [len(documents) for documents in found] == [1] * 20
    assert found[:4] * 5 == found
    assert [documents[0].metadata["document_id"] for documents in found[1:4]] == ["1", "2", "3"]


def test_what_cannot_be_opened_or_read_is_said_at_once(make_store, tmp_path):
    with pytest.raises(NotFoundError, match="there is no datastore at"):
        CompendiaRetriever(store=tmp_path / "nothing")
    with pytest.raises(ValueError, match='did you mean "dense"'):
        CompendiaRetriever(store=make_store(TEXTS), retriever="dens")


def test_a_typing_error_in_a_call_is_not_ignored(make_store):
    with pytest.raises(TypeError, match="top_k"):
        CompendiaRetriever(store=make_store(TEXTS)).invoke("tide", top_k=3)


def test_without_langchain_the_extra_is_named():
    script = (
        "import sys; sys.modules['langchain_core'] = None; import retrievers; import retrievers.langchain"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.endswith(
        "MissingPackageError: this needs the package langchain_core, which is not installed\n"
        '  pip install "compendia[langchain]"\n'
    )
