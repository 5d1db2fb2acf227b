from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from datastore import CompendiaError, Datastore, UsageError, describe, read_rejects, verify
from datastore.files import writer_lock
from pipelines import Recipe, build, make_recipe
from pipelines.corpus import find_inputs
from pipelines.sources import inventory


def with_settings(recipe: Recipe, *settings: str) -> Recipe:
    return make_recipe(recipe.model_dump(mode="json"), settings, environment={})


def test_the_funnel_accounts_for_every_record(recipe, tmp_path):
    report = build(recipe, tmp_path / "store")

    articles, notes = report.sources["articles"], report.sources["notes"]
    # Article i has 1 + i % 60 sentences of 8 words: two articles have one sentence, which is below nine words.
    assert (articles.records, articles.documents, articles.dropped) == (120, 118, Counter(too_short=2))
    # Ten notes repeat articles in capitals; the article of copy 0 was too short itself, and so is its copy.
    assert (notes.records, notes.documents, notes.dropped) == (
        30,
        20,
        Counter(exact_duplicate=9, too_short=1),
    )
    with Datastore.open(tmp_path / "store") as store:
        assert len(store) == report.passages == articles.passages + notes.passages
        assert Counter(store.read_column("source")) == {
            "articles": articles.passages,
            "notes": notes.passages,
        }
        assert len(set(store.read_column("document_id"))) == 138
    assert verify(tmp_path / "store") == []


def test_passages_are_the_documents_characters_in_order(recipe, corpus, tmp_path):
    build(recipe, tmp_path / "store")

    texts = {}
    for file in sorted((corpus / "articles").iterdir()):
        texts.update(
            {record["id"]: record["text"] for record in map(json.loads, file.read_text().splitlines())}
        )
    with Datastore.open(tmp_path / "store") as store:
        hits = [hit for hit in store.read_hits(*_all_rows(store)) if hit.source == "articles"]
    assert len({hit.document_id for hit in hits if hit.passage_id.endswith("#1")}) > 30
    for hit in hits:
        assert hit.text in texts[hit.document_id]
        assert hit.title.startswith(f"Article {hit.document_id[1:]} on")
        assert hit.metadata == {"year": 1900 + int(hit.document_id[1:])}
    joined = Counter()
    for hit in hits:
        joined[hit.document_id] += len(hit.text.split())
    assert joined == {name: len(text.split()) for name, text in texts.items() if len(text.split()) >= 9}


def _all_rows(store):
    import numpy as np

    return np.arange(len(store)), np.zeros(len(store), dtype=np.float32)


def test_the_best_hit_is_the_passage_that_says_it(recipe, tmp_path):
    build(recipe, tmp_path / "store")

    with Datastore.open(tmp_path / "store") as store:
        assert (
            store.search("Note 13 says that deserts are well worth seeing", k=1)[0].passage_id
            == "notes/n13#0"
        )


@pytest.mark.parametrize("executor", ["process", "ray"])
def test_all_executors_make_the_same_store(recipe, tmp_path, content_of, executor):
    build(recipe, tmp_path / "serial")

    build(recipe, tmp_path / "other", executor=executor, workers=2)

    assert content_of(tmp_path / "other") == content_of(tmp_path / "serial")


class _Shuffled:
    """Runs tasks in another order than they were given in."""

    in_process = False

    def map(self, function, tasks, *, uses_gpu=False):  # noqa: ARG002 (the signature of executors)
        listed = list(tasks)
        random.Random(len(listed)).shuffle(listed)
        for task in listed:
            yield task, function(task)


def test_the_order_in_which_shards_are_done_does_not_matter(recipe, tmp_path, content_of, monkeypatch):
    near = with_settings(recipe, "deduplicate=near", "chunk.max_tokens=16")
    build(near, tmp_path / "in-order")
    monkeypatch.setattr(sys.modules[build.__module__], "open_executor", lambda *_: nullcontext(_Shuffled()))

    build(near, tmp_path / "shuffled")

    assert content_of(tmp_path / "shuffled") == content_of(tmp_path / "in-order")


