from __future__ import annotations

import pytest

from datastore import Datastore
from pipelines import build, copies_among, copies_in_store, make_recipe
from pipelines.duplicates import NearDuplicates

NEAR = NearDuplicates()


def text(number: int, words: int = 60) -> str:
    return " ".join(f"word{number * 1000 + i}" for i in range(words))


@pytest.fixture(params=["exact", "near"])
def store(request, tmp_path, jsonl) -> Datastore:
    """Ten documents of several passages each, of which d3 is deleted, and one added by hand."""
    jsonl(tmp_path / "in" / "a.jsonl", [{"id": f"d{i}", "text": text(i)} for i in range(10)])
    recipe = make_recipe(
        {
            "name": "t",
            "sources": [{"name": "s", "kind": "files", "path": str(tmp_path / "in")}],
            "encoder": {"model": "hashing"},
            "chunk": {"max_tokens": 16},
            "deduplicate": request.param,
        },
        environment={},
    )
    build(recipe, tmp_path / "store")
    opened = Datastore.open(tmp_path / "store")
    opened.delete(document_ids=["d3"])
    opened.add(texts=[text(50)], ids=["by hand"])
    return opened


@pytest.mark.parametrize("compacted", [False, True])
def test_copies_are_found_whatever_case_and_white_space(store, compacted):
    if compacted:
        store.compact()
    asked = [text(2).upper(), text(3), text(50).replace(" ", "\n"), text(77), text(9)[:-1]]

    assert copies_in_store(store, asked) == ["d2", None, "by hand", None, None]


@pytest.mark.parametrize("compacted", [False, True])
def test_near_copies(store, compacted):
    if compacted:
        store.compact()
    edited = text(4).replace("word4003", "another")  # of 56 five-grams 4 differ
    other = " ".join([*text(5).split()[:30], *text(80).split()[:30]])

    assert copies_in_store(store, [edited, other, text(50) + " more"], NEAR) == ["d4", None, "by hand"]


def test_copies_among_texts():
    longer = text(4) + " and more"  # of 58 five-grams 2 are not in the shorter one
    texts = [text(1), text(4), text(1).upper(), text(4).title(), longer, text(5)]

    assert copies_among(texts) == [None, None, 0, 1, None, None]
    assert copies_among(texts, NEAR) == [None, 4, 0, 4, None, None]
    assert copies_among([], NEAR) == []
    assert copies_among(["one"], NEAR) == [None]
