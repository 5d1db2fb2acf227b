"""A build onto an existing store ends with the passages of a fresh build, and embeds only what is new."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path

import pytest

from datastore import Datastore, NotFoundError, UsageError, verify
from pipelines import Recipe, build, make_recipe, refilter
from pipelines.stages import embed


@pytest.fixture
def embedded(monkeypatch) -> list[str]:
    """The encoder's inputs, as they are embedded."""
    seen: list[str] = []
    load = embed.load_encoder

    class Counting:
        def __init__(self, encoder):
            self._encoder = encoder

        def encode_passages(self, inputs, **options):
            seen.extend(inputs)
            return self._encoder.encode_passages(inputs, **options)

    monkeypatch.setattr(embed, "load_encoder", lambda config: Counting(load(config)))
    return seen


def passages(path: Path) -> set[tuple[str, str, str, str]]:
    with Datastore.open(path) as store:
        return {
            (passage.passage_id, passage.title, passage.text, json.dumps(passage.metadata, sort_keys=True))
            for _, passage in store.snapshot.catalog.read_passages()
        }


def vectors_by_id(path: Path) -> dict[str, bytes]:
    with Datastore.open(path) as store:
        rows = [(row, passage.passage_id) for row, passage in store.snapshot.catalog.read_passages()]
        return {name: store.read_vectors([row]).tobytes() for row, name in rows}


def folder_recipe(folder: Path, **more) -> Recipe:
    source = {"name": "notes", "kind": "files", "path": str(folder)}
    return make_recipe(
        {"name": "t", "sources": [source], "encoder": {"model": "hashing"}, **more}, environment={}
    )


def write_notes(folder: Path, count: int = 30) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"note-{number:02d}.txt").write_text(
            f"Note {number} tells about the weather of day {number}."
        )


def same_as_fresh(recipe: Recipe, store: Path, fresh: Path) -> None:
    build(recipe, fresh)
    assert passages(store) == passages(fresh)
    assert vectors_by_id(store) == vectors_by_id(fresh)
    assert verify(store) == []


def test_new_changed_and_vanished_files(tmp_path, embedded):
    notes = tmp_path / "notes"
    write_notes(notes)
    recipe = folder_recipe(notes)
    build(recipe, tmp_path / "store")
    embedded.clear()
    (notes / "note-03.txt").write_text("Note 3 was wrong about the weather.")
    (notes / "note-07.txt").unlink()
    (notes / "note-99.txt").write_text("A late note about snow.")

    report = build(recipe, tmp_path / "store")

    assert report.sources["notes"].changes == {"new": 1, "changed": 1, "vanished": 1, "unchanged": 28}
    assert report.input_changes == {
        "new": ["notes/note-99.txt"],
        "changed": ["notes/note-03.txt"],
        "gone": ["notes/note-07.txt"],
    }
    assert report.recipe_changes == []
    assert sorted(text.partition("\n")[2] for text in embedded) == [
        "A late note about snow.",
        "Note 3 was wrong about the weather.",
    ]
    assert {name for name, *_ in passages(tmp_path / "store") if "07" in name} == {"notes/note-07.txt#0"}

    build(recipe, tmp_path / "store", prune_missing=True)

    assert len(embedded) == 2
    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")


def test_a_renamed_file_is_there_once(tmp_path):
    notes = tmp_path / "notes"
    write_notes(notes)
    recipe = folder_recipe(notes)
    build(recipe, tmp_path / "store")
    (notes / "note-04.txt").rename(notes / "renamed.txt")

    report = build(recipe, tmp_path / "store")

    assert report.sources["notes"].changes == {"new": 1, "removed": 1, "unchanged": 29}
    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")


def test_two_equal_files_of_which_the_first_goes(tmp_path):
    notes = tmp_path / "notes"
    write_notes(notes)
    (notes / "copy.txt").write_text("NOTE 5 tells about the weather of day 5.")
    recipe = folder_recipe(notes)
    build(recipe, tmp_path / "store")
    assert "notes/note-05.txt#0" not in {name for name, *_ in passages(tmp_path / "store")}
    (notes / "copy.txt").unlink()

    build(recipe, tmp_path / "store")

    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")
    assert "notes/note-05.txt#0" in {name for name, *_ in passages(tmp_path / "store")}