def test_a_source_that_mostly_cannot_be_read_stops_the_build(tmp_path):
    lines = [json.dumps({"id": i, "text": "good"}) for i in range(50)] + ["{broken"] * 30
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    source = {"name": "s", "kind": "files", "path": str(tmp_path / "in.jsonl")}
    recipe = make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})

    with pytest.raises(CompendiaError, match=r"30 of 80 records cannot be read \(in\.jsonl:51: invalid_json"):
        build(recipe, tmp_path / "store")

    assert build(with_settings(recipe, "max_failure_share=0.5"), tmp_path / "store").passages == 1


def test_a_misnamed_field_stops_the_build(tmp_path):
    lines = [json.dumps({"id": i, "title": f"Title {i}", "abstract": "good"}) for i in range(30)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    source = {"name": "s", "kind": "files", "path": str(tmp_path / "in.jsonl")}
    recipe = make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})

    message = (
        r"30 of 30 records cannot be read \(in\.jsonl:1: no_field no field text or .* has id, title, abstract"
    )
    with pytest.raises(CompendiaError, match=message):
        build(recipe, tmp_path / "store")


@pytest.mark.parametrize("bad", ["a", "z"])
def test_where_the_records_stand_that_cannot_be_read_does_not_matter(tmp_path, bad):
    """One file in ten is bad: under the share that is allowed, also where it is read first."""
    (tmp_path / "in").mkdir()
    for number in range(1, 10):
        lines = [json.dumps({"text": f"Line {i} of file {number}."}) for i in range(30)]
        (tmp_path / "in" / f"m{number}.jsonl").write_text("\n".join(lines))
    (tmp_path / "in" / f"{bad}.jsonl").write_text("\n".join(['{"text": "broken line"'] * 30))
    recipe = make_recipe(
        {
            "name": "t",
            "sources": [{"name": "s", "kind": "files", "path": str(tmp_path / "in")}],
            "encoder": {"model": "hashing"},
            "shard": {"documents": 30, "characters": 600},
        },
        environment={},
    )

    assert build(recipe, tmp_path / "store").passages == 270
    with pytest.raises(CompendiaError, match="30 of 300 records cannot be read"):
        build(with_settings(recipe, "max_failure_share=0.09"), tmp_path / "strict")


def test_a_source_that_the_rest_would_not_save_is_not_read_to_its_end(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(100):
        (tmp_path / "in" / f"{number:03d}.jsonl").write_text("\n".join(['{"broken'] * 30))
    source = {"name": "s", "kind": "files", "path": str(tmp_path / "in")}
    shard = {"documents": 30, "characters": 200}
    recipe = make_recipe(
        {"name": "t", "sources": [source], "encoder": {"model": "hashing"}, "shard": shard}, environment={}
    )

    # Behind 51 files, all of them broken, 49 come with four times as many records each: 51 of 247 are more than .2.
    with pytest.raises(CompendiaError, match=r"(\d[\d,]*) of \1 records cannot be read"):
        build(recipe, tmp_path / "store")

    read = [
        path for path in (tmp_path / "store" / "work" / "read").iterdir() if not path.name.startswith(".")
    ]
    assert len(read) == 51


def test_a_file_that_could_not_be_opened_is_read_when_it_can_be(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("The first file.")
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "elsewhere.txt")  # a disk that is not mounted
    source = {"name": "s", "kind": "files", "path": str(tmp_path / "in")}
    recipe = make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})
    listed = next(
        unit for task in find_inputs(tmp_path, recipe).tasks for unit in task.units if unit.name == "b.txt"
    )

    def as_listed(config):
        found = inventory(config)
        return found._replace(units=[listed if unit.name == "b.txt" else unit for unit in found.units])

    with pytest.MonkeyPatch.context() as patch:  # its size and time stay what they were: nothing else tells
        patch.setattr(sys.modules[find_inputs.__module__], "inventory", as_listed)
        report = build(recipe, tmp_path / "store")
        assert (report.passages, report.sources["s"].broken) == (1, {"b.txt": "unreadable"})
        assert not build(recipe, tmp_path / "store").changed

        (tmp_path / "elsewhere.txt").write_text("The second file.")
        report = build(recipe, tmp_path / "store")

    assert (report.passages, report.sources["s"].broken) == (2, {})


