from __future__ import annotations

import asyncio
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.runnables import ConfigurableField
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from datastore import Datastore, NotFoundError, UsageError
from pipelines import build, make_recipe
from retrievers.langchain import CompendiaRetriever, CompendiaVectorStore
from retrievers.langchain.documents import from_hit, to_record
from retrievers.langchain.filters import where_of

FAKE = DeterministicFakeEmbedding(size=6)


class Angles(Embeddings):
    """The vector of a text is its number of degrees on a circle; so one can tell each cosine."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def embed_documents(self, texts):
        self.threads.append(threading.current_thread().name)
        return [self._vector(text) for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]

    def _vector(self, text):
        angle = math.radians(float(text))
        return [math.cos(angle), math.sin(angle)]


class Native(Angles):
    """As a client with an asynchronous API: the synchronous one is not to be called."""

    def embed_documents(self, _):
        raise AssertionError("blocks")

    async def aembed_documents(self, texts):
        await asyncio.sleep(0)
        return [self._vector(text) for text in texts]

    async def aembed_query(self, text):
        return (await self.aembed_documents([text]))[0]


@pytest.fixture
def angles(tmp_path):
    return CompendiaVectorStore(tmp_path / "store", Angles())


def contents(documents):
    return [document.page_content for document in documents]


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        return CompendiaVectorStore(tmp_path / "store", self.get_embeddings())


class TestStandardOfAStoreThatIsThere(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        return CompendiaVectorStore(Datastore.create(tmp_path / "store", dimension=6), self.get_embeddings())


class TestStandardOfItsOwnEncoder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        return CompendiaVectorStore(Datastore.create(tmp_path / "store", encoder="hashing"))


def test_the_first_documents_make_the_store(tmp_path):
    path = tmp_path / "store"
    vectorstore = CompendiaVectorStore(path, FAKE)

    assert vectorstore.store is None
    assert not path.exists()
    assert vectorstore.add_texts([]) == []
    assert not path.exists()
    vectorstore.add_texts(["a", "b"])

    assert len(vectorstore.store) == 2
    assert (vectorstore.store.manifest.dimension, vectorstore.store.manifest.metric) == (6, "cosine")
    assert contents(CompendiaVectorStore(str(path), FAKE).similarity_search("b", k=1)) == ["b"]


def test_a_store_that_another_made_meanwhile_is_found(tmp_path):
    early = CompendiaVectorStore(tmp_path / "store", FAKE)
    CompendiaVectorStore(tmp_path / "store", FAKE).add_texts(["a"], ids=["1"])

    assert contents(early.get_by_ids(["1"])) == ["a"]
    early.add_texts(["b"])
    assert len(early.store) == 2


async def test_nothing_is_in_a_store_that_is_not_there(angles):
    assert angles.similarity_search("0") == []
    assert angles.similarity_search_with_score("0", k=100) == []
    assert angles.similarity_search_by_vector([1, 0]) == []
    assert angles.max_marginal_relevance_search("0") == []
    assert angles.similarity_search_with_relevance_scores("0") == []
    assert await angles.asimilarity_search("0", filter={"year": 2020}) == []
    assert angles.get_by_ids(["1"]) == []
    assert angles.delete() is True
    with pytest.raises(ValueError, match="k must be at least 1"):
        angles.similarity_search("0", k=0)


def test_store_and_embedding_must_fit(tmp_path):
    with pytest.raises(NotFoundError, match="there is no datastore at"):
        CompendiaVectorStore(tmp_path / "nothing")
    with pytest.raises(UsageError, match="has no encoder"):
        CompendiaVectorStore(Datastore.create(tmp_path / "vectors", dimension=6))
    Datastore.create(tmp_path / "texts", encoder="hashing")
    with pytest.raises(UsageError, match="has an encoder of its own"):
        CompendiaVectorStore(tmp_path / "texts", FAKE)
    other = CompendiaVectorStore(tmp_path / "vectors", DeterministicFakeEmbedding(size=7))
    with pytest.raises(UsageError, match="7"):
        other.add_texts(["a"])
    with pytest.raises(UsageError, match="7"):
        other.similarity_search("a")


def test_scores_are_cosines_best_first(angles):
    angles.add_texts(["60", "0", "180"])

    found = angles.similarity_search_with_score("0", k=10)

    assert contents(document for document, _ in found) == ["0", "60", "180"]
    assert [score for _, score in found] == pytest.approx([1, 0.5, -1], abs=1e-3)
    assert contents(angles.similarity_search_by_vector([0.1, 5], k=2)) == ["60", "0"]


def test_relevance_is_from_0_to_1(angles):
    angles.add_texts(["60", "0", "180"])

    found = angles.similarity_search_with_relevance_scores("0")

    assert [score for _, score in found] == pytest.approx([1, 0.5, 0], abs=1e-3)
    assert all(0 <= score <= 1 for _, score in found)


@pytest.mark.parametrize(
    ("metric", "relevances"), [("l2", [1, 0.5, 1 / 3]), ("inner_product", [0.7310586, 0.5, 0.26894142])]
)
def test_relevance_under_other_metrics(tmp_path, metric, relevances):
    # Squared distances 0, 1 and 4, or products 1, 0 and -1; the vectors are one another's only under their own metric.
    rows = {"l2": [[1, 0], [1, 1], [3, 0]], "inner_product": [[1, 0], [0, 1], [-1, 0]]}[metric]
    store = Datastore.create(tmp_path / "store", dimension=2, metric=metric)
    store.add(np.array(rows, dtype=np.float32), texts=["a", "b", "c"])

    found = CompendiaVectorStore(store, Angles()).similarity_search_with_relevance_scores("0")

    assert [score for _, score in found] == pytest.approx(relevances)


def test_marginal_relevance_by_hand(angles):
    # From 0: cosines .98, .97, .87. After "-10", the next 12 scores .5 * .978 - .5 * .927, the 30 .5 * .866 - .5 * .766.
    angles.add_texts(["12", "-10", "30", "90"])

    assert contents(angles.max_marginal_relevance_search("0", k=2, fetch_k=3)) == ["-10", "30"]
    assert contents(angles.max_marginal_relevance_search("0", k=2, fetch_k=3, lambda_mult=1)) == ["-10", "12"]
    assert contents(angles.max_marginal_relevance_search("0", k=2, fetch_k=2)) == ["-10", "12"]
    assert contents(angles.max_marginal_relevance_search("0", k=2, lambda_mult=0)) == ["-10", "90"]
    assert contents(angles.max_marginal_relevance_search_by_vector([1, 0], k=2, fetch_k=3)) == ["-10", "30"]
    # Never fewer than were asked for.
    assert len(angles.max_marginal_relevance_search("0", k=4, fetch_k=1)) == 4
    assert len(angles.max_marginal_relevance_search("0", k=9)) == 4
    with pytest.raises(ValueError, match="lambda_mult must be from 0 to 1"):
        angles.max_marginal_relevance_search("0", lambda_mult=1.5)


def test_marginal_relevance_by_distance(tmp_path):
    store = Datastore.create(tmp_path / "store", dimension=2, metric="l2")
    store.add(np.array([[1, 0.1], [1, -0.2], [2, 0]]), texts=["near", "beside", "far"])
    vectorstore = CompendiaVectorStore(store, Angles())

    # Negative squared distances from (1, 0): -.01, -.04, -1; from "near": beside -.09, far -1.01.
    assert contents(vectorstore.max_marginal_relevance_search("0", k=2, lambda_mult=1)) == ["near", "beside"]
    assert contents(vectorstore.max_marginal_relevance_search("0", k=2, lambda_mult=0.4)) == ["near", "far"]


@pytest.mark.parametrize("lambda_mult", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_marginal_relevance_is_langchains(tmp_path, lambda_mult):
    texts = [f"text {number}" for number in range(60)]
    ours = CompendiaVectorStore(
        Datastore.create(tmp_path / "store", dimension=6, vectors="float32"), embedding=FAKE
    )
    theirs = InMemoryVectorStore(FAKE)
    for vectorstore in (ours, theirs):
        vectorstore.add_texts(texts)

    for query in ("one", "two", "three"):
        options = {"k": 10, "fetch_k": 30, "lambda_mult": lambda_mult}
        expected = theirs.max_marginal_relevance_search(query, **options)
        assert contents(ours.max_marginal_relevance_search(query, **options)) == contents(expected)


async def test_asynchronous_calls_give_the_same(angles):
    ids = await angles.aadd_texts(["60", "0", "-30", "180"], [{"n": n} for n in range(4)], ids=[*"abcd"])

    assert ids == [*"abcd"]
    for name, arguments in {
        "similarity_search": ("0",),
        "similarity_search_with_score": ("0", 2),
        "similarity_search_by_vector": ([1, 0],),
        "similarity_search_with_relevance_scores": ("0",),
        "max_marginal_relevance_search": ("0",),
        "max_marginal_relevance_search_by_vector": ([1, 0],),
    }.items():
        given = {"k": 3} if len(arguments) == 1 else {}
        expected = getattr(angles, name)(*arguments, filter="n < 3", **given)
        assert await getattr(angles, f"a{name}")(*arguments, filter="n < 3", **given) == expected
        assert len(expected) == (given or {"k": 2})["k"]
    assert await angles.aget_by_ids(["d", "a"]) == angles.get_by_ids(["d", "a"])


async def test_the_event_loop_goes_on(tmp_path, monkeypatch):
    embedding = Angles()
    loop_thread = threading.current_thread().name
    searched = []
    search = Datastore.search

    def recorded(store, *arguments, **options):
        searched.append(threading.current_thread().name)
        return search(store, *arguments, **options)

    monkeypatch.setattr(Datastore, "search", recorded)
    vectorstore = await CompendiaVectorStore.afrom_texts(["0", "90"], embedding, store=tmp_path / "store")
    await vectorstore.asimilarity_search("0")
    await vectorstore.amax_marginal_relevance_search("0")
    await vectorstore.asimilarity_search_with_relevance_scores("0", score_threshold=0.5)
    await vectorstore.as_retriever().ainvoke("0")

    assert len(searched) == 4
    assert loop_thread not in {*searched, *embedding.threads}


async def test_an_asynchronous_embedding_is_used_as_such(tmp_path):
    vectorstore = await CompendiaVectorStore.afrom_documents(
        [Document("0", id="a"), Document("90")], Native(), store=tmp_path / "store"
    )

    assert contents(await vectorstore.asimilarity_search("10")) == ["0", "90"]
    assert contents(await vectorstore.amax_marginal_relevance_search("80", k=1)) == ["90"]
    assert contents(await vectorstore.aget_by_ids(["a"])) == ["0"]


def test_from_texts_and_documents(tmp_path):
    ours = CompendiaVectorStore.from_texts(
        ["a", "b"], FAKE, [{"n": 1}, {"n": 2}], ids=["1", "2"], store=tmp_path / "s"
    )
    again = CompendiaVectorStore.from_documents(
        [Document("c", id="1", metadata={"n": 3}), Document("d")], FAKE, store=tmp_path / "s"
    )

    assert ours.get_by_ids(["2", "1"]) == [
        Document("b", id="2", metadata={"n": 2}),
        Document("a", id="1", metadata={"n": 1}),
    ]
    assert again.get_by_ids(["1"]) == [Document("c", id="1", metadata={"n": 3})]
    assert len(again.store) == 3
    assert again.embeddings is FAKE


def test_the_stores_encoder_embeds(make_store):
    store = make_store(
        ["the tide rises", "bread and butter"],
        titles=["Tides", ""],
        ids=["t", "b"],
        metadata=[{"year": 1998}, {}],
    )
    vectorstore = CompendiaVectorStore.from_texts(["a volcano"], store=store, ids=["v"])

    assert vectorstore.embeddings is None
    assert vectorstore.similarity_search("tide", k=1) == [
        Document(
            "the tide rises",
            id="test/t#0",
            metadata={"document_id": "t", "source": "test", "title": "Tides", "year": 1998},
        )
    ]
    assert vectorstore.similarity_search("volcano", k=1) == [Document("a volcano", id="v")]
    assert contents(vectorstore.max_marginal_relevance_search("the tide", k=3))[0] == "the tide rises"
    assert contents(vectorstore.similarity_search("bread", filter={"source": "test"}, k=9)) == [
        "bread and butter",
        "the tide rises",
    ]


def test_ids_are_kept_made_and_replaced(angles):
    ids = angles.add_documents([Document("0", id="a"), Document("90"), Document("45", id="a")])

    assert [ids[0], ids[2]] == ["a", "a"]
    assert len({*ids}) == 2
    # The last of a call counts, as if each came in a call of its own.
    assert contents(angles.get_by_ids(["missing", ids[1], "a"])) == ["90", "45"]
    assert angles.add_texts(["1"], ids=["a"]) == ["a"]
    assert contents(angles.get_by_ids(["a"])) == ["1"]
    assert len(angles.store) == 2
    assert angles.get_by_ids([]) == []


def test_delete(angles):
    angles.add_texts(["0", "90", "180", "270"], ids=[*"abcd"])

    assert angles.delete([]) is True
    assert angles.delete(["a", "missing", "a"]) is True
    assert angles.delete("b") is True
    assert sorted(contents(angles.similarity_search("0", k=9))) == ["180", "270"]
    assert angles.delete() is True
    assert angles.similarity_search("0", k=9) == []
    assert angles.max_marginal_relevance_search("0") == []
    angles.add_texts(["5"], ids=["a"])
    assert contents(angles.similarity_search("0", k=9)) == ["5"]


def test_what_cannot_be_added_is_refused_and_nothing_is(angles):
    angles.add_texts(["0"])

    with pytest.raises(ValueError, match="2 texts but 1 metadatas"):
        angles.add_texts(["0", "1"], [{}])
    with pytest.raises(ValueError, match="2 texts but 3 ids"):
        angles.add_texts(iter(["0", "1"]), ids=[*"abc"])
    with pytest.raises(TypeError, match="unexpected arguments: ttl"):
        angles.add_texts(["0"], ttl=3)
    with pytest.raises(TypeError, match="unexpected arguments: namespace"):
        angles.delete(["a"], namespace="b")
    with pytest.raises(TypeError, match="top_k"):
        angles.similarity_search("0", top_k=3)
    with pytest.raises(UsageError, match="metadata 'when' of document 'x' holds what a store would change"):
        angles.add_texts(["0", "1"], [{}, {"when": datetime(2026, 1, 1, tzinfo=UTC)}], ids=["y", "x"])
    assert len(angles.store) == 1


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, [{"a": (1,)}], b"x", {"a"}, np.int64(3)], ids=repr)
def test_metadata_that_would_change_is_refused(value):
    with pytest.raises(UsageError, match="a store would change"):
        to_record("id", {"key": value})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(
    ["passage_id", "document_id", "source", "title", "ordinal", "score", "id", "langchain_metadata"]
)
metadatas = st.dictionaries(
    names | st.text(st.characters(codec="utf-8")),
    json_values | st.sampled_from(["added", "", "x", 0, None]),
    max_size=5,
)


def typed(value):
    """A value whose numbers and booleans are told apart."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return [*map(typed, value)] if isinstance(value, list) else (type(value), value)