@pytest.mark.parametrize("how", ["removed", "overwritten"])
def test_a_source_that_holds_the_texts_of_another_vanishes_like_any(tmp_path, how):
    """Its texts are in the other as before: none of its files was renamed."""
    for name in ("notes", "mirror"):
        write_notes(tmp_path / name)
    sources = [{"name": name, "kind": "files", "path": str(tmp_path / name)} for name in ("notes", "mirror")]
    recipe = make_recipe(
        {"name": "t", "sources": sources, "deduplicate": "none", "encoder": {"model": "hashing"}},
        environment={},
    )
    build(recipe, tmp_path / "store")
    before = passages(tmp_path / "store")
    mirror = tmp_path / "mirror"
    if how == "overwritten":  # a file moved onto another: its text is where it was not
        (mirror / "note-03.txt").replace(mirror / "note-04.txt")
        build(recipe, tmp_path / "store")
        assert len(passages(tmp_path / "store")) == 59
        same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")
        return
    for number in range(1, 30):
        (mirror / f"note-{number:02d}.txt").unlink()

    with pytest.raises(UsageError, match="the input of 29 of 60 documents is not there any more"):
        build(recipe, tmp_path / "store")
    assert passages(tmp_path / "store") == before


def test_a_touched_file_changes_nothing(tmp_path, embedded):
    notes = tmp_path / "notes"
    write_notes(notes)
    build(folder_recipe(notes), tmp_path / "store")
    embedded.clear()
    (notes / "note-04.txt").touch()

    report = build(folder_recipe(notes), tmp_path / "store")

    assert (report.changed, embedded) == (False, [])


def test_input_that_is_mostly_gone_is_refused(tmp_path):
    notes = tmp_path / "notes"
    write_notes(notes)
    build(folder_recipe(notes), tmp_path / "store")
    before = passages(tmp_path / "store")
    for number in range(10):
        (notes / f"note-{number:02d}.txt").unlink()

    with pytest.raises(UsageError, match="10 of 30 documents is not there any more") as error:
        build(folder_recipe(notes), tmp_path / "store")

    assert "--prune-missing" in str(error.value)
    assert passages(tmp_path / "store") == before
    build(folder_recipe(notes), tmp_path / "store", prune_missing=True)
    assert len(passages(tmp_path / "store")) == 20


def test_a_record_that_left_its_file_is_deleted(tmp_path, jsonl):
    records = [{"id": i, "text": f"Record {i} about rivers and lakes."} for i in range(10)]
    jsonl(tmp_path / "in" / "a.jsonl", records)
    recipe = folder_recipe(tmp_path / "in")
    build(recipe, tmp_path / "store")
    jsonl(
        tmp_path / "in" / "a.jsonl",
        [{**record, "year": 1} if record["id"] == 2 else record for record in records[:8]],
    )

    report = build(recipe, tmp_path / "store")

    assert report.sources["notes"].changes == {"removed": 2, "changed": 1, "unchanged": 7}
    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")


def write_archive(path: Path, count: int) -> bytes:
    """JSON lines that compress badly: a part of the archive holds a part of the documents."""
    words = random.Random(0)
    lines = [
        json.dumps({"id": i, "text": f"Record {i}: {words.getrandbits(2000)}" + " long" * (i % 2)})
        for i in range(count)
    ]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path.read_bytes()


@pytest.mark.parametrize("left", [0, 3_000])
def test_an_archive_that_is_cut_or_emptied_loses_no_documents(tmp_path, left):
    folder = tmp_path / "in"
    write_notes(folder, 4)
    whole = write_archive(folder / "big.jsonl.gz", 100)
    recipe = folder_recipe(folder, max_failure_share=1)
    build(recipe, tmp_path / "store")
    before = passages(tmp_path / "store")
    (folder / "big.jsonl.gz").write_bytes(whole[:left])

    with pytest.raises(
        UsageError, match=r"of 104 documents is not there.*broken or empty now: notes/big"
    ) as error:
        build(recipe, tmp_path / "store")

    assert "--prune-missing" in str(error.value)
    assert passages(tmp_path / "store") == before
    (folder / "big.jsonl.gz").write_bytes(whole)
    assert not build(recipe, tmp_path / "store").changed
    (folder / "big.jsonl.gz").write_bytes(whole[:left])
    build(recipe, tmp_path / "store", prune_missing=True)
    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")


