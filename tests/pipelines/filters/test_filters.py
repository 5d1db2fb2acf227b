"""The families together: order, failures, thresholds apart from scores, presets, labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from datastore import UsageError
from pipelines import make_recipe
from pipelines.filters import Filters, Rule, TextBatch, families, rules, score_settings, score_texts


def filters(**section) -> Filters:
    recipe = {"name": "t", "sources": [{"name": "s", "kind": "files", "path": "x"}], "filters": section}
    return make_recipe(recipe, environment={}).filters


def test_a_preset_is_changed_by_what_stands_beside_it():
    changed = filters(preset="fineweb-1", gopher_quality={"min_words": 30}, c4=None)

    plain = filters(preset="fineweb-1")
    assert plain.gopher_quality.min_words == 50
    assert changed.gopher_quality == plain.gopher_quality.model_copy(update={"min_words": 30})
    assert changed.c4 is None
    assert [name for name, _ in families(plain)] == [
        *("gopher_repetition", "gopher_quality", "c4", "fineweb_quality", "length")
    ]
    with pytest.raises(UsageError, match="there is no filter preset"):
        filters(preset="fineweb-9")


def test_a_resolved_recipe_is_itself():
    section = filters(preset="gopher-1", length={"min_words": 3}).model_dump(mode="json")

    assert filters(**section) == filters(preset="gopher-1", length={"min_words": 3})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"gopher_quality": {"min_words": 3}}, {"gopher_quality": {"min_words": 300}}, True),
        ({"length": {"max_words": 3}}, {"length": {"max_words": None}}, True),
        ({"gopher_quality": {}}, {"gopher_quality": {"stop_words": ["the"]}}, False),
        ({"c4": {}}, {"c4": {"remove_citations": False}}, False),
        ({}, {"pii": {}}, False),
    ],
)
def test_thresholds_alone_leave_scores_as_they_are(one, other, same):
    assert (score_settings(filters(**one)) == score_settings(filters(**other))) == same


def test_fields_that_are_no_thresholds_are_never_read_by_rules():
    # What rules() reads must start with min_ or max_: else scores would be kept that another setting would change.
    for name, family in families(filters(preset="fineweb-1", pii={}, language={})):
        assert all(key.startswith(("min_", "max_")) for key in fields_read_by_rules(family)), name


def fields_read_by_rules(family: BaseModel) -> set[str]:
    read: set[str] = set()
    fields = type(family).model_fields

    class Watched(type(family)):  # type: ignore[misc]
        def __getattribute__(self, key):
            if key in fields:
                read.add(key)
            return super().__getattribute__(key)

    watched = Watched.model_construct(**dict(family))
    read.clear()
    Watched.rules(watched)
    return read


def test_scores_are_there_for_every_document_also_a_dropped_one():
    chosen = filters(preset="fineweb-1")
    texts = [
        "",
        "short",
        "the same line\n" * 40,
        "A sentence of the kind that we have to see and be glad of. " * 12,
    ]

    scored = score_texts(texts, ["{}"] * 4, chosen)

    assert {rule.score for rule in rules(chosen)} <= set(scored.scores)
    assert all(len(values) == 4 for values in scored.scores.values())
    assert scored.failures == [None] * 4


class _Grumpy(BaseModel):
    """A family that cannot stand one word."""

    model_config = ConfigDict(frozen=True)

    def scores(self, batch: TextBatch) -> dict[str, np.ndarray]:
        if any("poison" in text for text in batch.texts):
            raise ZeroDivisionError("no")
        return {"grumpy": np.array([len(text) for text in batch.texts], dtype=np.float64)}

    def rules(self) -> tuple[Rule, ...]:
        return (Rule("grumpy_short", "grumpy", minimum=5),)

    def edit(self, batch: TextBatch) -> list[str]:
        return [text.upper() for text in batch.texts]


class _WithGrumpy(Filters):
    grumpy: _Grumpy = _Grumpy()


def test_a_document_that_makes_a_filter_raise_is_lost_alone():
    chosen = _WithGrumpy()

    scored = score_texts(["abc", "poison here", "abcdef"], ["{}"] * 3, chosen)

    assert scored.failures == [None, "grumpy: ZeroDivisionError: no", None]
    assert [*scored.texts] == ["ABC", "POISON HERE", "ABCDEF"]
    values = scored.scores["grumpy"].tolist()
    assert (values[0], values[2], math.isnan(values[1])) == (3, 6, True)
    assert Rule("grumpy_short", "grumpy", minimum=5).drops(scored.scores).tolist() == [True, False, False]


def test_a_language_becomes_metadata_that_one_can_filter_by(tmp_path, jsonl):
    from datastore import Datastore
    from pipelines import build

    german = "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann in den Wald zurück."
    english = "The quick brown fox jumps over the lazy dog and then runs back into the woods again."
    records = [
        {"id": "de", "text": german},
        {"id": "en", "text": english},
        {"id": "x", "text": english + " Yes.", "language": "mine"},
    ]
    jsonl(tmp_path / "in" / "a.jsonl", records)
    recipe = make_recipe(
        {
            "name": "t",
            "sources": [{"name": "s", "kind": "files", "path": str(tmp_path / "in")}],
            "filters": {"language": {"keep": ["en", "de"], "min_score": 0.5}},
            "encoder": {"model": "hashing"},
        },
        environment={},
    )

    build(recipe, tmp_path / "store")

    with Datastore.open(tmp_path / "store") as store:
        rows = [(p.document_id, p.metadata["language"]) for _, p in store.snapshot.catalog.read_passages()]
        assert sorted(rows) == [("de", "de"), ("en", "en"), ("x", "mine")]
        assert [hit.document_id for hit in store.search("Hund", k=3, where="language = 'de'")] == ["de"]


def test_metadata_of_unlabelled_documents_stays_byte_for_byte(tmp_path):
    record = json.dumps({"b": 1, "a": 2})

    scored = score_texts(["some words"], [record], filters())

    assert scored.labels == {}
