"""Recipes whose stores can be searched in every way there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from datastore import UsageError, verify
from datastore.kinds import KINDS
from pipelines import Recipe, build, make_recipe

HASHING = {"model": "hashing"}
OPTIONS = {
    "bm25": {"language": "german"},
    "graph": {"knn": 3, "entities": True},
    "multivector": {"encoder": HASHING, "pooling": {"factor": 3}},
    "sparse": {"encoder": HASHING, "passage_terms": 40},
    "vectors": {"encoder": {**HASHING, "max_tokens": 32}},
}


@pytest.fixture
def full(recipe, tmp_path) -> Recipe:
    edges = tmp_path / "edges.tsv"
    edges.write_text("".join(f"a{number}\tleads to\ta{number + 7}\n" for number in range(62, 110)))
    options = {**OPTIONS, "graph": {**OPTIONS["graph"], "own": str(edges)}}
    features = [{"kind": kind, **options[kind]} for kind in KINDS]
    return make_recipe({**recipe.model_dump(mode="json"), "features": features}, environment={})


@pytest.mark.parametrize("executor", ["process", "ray"])
def test_all_executors_make_the_same_features_of_every_kind(full, tmp_path, content_of, executor):
    build(full, tmp_path / "serial")

    build(full, tmp_path / "other", executor=executor, workers=2)

    assert content_of(tmp_path / "other") == content_of(tmp_path / "serial")


def test_a_damaged_feature_of_any_kind_is_made_again(full, tmp_path, content_of):
    store: Path = tmp_path / "store"
    build(full, store)
    before = content_of(store)
    folders = [min(store.glob(f"features/*/{kind}-*")) for kind in KINDS] + [*store.glob("indexes/graph-*")]
    assert len(folders) == len(KINDS) + 1
    for folder in folders:
        file = max(folder.iterdir(), key=lambda file: file.stat().st_size)
        data = bytearray(file.read_bytes())
        data[-1] ^= 4
        file.write_bytes(data)
    assert len(verify(store)) == len(folders)

    report = build(full, store, repair=True)

    assert not report.changed
    assert content_of(store) == before


def test_features_of_one_name_are_refused_before_any_work(recipe):
    data = {**recipe.model_dump(mode="json"), "features": ["bm25", {"kind": "bm25", "language": None}]}
    with pytest.raises(UsageError, match="two indexes are called 'bm25'"):
        make_recipe(data, environment={})


def test_a_recipes_edges_to_what_the_store_lacks_are_refused_with_their_line_and_their_file_is_found_below_root(
    recipe, tmp_path, monkeypatch
):
    edges = recipe.root / "edges.tsv"
    edges.write_text("a50\tleads to\ta57\na51\tleads to\tnowhere\na60\tleads to\ta57\n")
    data = {**recipe.model_dump(mode="json"), "features": [{"kind": "graph", "own": "edges.tsv"}]}
    rooted = make_recipe(data, environment={})
    with pytest.raises(
        UsageError, match=r"edges\.tsv:2: the store has no passage and no document 'nowhere', nor 1 more"
    ):
        build(rooted, tmp_path / "store")
    assert not (tmp_path / "store" / "CURRENT").exists()
    edges.write_text("a50\tleads to\ta57\n")

    report = build(rooted, tmp_path / "store")
    monkeypatch.chdir(tmp_path)  # nothing depends on where one stands

    assert report.version == 1
    assert not build(rooted, tmp_path / "store").changed
    assert verify(tmp_path / "store") == []
