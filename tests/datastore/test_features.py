"""Ways to search that a store gains and loses: complete over all segments, whole after damage, nothing left behind."""

from __future__ import annotations

import json
import shutil
from importlib import import_module

import pytest
from typer.testing import CliRunner

from compendia.cli import app
from datastore import (
    Datastore,
    IntegrityError,
    NotFoundError,
    OverBudgetError,
    UsageError,
    describe,
    verify,
)
from datastore.files import remove_folder
from datastore.index import multivector
from datastore.kinds import KINDS
from datastore.manifest import FeatureEntry, manifest_path, read_manifest
from retrievers import bm25

TEXTS = ["green tea leaves", "black tea", "a cup of coffee", "tea tea tea"]


def ranking(store: Datastore, query: str = "tea", name: str | None = None) -> list[str]:
    return [hit.passage_id for hit in bm25(name=name).on(store).retrieve([query], 10)[0]]


@pytest.fixture
def store(make_store) -> Datastore:
    return make_store(TEXTS, segment_rows=2, features=())


def test_an_index_that_is_added_covers_what_there_is_and_what_comes(store):
    with pytest.raises(UsageError, match="has no bm25 index") as error:
        bm25.on(store)
    assert "compendia index add" in error.value.hint
    done: list[int] = []
    assert store.add_index("bm25", on_rows=done.append)
    assert done == [2, 2]
    assert ranking(store) == ["test/3#0", "test/1#0", "test/0#0"]
    store.add(texts=["tea for two"], ids=["new"])
    store.delete(["test/3#0"])
    assert ranking(store) == ["test/1#0", "test/0#0", "new"]
    assert verify(store.path) == []
    version = store.version
    assert not store.add_index({"kind": "bm25"})
    assert store.version == version


def test_several_of_a_kind_have_names(store):
    store.add_index("bm25")
    store.add_index({"kind": "bm25", "name": "plain", "language": None})
    assert ranking(store, "cups") == ["test/2#0"]
    assert ranking(store, "cups", name="plain") == []
    assert ranking(store, "cup", name="plain") == ["test/2#0"]
    with pytest.raises(UsageError, match="no bm25 index 'other'") as error:
        ranking(store, name="other")
    assert error.value.hint == "name one of: bm25, plain"
    with pytest.raises(UsageError, match="with other settings"):
        store.add_index({"kind": "bm25", "name": "plain", "language": "german"})


def test_two_names_for_equal_settings_share_their_files(store):
    store.add_index("bm25")
    store.add_index({"kind": "bm25", "name": "again"})
    assert ranking(store, name="again") == ranking(store)
    assert len(list(store.path.glob("features/*/*"))) == 2  # one a segment
    store.drop_index("again")
    store.prune()
    assert ranking(store) == ["test/3#0", "test/1#0", "test/0#0"]


def test_what_is_dropped_is_gone_and_its_disk_free_after_prune(store):
    store.add_index("bm25")
    assert describe(store)["bytes"]["disk"]["bm25"] > 0
    store.drop_index("bm25")
    with pytest.raises(UsageError, match="has no bm25 index"):
        bm25.on(store)
    store.prune()
    assert not list(store.path.glob("features/*"))
    with pytest.raises(NotFoundError, match="no index 'bm25'"):
        store.drop_index("bm25")


def test_what_only_earlier_versions_had_is_not_kept_open(store):
    store.add_index("bm25")
    store.add_index("graph")
    for number in range(3):
        store.snapshot.feature("graph")
        ranking(store)
        store.add(texts=[f"more tea {number}"])
    store.snapshot.feature("graph")
    ranking(store)
    named = {index.id for index in store.manifest.all_indexes} | {one.id for one in store.manifest.segments}
    assert {name for name, _ in store.snapshot.features.opened()} == named
    store.drop_index("graph")
    assert {name for name, _ in store.snapshot.features.opened()} == {
        one.id for one in store.manifest.segments
    }


def test_what_was_damaged_is_described_as_it_is_made_again(store):
    store.add_index("bm25")
    path = manifest_path(store.path, store.version)
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"]
    (files,) = manifest["segments"][0]["features"].values()
    files["lengths.npy"]["checksum"] = "of an encoder that rounds otherwise"
    path.write_text(json.dumps(manifest))
    remove_folder(next((store.path / "features" / manifest["segments"][0]["id"]).iterdir()))
    store.add(texts=["more tea"])
    assert verify(store.path) == []


def test_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(UsageError, match="two indexes are called 'bm25'") as error:
        Datastore.create(
            tmp_path / "store", dimension=4, features=["bm25", {"kind": "bm25", "language": None}]
        )
    assert "another name" in error.value.hint


