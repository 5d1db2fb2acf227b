from __future__ import annotations

import csv
import gzip
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest

from datastore import UsageError
from retrievers import bm25
from retrievers.bm25 import split_terms

PLAIN = bm25(language=None)
_RANDOM = np.random.default_rng(7)
# Words of unequal frequency, passages of unequal length.
CORPUS = [
    " ".join(f"w{word}" for word in _RANDOM.zipf(1.4, size=length).clip(max=300))
    for length in _RANDOM.integers(1, 60, size=200)
]
QUERIES = ["w1", "w2 w3 w5", "w9 w9 w200 unheard", "w40 w41 w42 w43 w44 w45"]


def lucene_scores(query, corpus, k1, b):
    """(n,) by the formula of Kamphuis et al. (2020), table 1, in float64."""
    passages = [Counter(text.split()) for text in corpus]
    lengths = np.array([sum(passage.values()) for passage in passages], dtype=float)
    total = np.zeros(len(corpus))
    for term in query.split():
        frequency = np.array([passage[term] for passage in passages], dtype=float)
        holders = np.count_nonzero(frequency)
        if holders:
            idf = math.log(1 + (len(corpus) - holders + 0.5) / (holders + 0.5))
            total += idf * frequency / (frequency + k1 * (1 - b + b * lengths / lengths.mean()))
    return total


def best(scores, k):
    """Rows by (-score, row), those above 0."""
    return [row for row in np.lexsort((np.arange(len(scores)), -scores)) if scores[row] > 0][:k]


def test_scores_of_three_passages_by_hand(make_store):
    store = make_store(["cat sat", "cat cat dog", "fish"])

    hits = PLAIN.on(store).retrieve(["cat", "dog cat"], 3)

    # N = 3, mean length 2. idf(cat) = ln(1 + 1.5 / 2.5) = .4700, idf(dog) = ln(1 + 2.5 / 1.5) = .9808.
    # "cat sat": tf 1, length 2: .4700 * 1 / (1 + .9 * 1.0) = .2474
    # "cat cat dog", length 3: norm .9 * (.6 + .4 * 1.5) = 1.08; cat .4700 * 2 / 3.08 = .3052; dog .9808 / 2.08 = .4716
    assert hits.rows.tolist() == [[1, 0, -1], [1, 0, -1]]
    np.testing.assert_allclose(hits.scores, [[0.3052, 0.2474, -np.inf], [0.7768, 0.2474, -np.inf]], atol=1e-4)
    assert (hits.version, list(hits.timings_ms)) == (store.version, ["bm25"])


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (2.0, 0.0), (0.5, 1.0)])
def test_equals_lucenes_formula_and_bm25s(make_store, k1, b):
    hits = bm25(k1=k1, b=b, language=None).on(make_store(CORPUS, segment_rows=70)).retrieve(QUERIES, 20)

    peer = bm25s.BM25(method="lucene", k1=k1, b=b)
    peer.index([text.split() for text in CORPUS], show_progress=False)
    for query, rows, scores in zip(QUERIES, hits.rows, hits.scores, strict=True):
        expected = lucene_scores(query, CORPUS, k1, b)
        found = rows >= 0
        assert found.sum() == min(20, np.count_nonzero(expected))
        np.testing.assert_allclose(scores[found], expected[rows[found]], atol=1e-4)
        np.testing.assert_allclose(scores[found], np.sort(expected)[::-1][: found.sum()], atol=1e-4)
        np.testing.assert_array_equal(scores[found], peer.get_scores(query.split())[rows[found]])


def test_order_is_by_score_then_row_also_where_k_cuts_a_tie(make_store):
    texts = ["apple pear", "apple", "plum", "apple", "apple apple", "apple", "apple"]
    retriever = PLAIN.on(make_store(texts))
    expected = [4, 1, 3, 5, 6, 0]

    for k in range(1, 8):
        assert retriever.retrieve(["apple"], k).rows[0].tolist() == [*expected, -1][:k]


def test_many_ties_are_in_the_order_of_rows(make_store):
    retriever = PLAIN.on(make_store(["apple tree"] * 100 + ["apple"] + ["apple tree"] * 100))

    found = retriever.retrieve(["apple"], 60).rows[0].tolist()

    assert found == [100, *range(59)]


def test_a_word_that_is_asked_for_twice_counts_twice(make_store):
    retriever = PLAIN.on(make_store(["cat", "dog"]))

    once, twice = retriever.retrieve(["cat", "cat cat"], 1).scores[:, 0]

    assert twice == pytest.approx(2 * once)