def archives(folder: Path, count: int) -> Recipe:
    """A recipe over gzipped JSON lines of 500 documents each, and a table that nothing reads."""
    folder.mkdir()
    for number in range(count):
        lines = [json.dumps({"text": f"Line {i} of file {number}."}) for i in range(500)]
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "table.csv").write_text("a,b")
    source = {"name": "s", "kind": "files", "path": str(folder)}
    return make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})


def test_an_archive_that_breaks_off_is_named_and_the_rest_is_built(tmp_path):
    recipe = archives(tmp_path / "in", 2)
    broken = tmp_path / "in" / "1.jsonl.gz"
    broken.write_bytes(broken.read_bytes()[:-500])

    report = build(recipe, tmp_path / "store")

    assert 500 < report.passages < 1_000
    funnel = report.sources["s"]
    assert (funnel.broken, funnel.skipped) == ({"1.jsonl.gz": "broken_archive"}, {".csv": 1})
    (account,) = (tmp_path / "store" / "builds").glob("*.json")
    assert json.loads(account.read_text())["sources"]["s"]["skipped"] == {".csv": 1}
    html = account.with_suffix(".html").read_text()
    assert "1 files are broken or cannot be read:</b> 1.jsonl.gz (broken_archive)" in html
    assert "without a reader: 1 .csv" in html


def test_archives_that_give_nothing_stop_a_build_when_they_are_more_than_one(tmp_path):
    recipe = archives(tmp_path / "in", 5)
    (tmp_path / "in" / "2.jsonl.gz").write_bytes(b"no archive")
    assert build(recipe, tmp_path / "one").passages == 2_000

    (tmp_path / "in" / "4.jsonl.gz").write_bytes(b"no archive")
    for _ in range(2):  # also when all has been read before
        with pytest.raises(CompendiaError, match=r"2 of 5 files are broken or cannot be read \(") as error:
            build(recipe, tmp_path / "two")

    assert "max_failure_share=0.4" in str(error.value)
    assert build(with_settings(recipe, "max_failure_share=0.4"), tmp_path / "two").passages == 1_500


def test_building_again_changes_nothing(recipe, tmp_path, content_of):
    first = build(recipe, tmp_path / "store")
    before = content_of(tmp_path / "store")

    second = build(recipe, tmp_path / "store")

    assert (first.changed, second.changed, second.version) == (True, False, 1)
    assert content_of(tmp_path / "store") == before


def test_a_new_file_makes_a_new_version_and_embeds_only_what_is_new(recipe, corpus, tmp_path, jsonl):
    build(recipe, tmp_path / "store")
    before = {
        folder.name: folder.stat().st_mtime_ns for folder in (tmp_path / "store" / "segments").iterdir()
    }
    jsonl(
        corpus / "articles" / "part-9.jsonl",
        [{"id": "new", "text": "A new article about the moons of distant planets, at last."}],
    )

    report = build(recipe, tmp_path / "store")

    after = {folder.name: folder.stat().st_mtime_ns for folder in (tmp_path / "store" / "segments").iterdir()}
    assert (report.version, report.changed, report.sources["articles"].documents) == (2, True, 119)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    with Datastore.open(tmp_path / "store") as store:
        assert store.search("moons of distant planets", k=1)[0].document_id == "new"


def test_another_recipe_for_the_same_store_is_refused_and_names_what_changed(recipe, tmp_path):
    build(recipe, tmp_path / "store")
    other = with_settings(recipe, "chunk.with_title=false", "filters.length.min_words=3")

    with pytest.raises(UsageError, match=r"changed: chunk\.with_title, filters\.length\.min_words") as error:
        build(other, tmp_path / "store")

    assert "--replace" in str(error.value)
    report = build(other, tmp_path / "store", replace=True)
    assert (report.version, report.sources["articles"].documents) == (2, 120)
    assert report.recipe_changes == ["chunk.with_title", "filters.length.min_words"]