def test_a_budget_of_ram_counts_what_indexes_of_features_take(make_store, monkeypatch):
    monkeypatch.setattr(multivector, "_LEAST_INDEXED_ROWS", 1)
    store = make_store(TEXTS, features=[{"kind": "multivector", "encoder": {"model": "hashing"}}])
    ((index,),) = (feature.indexes for feature in store.manifest.features)
    size = sum(file.bytes for file in index.files.values())
    with pytest.raises(OverBudgetError):
        Datastore.open(store.path, ram=size)
    with Datastore.open(store.path, ram=size + 100_000) as opened:
        opened.snapshot.feature("multivector")
        assert 0 < opened.ram_bytes["features"] <= size


def test_earlier_versions_have_what_they_had(store):
    before = store.version
    store.add_index("bm25")
    with Datastore.open(store.path, version=before) as old, pytest.raises(UsageError, match="has no bm25"):
        bm25.on(old)
    store.rollback(before)
    with pytest.raises(UsageError, match="has no bm25"):
        bm25.on(store)


@pytest.mark.parametrize("given", ["bm52", {"kind": "bm25", "langauge": "german"}, {"kind": None}])
def test_what_is_no_kind_or_no_option_is_refused(store, given):
    with pytest.raises(UsageError) as error:
        store.add_index(given)
    assert "bm25" in str(error.value) or "language" in str(error.value)


@pytest.mark.parametrize("kind", ["multivector", "sparse", "vectors"])
def test_verifying_a_store_fetches_no_model(store, monkeypatch, kind):
    store.add_index({"kind": kind, "encoder": {"model": "hashing"}})
    module = import_module(f"datastore.index.{kind}")
    (name,) = [name for name in vars(module) if name.startswith("load_")]
    load, fetched = getattr(module, name), []
    monkeypatch.setattr(
        module, name, lambda config, *, fetch=True: fetched.append(fetch) or load(config, fetch=fetch)
    )
    assert verify(store.path) == []
    assert fetched == [False]


@pytest.mark.parametrize("damage", ["cut", "remove file", "remove folder", "change"])
def test_damage_is_named_and_no_search_gives_wrong_answers(store, damage):
    store.add_index("bm25")
    folder = min(store.path.glob("features/*/*"))
    file = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    store.close()
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-1])
        case "remove file":
            file.unlink()
        case "remove folder":
            remove_folder(folder)
        case "change":
            file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    assert any(folder.name in fault for fault in verify(store.path))
    if damage != "change":
        with Datastore.open(store.path) as opened, pytest.raises(IntegrityError, match="compendia verify"):
            ranking(opened)


def test_an_index_made_by_other_code_is_not_added_to(store):
    store.add_index("bm25")
    path = manifest_path(store.path, store.version)
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"]
    old_id = read_manifest(store.path).features[0].id
    manifest["features"][0]["fingerprint"]["analysis"] = "of another version"
    path.write_text(json.dumps(manifest))
    # Its files have a name that says what made them.
    changed = manifest["features"][0]
    new_id = FeatureEntry.model_validate(changed).id
    for segment in manifest["segments"]:
        segment["features"][new_id] = segment["features"].pop(old_id)
        shutil.move(
            store.path / "features" / segment["id"] / old_id, store.path / "features" / segment["id"] / new_id
        )
    path.write_text(json.dumps(manifest))
    with Datastore.open(store.path) as opened, pytest.raises(IntegrityError, match="'of another version'"):
        opened.add(texts=["more tea"])
    assert any("is not what is here now" in fault for fault in verify(store.path))


def test_the_command_line_adds_and_drops(store):
    run = CliRunner().invoke
    path = str(store.path)
    done = run(app, ["index", "add", path, "bm25", "--set", "language=german", "--name", "de", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["features"] == ["de"]
    assert read_manifest(store.path).features[0].config["language"] == "german"
    assert "bm25: de (language german" in run(app, ["info", path]).stdout
    assert run(app, ["index", "drop", path, "de"]).exit_code == 0
    assert read_manifest(store.path).features == ()
    for settings in (["encoder=x", "encoder.model=y"], ["language"], ["nothing=1"]):
        options = [part for setting in settings for part in ("--set", setting)]
        assert isinstance(run(app, ["index", "add", path, "sparse", *options]).exception, UsageError)


def test_the_command_line_names_every_kind():
    shown = CliRunner().invoke(app, ["index", "add", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(kind in shown for kind in KINDS)