def test_metadata_comes_back_as_it_was(tmp_path):
    store = Datastore.create(tmp_path / "store", dimension=6)
    vectorstore = CompendiaVectorStore(store, FAKE)

    @settings(max_examples=25)
    @given(st.lists(metadatas, min_size=1, max_size=3))
    def check(records):
        documents = [Document("text", id=str(i), metadata=record) for i, record in enumerate(records)]
        before = typed([document.metadata for document in documents])
        vectorstore.add_documents(documents)
        found = vectorstore.get_by_ids([str(i) for i in range(len(records))])
        assert typed([document.metadata for document in found]) == before
        assert typed([document.metadata for document in documents]) == before

    check()


def test_the_stores_columns_take_what_they_can(angles):
    angles.add_texts(["0", "1", "2"], [{"source": "sea.md", "title": "Sea"}, {"source": 5, "ordinal": 2}, {}])

    (hit,) = angles.store.search(np.array([[1, 0]]), k=1)[0]
    assert (hit.source, hit.title, hit.metadata) == ("sea.md", "Sea", {})
    assert contents(angles.similarity_search("0", filter="source = 'sea.md'")) == ["0"]
    assert contents(angles.similarity_search("0", filter={"source": 5, "ordinal": 2})) == ["1"]
    assert from_hit(hit) == {"source": "sea.md", "title": "Sea"}


