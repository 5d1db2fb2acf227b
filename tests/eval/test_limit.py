from __future__ import annotations

from collections import Counter

import pytest
import Stemmer

from datastore import UsageError
from eval.beir import load
from eval.files import read_records
from eval.limit import make_limit_like, write_limit_like
from eval.limit_words import FIRST_NAMES, MODIFIERS, SURNAMES, THINGS


def liked(text: str) -> list[str]:
    return text.removesuffix(".").partition(" likes ")[2].replace(" and ", ", ").split(", ")


def test_every_query_asks_for_one_pair_and_no_pair_twice():
    made = make_limit_like(documents=500, seed=3)
    pairs = [frozenset(pair) for pair in made.relevant.values()]
    assert len(made.queries) == len(set(pairs)) == 1000
    assert len({name for pair in pairs for name in pair}) == 46
    for query, text in made.queries.items():
        attribute = text.removeprefix("Who likes ").removesuffix("?")
        has = {name for name, likes in made.documents.items() if attribute in likes}
        assert has == set(made.relevant[query])


def test_documents_have_the_form_of_limit():
    made = make_limit_like(documents=300, seed=1)
    counts = Counter(len(set(liked(text))) for text in made.documents.values())
    relevant = {name for pair in made.relevant.values() for name in pair}
    assert counts[50] == 300 - 46
    assert all(35 <= len(liked(made.documents[name])) <= 45 for name in relevant)
    assert all(text.startswith(f"{name} likes ") for name, text in made.documents.items())
    asked = {text.split()[-1].rstrip("?") for text in made.queries.values()}
    for name in made.documents.keys() - relevant:
        assert not asked & {attribute.split()[-1] for attribute in liked(made.documents[name])}


def test_a_seed_gives_the_same_bytes_and_another_seed_another_set(tmp_path):
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        write_limit_like(tmp_path / name, make_limit_like(documents=60, seed=seed))
    files = ("corpus.jsonl.gz", "queries.jsonl.gz", "qrels/test.tsv")
    one, two, other = (
        [(tmp_path / name / file).read_bytes() for file in files] for name in ("one", "two", "other")
    )
    assert one == two
    assert all(first != second for first, second in zip(one, other, strict=True))


def test_a_set_is_read_as_any_other_collection(tmp_path):
    made = make_limit_like(documents=70, relevant=4, queries=6, attributes=2, other_attributes=5)
    write_limit_like(tmp_path, made)
    collection = load(tmp_path)
    assert collection.queries == made.queries
    assert collection.qrels == {query: dict.fromkeys(pair, 1) for query, pair in made.relevant.items()}
    assert {record["_id"]: record["text"] for _, record in read_records(collection.corpus)} == made.documents


def test_no_two_words_that_a_set_is_made_of_have_one_stem():
    given = [word.lower() for word in (*FIRST_NAMES, *SURNAMES, *MODIFIERS, *THINGS)]
    stems = Counter(Stemmer.Stemmer("english").stemWords(given))
    assert [stem for stem, count in stems.items() if count > 1] == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"relevant": 4, "queries": 7}, "queries can be at most 6 here, got 7"),
        ({"documents": 10}, "relevant can be at most 10 here, got 46"),
        ({"documents": 100_000}, "documents can be at most 81600 here"),
        ({"attributes": 900}, "attributes can be at most 850 here"),
        ({"other_attributes": 5_000}, "queries and other_attributes can be at most"),
    ],
)
def test_what_cannot_be_composed_is_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        make_limit_like(**parameters)


def test_where_few_pairs_are_asked_for_every_document_likes_something():
    made = make_limit_like(documents=80, relevant=46, queries=3, attributes=4, other_attributes=12)
    assert len({document for pair in made.relevant.values() for document in pair}) <= 6
    assert all(" likes " in text for text in made.documents.values())