def test_titles_count_and_are_joined_by_a_space(make_store):
    store = make_store(["spread by wind", "sink in water"], titles=["Seeds", ""])

    assert bm25.on(store).retrieve(["seed", "seedsspread"], 2).rows.tolist() == [[0, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("language", "terms"),
    [
        ("english", ["run", "in", "the", "café", "of", "vitamin", "c", "file"]),
        (None, ["running", "in", "the", "cafés", "of", "vitamin", "c", "file"]),
    ],
)
def test_terms_do_not_depend_on_case_or_unicode_form(language, terms):
    text = "Running in the CAFÉS of 'Vitamin\nC': file."
    variants = [
        text,
        text.upper(),
        text.replace("É", "E\N{COMBINING ACUTE ACCENT}"),
        text.replace("fi", "\ufb01"),
    ]

    assert list(split_terms(variants, language)) == [terms] * 4


def test_stemming_follows_the_language(make_store):
    store = make_store(["die Häuser am Meer", "houses at sea"])

    assert bm25(language="german").on(store).retrieve(["Haus"], 1).rows.tolist() == [[0]]
    assert bm25.on(store).retrieve(["housing"], 1).rows.tolist() == [[1]]
    assert PLAIN.on(store).retrieve(["house"], 1).rows.tolist() == [[-1]]


def test_no_known_term_is_no_hit(make_store):
    hits = bm25.on(make_store(["cat", "dog"])).retrieve(["zebra", "?!", "cat zebra"], 2)

    assert hits.rows.tolist() == [[-1, -1], [-1, -1], [0, -1]]
    assert hits[0] == []


@pytest.mark.parametrize("texts", [["...", "?"], []], ids=["no word", "no passage"])
def test_a_store_without_a_term_has_no_hits(make_store, tmp_path, texts):
    (tmp_path / "store-1").mkdir()

    assert bm25.on(make_store(texts)).retrieve(["anything", "?"], 2).rows.tolist() == [[-1, -1], [-1, -1]]


def test_passages_without_a_term_do_not_disturb(make_store):
    assert bm25.on(make_store(["", "cat", "--"])).retrieve(["cat"], 3).rows.tolist() == [[1, -1, -1]]


def test_a_k_beyond_all_passages_takes_no_memory(make_store):
    hits = bm25.on(make_store(["cat", "dog"])).retrieve(["cat"], 10**12)

    assert [hit.text for hit in hits[0]] == ["cat"]


def test_no_query_gives_no_line(make_store):
    assert bm25.on(make_store(["cat"])).retrieve([], 3).rows.shape == (0, 3)


def test_nothing_is_printed(make_store, capfd):
    bm25.on(make_store(CORPUS)).retrieve(QUERIES, 5)

    assert capfd.readouterr() == ("", "")


def test_threads_share_one_retriever(make_store):
    retriever = bm25.on(make_store(CORPUS))
    alone = retriever.retrieve(QUERIES, 10)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: retriever.retrieve(QUERIES, 10), range(40)))

    for hits in together:
        np.testing.assert_array_equal(hits.rows, alone.rows)
        np.testing.assert_array_equal(hits.scores, alone.scores)


def test_prints_as_it_is_written():
    assert str(bm25) == "bm25"
    assert str(bm25(k1=0.9, b=0.4, language="english")) == "bm25"
    assert str(bm25(k1=1, b=0, language=None)) == "bm25(k1=1.0, b=0.0, language=None)"
    assert bm25(k1=np.float64(1.5)) == bm25(k1=1.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"k1": 0}, "k1 must be above 0, got 0.0"),
        ({"k1": math.nan}, "k1 must be a finite number, got nan"),
        ({"k1": "1"}, "k1 must be a finite number, got '1'"),
        ({"b": 1.5}, "b must be between 0 and 1, got 1.5"),
        ({"b": True}, "b must be a finite number, got True"),
        ({"language": "englisch"}, "language must be that of a Snowball stemmer, or None, got 'englisch'"),
        ({"language": 3}, "language must be that of a Snowball stemmer, or None, got 3"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(UsageError) as error:
        bm25(**parameters)

    assert error.value.message == message


@pytest.mark.slow
def test_scifact_is_near_the_published_baseline(make_store, test_data):
    """Published for title + text, k1 = 0.9, b = 0.4: nDCG@10 = .679 (Anserini, BEIR "flat")."""
    import ir_measures

    folder = test_data / "scifact"
    with gzip.open(folder / "corpus.jsonl.gz", "rt") as file:
        documents = [json.loads(line) for line in file]
    with (folder / "qrels" / "test.tsv").open() as file:
        judged = [
            ir_measures.Qrel(line["query-id"], line["corpus-id"], int(line["score"]))
            for line in csv.DictReader(file, delimiter="\t")
        ]
    with gzip.open(folder / "queries.jsonl.gz", "rt") as file:
        questions = {record["_id"]: record["text"] for record in map(json.loads, file)}
    asked = sorted({qrel.query_id for qrel in judged})
    store = make_store(
        [document["text"] for document in documents],
        titles=[document["title"] for document in documents],
        ids=[document["_id"] for document in documents],
        segment_rows=10_000,
    )

    hits = bm25.on(store).retrieve([questions[query] for query in asked], 10)

    ids = np.array(store.read_column("document_id"))
    run = [
        ir_measures.ScoredDoc(query, ids[row], float(score))
        for query, rows, scores in zip(asked, hits.rows, hits.scores, strict=True)
        for row, score in zip(rows, scores, strict=True)
        if row >= 0
    ]
    measured = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], judged, run)[ir_measures.nDCG @ 10]
    assert measured == pytest.approx(0.679, abs=0.02)