FILTERED = [
    {"year": 2019, "topic": "sea", "draft": False, "share": 0.5},
    {"year": 2020, "topic": 'it\'s "deep"; DROP', "draft": True, "share": 0.25},
    {"year": 2020, "topic": "sea", "draft": False, "share": -1e-9, "page": "iv"},
    {"topic": None, "page": 4},
]


@pytest.mark.parametrize(
    ("filter_", "rows"),
    [
        (None, [0, 1, 2, 3]),
        ({}, [0, 1, 2, 3]),
        ("year = 2020 AND topic = 'sea'", [2]),
        ({"year": 2020}, [1, 2]),
        ({"year": 2020, "topic": "sea"}, [2]),
        ({"topic": 'it\'s "deep"; DROP'}, [1]),
        ({"draft": True}, [1]),
        ({"draft": False}, [0, 2]),
        ({"share": -1e-9}, [2]),
        ({"topic": None}, [3]),
        ({"page": "iv"}, [2]),
        ({"page": 4}, [3]),
        ({"page": "4"}, [3]),  # as everywhere in filters, text is read as a number where it meets one
        ({"topic": "sea' OR TRUE OR '"}, []),
        ({"topic": ""}, []),
        ({"year": 1800}, []),
        ("year > 3000", []),
    ],
    ids=str,
)
def test_filters(angles, filter_, rows):
    angles.add_texts([str(row) for row in range(4)], FILTERED)
    expected = [str(row) for row in rows]

    assert contents(angles.similarity_search("0", k=9, filter=filter_)) == expected
    assert contents(angles.max_marginal_relevance_search("0", k=9, filter=filter_, lambda_mult=1)) == expected
    retriever = angles.as_retriever(search_kwargs={"k": 9, "filter": filter_})
    assert contents(retriever.invoke("0")) == expected


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=15)
@given(st.lists(texts, min_size=1, max_size=4, unique=True), texts.filter(bool), texts)
def test_quoting(tmp_path_factory, values, name, other):
    documents = [Document(str(row), metadata={name: value}) for row, value in enumerate(values)]
    vectorstore = CompendiaVectorStore.from_documents(
        documents, Angles(), store=tmp_path_factory.mktemp("stores") / "store"
    )

    for row, value in enumerate(values):
        assert contents(vectorstore.similarity_search("0", filter={name: value})) == [str(row)]
    expected = [str(values.index(other))] if other in values else []
    assert contents(vectorstore.similarity_search("0", filter={name: other})) == expected