def test_small_files_that_are_cut_or_emptied_stay_and_are_counted(tmp_path, jsonl):
    folder = tmp_path / "in"
    write_notes(folder, 40)
    jsonl(folder / "a.jsonl", [{"id": i, "text": f"Record {i} is about rivers."} for i in range(3)])
    recipe = folder_recipe(folder)
    build(recipe, tmp_path / "store")
    before = passages(tmp_path / "store")
    text = (folder / "a.jsonl").read_text()
    (folder / "a.jsonl").write_text(text[: len(text) // 2])  # in the middle of the second line
    (folder / "note-05.txt").write_text("")
    (folder / "note-06.txt").write_bytes(b"caf\xe9")

    report = build(recipe, tmp_path / "store")

    assert report.sources["notes"].changes == {"vanished": 4, "unchanged": 39}
    assert passages(tmp_path / "store") == before
    assert report.sources["notes"].broken == {"note-06.txt": "invalid_utf8"}
    (folder / "a.jsonl").write_text(text.splitlines()[0])  # whole again, with two records less
    assert build(recipe, tmp_path / "store").sources["notes"].changes["removed"] == 2


def test_what_was_read_of_a_broken_archive_is_still_filtered(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    whole = write_archive(folder / "big.jsonl.gz", 100)
    (folder / "big.jsonl.gz").write_bytes(whole[:-100])
    recipe = folder_recipe(folder, max_failure_share=1)
    kept = build(recipe, tmp_path / "store").sources["notes"].documents

    report = refilter(tmp_path / "store", ["filters.length.max_words=3"])

    assert report.sources["notes"].changes == {"removed": kept // 2, "unchanged": kept - kept // 2}


@pytest.mark.parametrize("keep", ["stages", "scores", "none"])
@pytest.mark.parametrize("seed", [0, 1])
def test_any_sequence_of_changes_ends_with_the_passages_of_a_fresh_build(tmp_path, keep, seed):
    random_ = random.Random(seed)
    notes = tmp_path / "notes"
    write_notes(notes, 60)
    recipe = folder_recipe(notes, shard={"documents": 7}, deduplicate="near")
    for _ in range(4):
        build(recipe, tmp_path / "store", prune_missing=True, keep=keep)
        files = sorted(notes.iterdir())
        for file in random_.sample(files, 6):
            match random_.randrange(4):
                case 0:
                    file.unlink()
                case 1:
                    file.rename(notes / f"moved-{random_.randrange(10**6)}.txt")
                case 2:
                    shutil.copy(file, notes / f"copy-{random_.randrange(10**6)}.txt")
                case _:
                    file.write_text(f"Rewritten {random_.randrange(10**6)}.")

    build(recipe, tmp_path / "store", prune_missing=True, keep=keep)

    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")


def graded(folder: Path, jsonl) -> None:
    """Documents of 5 to 40 words, some of them copies of shorter and longer ones."""
    words = [f"word{number}" for number in range(400)]
    records = []
    for number in range(80):
        text = " ".join(words[number : number + 5 + number % 36])
        records.append({"id": f"d{number}", "text": text})
        if number % 4 == 0:
            records.append({"id": f"c{number}", "text": text.upper()})
    jsonl(folder / "a.jsonl", records)


@pytest.mark.parametrize(
    ("deduplicate", "keep"), [("exact", "stages"), ("exact", "scores"), ("near", "stages")]
)
def test_refilter_has_the_passages_of_a_fresh_build_in_both_directions(
    tmp_path, jsonl, embedded, keep, deduplicate
):
    graded(tmp_path / "in", jsonl)
    loose = folder_recipe(tmp_path / "in", deduplicate=deduplicate)
    strict = folder_recipe(
        tmp_path / "in", deduplicate=deduplicate, filters={"length": {"min_words": 15, "max_words": 30}}
    )
    build(loose, tmp_path / "store", keep=keep)
    build(strict, tmp_path / "strict")
    build(loose, tmp_path / "loose")
    shutil.rmtree(tmp_path / "in")
    embedded.clear()

    report = refilter(tmp_path / "store", ["filters.length.min_words=15", "filters.length.max_words=30"])

    # A copy of a document that fell out comes back in its place.
    back_again = passages(tmp_path / "strict") - passages(tmp_path / "loose")
    assert (report.version, len(embedded)) == (2, len(back_again))
    assert bool(back_again) == (deduplicate == "near")
    assert passages(tmp_path / "store") == passages(tmp_path / "strict")
    assert verify(tmp_path / "store") == []

    back = ["filters.length.min_words=1", "filters.length.max_words=null"]
    if keep == "scores":
        gone = len(passages(tmp_path / "loose")) - len(passages(tmp_path / "strict"))
        with pytest.raises(UsageError, match=f"needs the texts of {gone} documents, which were not kept"):
            refilter(tmp_path / "store", back)
        assert passages(tmp_path / "store") == passages(tmp_path / "strict")
    else:
        refilter(tmp_path / "store", back)
        assert passages(tmp_path / "store") == passages(tmp_path / "loose")
        assert len(embedded) == len(back_again) + len(
            passages(tmp_path / "loose") - passages(tmp_path / "strict")
        )


def test_refilter_then_build_with_the_same_recipe_changes_nothing(tmp_path, jsonl):
    graded(tmp_path / "in", jsonl)
    build(folder_recipe(tmp_path / "in"), tmp_path / "store")
    refilter(tmp_path / "store", ["filters.length.min_words=15"])

    report = build(folder_recipe(tmp_path / "in", filters={"length": {"min_words": 15}}), tmp_path / "store")

    assert not report.changed


@pytest.mark.parametrize("change", ["add", "delete"])
def test_refilter_leaves_what_was_changed_by_hand(tmp_path, change):
    write_notes(tmp_path / "notes")
    build(folder_recipe(tmp_path / "notes"), tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        if change == "add":
            store.add(texts=["written by hand"], ids=["hand"])
        else:
            store.delete(ids=[store.read_column("passage_id")[0]])
    before = passages(tmp_path / "store")

    with pytest.raises(UsageError, match="was changed by hand"):
        refilter(tmp_path / "store", ["filters.length.min_words=2"])

    assert passages(tmp_path / "store") == before


def test_refilter_after_a_rollback_decides_about_the_inputs_of_that_version(tmp_path):
    notes = tmp_path / "notes"
    write_notes(notes)
    build(folder_recipe(notes), tmp_path / "store")
    first = passages(tmp_path / "store")
    (notes / "note-99.txt").write_text("A late note, which the first version has not.")
    build(folder_recipe(notes), tmp_path / "store")
    with Datastore.open(tmp_path / "store") as store:
        store.rollback(1)

    with pytest.raises(UsageError, match="are those of another build"):
        refilter(tmp_path / "store", ["filters.length.min_words=2"])
    assert passages(tmp_path / "store") == first

    (notes / "note-99.txt").unlink()
    build(folder_recipe(notes), tmp_path / "store")
    refilter(tmp_path / "store", ["filters.length.min_words=2"])
    with Datastore.open(tmp_path / "store") as store:
        store.rollback(1)
    refilter(
        tmp_path / "store", ["filters.length.min_words=3"]
    )  # of the same inputs: nothing speaks against it
    assert passages(tmp_path / "store") == first


def test_refilter_keeps_what_vanished_whatever_share_of_the_rest_that_comes_to(tmp_path):
    notes = tmp_path / "notes"
    write_notes(notes)
    for number in range(5):
        (notes / f"long-{number}.txt").write_text(
            f"A long note {number} " + "about the weather of all days " * 3
        )
    build(folder_recipe(notes), tmp_path / "store")
    for number in range(5):
        (notes / f"long-{number}.txt").unlink()
    build(folder_recipe(notes), tmp_path / "store")
    assert len(passages(tmp_path / "store")) == 35

    report = refilter(tmp_path / "store", ["filters.length.min_words=10"])

    assert (report.passages, report.sources["notes"].changes["vanished"]) == (5, 5)


def test_refilter_refuses_what_is_no_filter(tmp_path, jsonl):
    graded(tmp_path / "in", jsonl)
    build(folder_recipe(tmp_path / "in"), tmp_path / "store")

    with pytest.raises(UsageError, match=r"not chunk\.max_tokens"):
        refilter(tmp_path / "store", ["chunk.max_tokens=16"])
    build(folder_recipe(tmp_path / "in"), tmp_path / "store", keep="none")
    with pytest.raises(NotFoundError, match="kept neither texts nor scores"):
        refilter(tmp_path / "store", ["filters.length.min_words=15"])


@pytest.mark.parametrize("how", ["pruned and restored", "changed and changed back"])
def test_what_comes_back_as_it_was_is_there_again(tmp_path, jsonl, how):
    """Its segment has the name that it had, and is still in the version, with all of its rows deleted."""
    for name in "abcd":
        jsonl(tmp_path / "in" / f"{name}.jsonl", [{"id": name, "text": f"The only document of file {name}."}])
    recipe = folder_recipe(tmp_path / "in", shard={"documents": 1})
    build(recipe, tmp_path / "store")
    file = tmp_path / "in" / "b.jsonl"
    before = file.read_text()
    if how == "pruned and restored":
        file.unlink()
    else:
        jsonl(file, [{"id": "b", "text": "Something else."}])
    build(recipe, tmp_path / "store", prune_missing=True)
    file.write_text(before)

    build(recipe, tmp_path / "store")

    assert len(passages(tmp_path / "store")) == 4
    same_as_fresh(recipe, tmp_path / "store", tmp_path / "fresh")