def test_where_the_input_lies_is_not_part_of_the_recipe(recipe, corpus, tmp_path):
    build(recipe, tmp_path / "store")
    shutil.copytree(corpus, tmp_path / "moved")

    report = build(recipe.model_copy(update={"root": tmp_path / "moved"}), tmp_path / "store")

    assert not report.changed


def test_ids_repeat_within_a_source_but_not_across(tmp_path, jsonl):
    jsonl(
        tmp_path / "a.jsonl",
        [
            {"id": "x", "text": "first text"},
            {"id": "X", "text": "other case"},
            {"id": "x", "text": "second text"},
        ],
    )
    jsonl(tmp_path / "b.jsonl", [{"id": "x", "text": "third text"}])
    sources = [{"name": name, "kind": "files", "path": str(tmp_path / f"{name}.jsonl")} for name in "ab"]
    recipe = make_recipe({"name": "t", "sources": sources, "encoder": {"model": "hashing"}}, environment={})

    report = build(recipe, tmp_path / "store")

    assert report.sources["a"].dropped == {"repeated_id": 1}
    with Datastore.open(tmp_path / "store") as store:
        assert store.read_column("passage_id") == ["a/x#0", "a/X#0", "b/x#0"]
        assert store.read_column("text") == ["first text", "other case", "third text"]
        (reject,) = read_rejects(store)
    assert reject == {
        "source": "a",
        "reason": "repeated_id",
        "location": "a.jsonl:3",
        "document_id": "x",
        "detail": "another text of the same id is a.jsonl:1",
        "sample": "second text",
    }


def test_files_that_number_their_records_each_from_the_start(tmp_path, jsonl):
    for name in "ab":
        records = [{"id": i, "text": f"Record {i} of file {name}."} for i in range(30)]
        jsonl(tmp_path / "in" / f"{name}.jsonl", [*records, {"text": f"One without id in {name}."}])
    recipe = make_recipe(
        {
            "name": "t",
            "sources": [{"name": "s", "kind": "files", "path": str(tmp_path / "in")}],
            "encoder": {"model": "hashing"},
        },
        environment={},
    )

    with pytest.raises(CompendiaError, match="30 of 62 documents have the id of another one") as error:
        build(recipe, tmp_path / "store")
    assert "--set sources.s.ids=file" in str(error.value)

    report = build(with_settings(recipe, "sources.s.ids=file"), tmp_path / "store")
    assert (report.passages, report.sources["s"].dropped) == (62, {})
    with Datastore.open(tmp_path / "store") as store:
        ids = {*store.read_column("document_id")}
    assert {"a.jsonl/7", "b.jsonl/7", "a.jsonl:31", "b.jsonl:31"} <= ids


def test_duplicates_stay_when_the_recipe_says_so(recipe, tmp_path):
    report = build(with_settings(recipe, "deduplicate=none"), tmp_path / "store")

    assert report.sources["notes"].dropped == {"too_short": 1}


def test_a_limit_holds_over_all_files_of_a_source(recipe, tmp_path):
    report = build(with_settings(recipe, "sources.articles.limit=50"), tmp_path / "store")

    # Of the first 50 one is too short.
    articles = report.sources["articles"]
    assert (articles.documents, articles.dropped) == (49, {"beyond_limit": 70, "too_short": 1})


def test_document_mode_counts_what_the_encoder_does_not_read(recipe, tmp_path):
    report = build(with_settings(recipe, "chunk.mode=document"), tmp_path / "store")

    articles = report.sources["articles"]
    assert articles.passages == articles.documents == 118
    # Titles have 4 words and stand before 8 (1 + i % 60) words; the encoder reads 64.
    assert articles.unread_tokens == sum(max(0, 4 + 8 * (1 + i % 60) - 64) for i in range(120))