@pytest.mark.parametrize(
    "filter_", [callable, {"a": [1]}, {"a": {"$gt": 1}}, {3: "a"}, {"a": math.nan}], ids=str
)
def test_filters_that_say_nothing_are_refused(filter_):
    with pytest.raises(UsageError, match="filter"):
        where_of(filter_, None)


def test_a_key_that_nothing_has_matches_nothing_and_in_sql_it_is_said(angles):
    angles.add_texts(["0"], [{"year": 2020}])

    assert angles.similarity_search("0", filter={"user": "new"}) == []
    assert contents(angles.similarity_search("0", filter={"user": None, "year": 2020})) == ["0"]
    with pytest.raises(ValueError, match='did you mean "year"'):
        angles.similarity_search("0", filter="yaer = 2020")


def test_retrievers_of_each_kind(angles):
    angles.add_texts(["12", "-10", "30", "90", "180"], [{"n": n} for n in range(5)])

    assert contents(angles.as_retriever().invoke("0")) == ["-10", "12", "30", "90"]
    assert contents(angles.as_retriever(search_kwargs={"k": 3}).invoke("0", k=1)) == ["-10"]
    diverse = angles.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 3})
    assert contents(diverse.invoke("0")) == ["-10", "30"]
    assert contents(diverse.invoke("0", lambda_mult=1.0)) == ["-10", "12"]
    above = angles.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9, "k": 5}
    )
    assert contents(above.invoke("0")) == ["-10", "12"]
    assert contents(above.invoke("0", filter="n = 0")) == ["12"]
    assert above.invoke("0", filter="n = 4") == []


async def test_run_configuration(angles):
    seen = []

    class Handler(BaseCallbackHandler):
        def on_retriever_start(self, _serialized, query, *, tags=None, metadata=None, **_):
            seen.append((query, *sorted(tags), metadata["user"]))

        def on_retriever_end(self, documents, **_):
            seen.append(len(documents))

    angles.add_texts(["0", "90", "180"])
    retriever = angles.as_retriever().configurable_fields(search_kwargs=ConfigurableField(id="search"))
    config = {
        "callbacks": [Handler()],
        "tags": ["mine"],
        "metadata": {"user": "u"},
        "configurable": {"search": {"k": 2}},
    }

    assert contents(retriever.invoke("10", config=config)) == ["0", "90"]
    assert contents(await retriever.ainvoke("80", config=config)) == ["90", "0"]
    assert seen == [
        ("10", "Angles", "CompendiaVectorStore", "mine", "u"),
        2,
        ("80", "Angles", "CompendiaVectorStore", "mine", "u"),
        2,
    ]
    assert [contents(found) for found in retriever.batch(["0", "180"], config=config)] == [
        ["0", "90"],
        ["180", "90"],
    ]


def test_pickling(tmp_path):
    nowhere = pickle.loads(pickle.dumps(CompendiaVectorStore(tmp_path / "store", FAKE)))
    assert nowhere.similarity_search("a") == []

    nowhere.add_texts(["a", "b"], ids=["1", "2"])
    there = pickle.loads(pickle.dumps(nowhere))

    assert there.similarity_search("b") == nowhere.similarity_search("b")
    there.add_texts(["c"], ids=["3"])
    assert contents(there.get_by_ids(["3", "1"])) == ["c", "a"]
    retriever = pickle.loads(pickle.dumps(there.as_retriever(search_kwargs={"k": 1})))
    assert contents(retriever.invoke("c")) == ["c"]
    there.delete()
    assert pickle.loads(pickle.dumps(there)).similarity_search("c") == []