def test_nothing_left_is_an_error_that_says_why_and_leaves_no_version(tmp_path, jsonl):
    jsonl(tmp_path / "in.jsonl", [{"id": 1, "text": "two words"}, {"id": 2}])
    source = {"name": "s", "kind": "files", "path": str(tmp_path / "in.jsonl")}
    recipe = make_recipe(
        {
            "name": "t",
            "sources": [source],
            "filters": {"length": {"min_words": 5}},
            "encoder": {"model": "hashing"},
        },
        environment={},
    )

    with pytest.raises(
        CompendiaError,
        match=r"no passage is left of 2 records \((too_short 1, no_field 1|no_field 1, too_short 1)\)",
    ):
        build(recipe, tmp_path / "store")

    assert not (tmp_path / "store" / "CURRENT").exists()


def test_a_folder_that_is_something_else_is_not_built_into(recipe, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")

    with pytest.raises(UsageError, match=r"is not a datastore and not empty \(thesis.tex"):
        build(recipe, tmp_path / "home")


def test_two_writers_at_once_are_refused(recipe, tmp_path):
    build(recipe, tmp_path / "store")

    with writer_lock(tmp_path / "store"), pytest.raises(CompendiaError, match="another process is writing"):
        build(recipe, tmp_path / "store")


def test_without_a_folder_for_the_store(recipe):
    with pytest.raises(UsageError, match="where should the store go"):
        build(recipe)


def test_info_of_a_built_store(recipe, tmp_path):
    report = build(recipe, tmp_path / "store")

    with Datastore.open(tmp_path / "store") as store:
        info = describe(store)
    assert info["sources"]["notes"] == {
        "records": 30,
        "dropped": {"exact_duplicate": 9, "too_short": 1},
        "documents": 20,
        "passages": report.sources["notes"].passages,
    }
    assert info["build"]["executor"] == "serial"


def test_many_small_files_share_segments_and_a_new_one_changes_few(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(600):
        (folder / f"note-{number:04d}.txt").write_text(f"Note {number} about the weather on day {number}.")
    source = {"name": "notes", "kind": "files", "path": str(folder)}
    recipe = make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})
    build(recipe, tmp_path / "store")
    before = {path.name for path in (tmp_path / "store" / "segments").iterdir()}
    (folder / "note-0000-b.txt").write_text("A note that was forgotten.")

    report = build(recipe, tmp_path / "store")

    after = {path.name for path in (tmp_path / "store" / "segments").iterdir()}
    assert 1 < len(before) < 20
    assert report.sources["notes"].documents == 601
    assert len(after - before) == 1


@pytest.mark.parametrize("damage", ["remove", "cut", "flip"])
def test_what_is_damaged_is_made_again(recipe, tmp_path, content_of, damage):
    build(with_settings(recipe, "chunk.max_tokens=16"), tmp_path / "store")
    before = content_of(tmp_path / "store")
    for name in ("vectors.npy", "codes.*"):
        (file, *_) = sorted((tmp_path / "store").rglob(name))
        data = bytearray(file.read_bytes())
        if damage == "remove":
            shutil.rmtree(file.parent)
        elif damage == "cut":
            file.write_bytes(data[:-3])
        else:
            data[len(data) // 2] ^= 4
            file.write_bytes(data)

    report = build(with_settings(recipe, "chunk.max_tokens=16"), tmp_path / "store", repair=damage == "flip")

    assert (report.changed, report.version) == (False, 1)
    assert content_of(tmp_path / "store") == before
    assert verify(tmp_path / "store") == []


def test_a_lost_account_is_written_again(recipe, tmp_path):
    build(recipe, tmp_path / "store")
    (account,) = (tmp_path / "store" / "builds").glob("*[0-9a-f].json")
    account.write_text("{")

    with pytest.raises(UsageError, match="changed: unknown"):
        build(with_settings(recipe, "chunk.with_title=false"), tmp_path / "store")
    build(recipe, tmp_path / "store")

    assert json.loads(account.read_text())["sources"]["articles"]["documents"] == 118


def test_a_store_inside_its_source_is_not_read(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "tea.txt").write_text("Green tea.")
    source = {"name": "notes", "kind": "files", "path": str(tmp_path / "notes")}
    recipe = make_recipe({"name": "t", "sources": [source], "encoder": {"model": "hashing"}}, environment={})
    build(recipe, tmp_path / "notes" / "store")

    assert not build(recipe, tmp_path / "notes" / "store").changed