def test_threads_write_and_search(angles):
    def work(thread):
        ids = [f"{thread}-{row}" for row in range(4)]
        for name in ids:
            angles.add_texts([str(thread * 40)], ids=[name])
            assert {str(thread * 40)} == {*contents(angles.get_by_ids(ids))}
            assert contents(angles.similarity_search(str(thread * 40), k=1)) == [str(thread * 40)]
            angles.max_marginal_relevance_search("0", k=2)
        angles.delete(ids[:2])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert len(angles.store) == 8
    expected = sorted(str(thread * 40) for thread in range(4) for _ in range(2))
    assert sorted(contents(angles.similarity_search("0", k=99))) == expected


async def test_documents_are_added_at_once(angles):
    await asyncio.gather(*(angles.aadd_texts([str(number)], ids=[str(number)]) for number in range(5)))

    assert sorted(contents(angles.similarity_search("0", k=99))) == [*"01234"]


def indexed(vectorstore):
    found = vectorstore.similarity_search("0", k=99)
    return sorted((document.metadata["source"], document.page_content) for document in found)


def document(source, text):
    return Document(str(text), metadata={"source": source})


CLEANUPS = {
    # What is left of 0 and 1 of a, 2 of b, after 1 and 3 of a came.
    None: [("a", "0"), ("a", "1"), ("a", "3"), ("b", "2")],
    "incremental": [("a", "1"), ("a", "3"), ("b", "2")],
    "scoped_full": [("a", "1"), ("a", "3"), ("b", "2")],
    "full": [("a", "1"), ("a", "3")],
}
FIRST, SECOND = [("a", 0), ("a", 1), ("b", 2)], [("a", 1), ("a", 3)]


@pytest.mark.parametrize("cleanup", CLEANUPS)
def test_langchains_indexing(angles, cleanup):
    records = InMemoryRecordManager("test")
    records.create_schema()

    def run(pairs):
        done = index(
            [document(*pair) for pair in pairs],
            records,
            angles,
            cleanup=cleanup,
            source_id_key="source",
            key_encoder="sha256",
        )
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert run(FIRST) == (3, 0, 0)
    assert run(FIRST) == (0, 3, 0)
    assert run(SECOND) == (1, 1, 4 - len(CLEANUPS[cleanup]))
    assert indexed(angles) == CLEANUPS[cleanup]
    assert run([]) == (0, 0, 2 if cleanup == "full" else 0)


@pytest.mark.parametrize("cleanup", CLEANUPS)
async def test_langchains_indexing_asynchronously(angles, cleanup):
    records = InMemoryRecordManager("test")
    await records.acreate_schema()

    async def run(pairs):
        done = await aindex(
            [document(*pair) for pair in pairs],
            records,
            angles,
            cleanup=cleanup,
            source_id_key="source",
            key_encoder="sha256",
        )
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert await run(FIRST) == (3, 0, 0)
    assert await run(FIRST) == (0, 3, 0)
    assert await run(SECOND) == (1, 1, 4 - len(CLEANUPS[cleanup]))
    assert indexed(angles) == CLEANUPS[cleanup]


def test_indexing_forced_in_batches(angles):
    records = InMemoryRecordManager("test")
    records.create_schema()
    documents = [document("a", number) for number in range(7)]

    for expected in ({"num_added": 7, "num_updated": 0}, {"num_added": 0, "num_updated": 7}):
        done = index(documents, records, angles, batch_size=3, force_update=True, key_encoder="sha256")
        assert expected.items() <= done.items()
    assert len(angles.store) == 7


def test_retriever_and_vector_store_agree(tmp_path):
    store = Datastore.create(tmp_path / "store", encoder="hashing")
    CompendiaVectorStore(store).add_texts(
        ["the tide rises", "bread"], [{"source": 7, "year": 1998}, {"source": "b"}], ids=["t", "b"]
    )

    retriever = CompendiaRetriever(store=store, retriever="rrf(dense, bm25)", filter={"source": 7})

    (found,) = retriever.invoke("tide")
    assert (found.id, found.metadata["metadata_source"], found.metadata["year"]) == ("t", 7, 1998)
    assert "langchain_metadata" not in found.metadata
    assert [*map(attrgetter("id"), retriever.invoke("tide", filter="source = 'b'"))] == ["b"]


def test_a_store_with_two_encoders_is_asked_with_text(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in {"a": "tides of the sea", "b": "tides of the sea again", "c": "comets"}.items():
        (folder / f"{name}.txt").write_text(text)
    hashing = {"model": "hashing"}
    recipe = make_recipe(
        {
            "name": "two",
            "root": str(folder),
            "sources": [{"name": "notes", "kind": "files", "path": "."}],
            "encoder": hashing,
            "exact_encoder": hashing | {"max_tokens": 9},
        },
        [],
    )
    build(recipe, tmp_path / "store")
    vectorstore = CompendiaVectorStore(tmp_path / "store")

    found = vectorstore.max_marginal_relevance_search("tides of the sea", k=2, lambda_mult=0.1)

    assert contents(found) == ["tides of the sea", "comets"]
    assert (found[0].metadata["source"], found[0].metadata["document_id"]) == ("notes", "a.txt")
    assert contents(vectorstore.similarity_search("comets", k=1, fused=True)) == ["comets"]
    with pytest.raises(UsageError, match="ask it with text"):
        vectorstore.similarity_search_by_vector([1.0] * 256)
