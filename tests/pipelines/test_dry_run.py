from __future__ import annotations

from pathlib import Path

import pytest

from datastore import CompendiaError, UsageError
from eval.questions import parse_questions
from pipelines import Recipe, build, dry_run, make_recipe
from pipelines.dry_run_sample import read_sample
from pipelines.sources import inventory


def recipe_of(folder: Path, **more) -> Recipe:
    source = {"name": "s", "kind": "files", "path": str(folder)}
    return make_recipe(
        {"name": "t", "sources": [source], "encoder": {"model": "hashing"}, **more}, environment={}
    )


def write_notes(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        words = 20_000 if number == 77 else 5 + number % 20
        (folder / f"{number:03d}.txt").write_text(
            " ".join(f"word{number * 50 + i % 3000}" for i in range(words))
        )


def test_files_of_one_document_each_are_counted_whatever_their_size(tmp_path):
    write_notes(tmp_path / "in", 200)

    (source,) = dry_run(recipe_of(tmp_path / "in"), None).sources

    assert (source.documents, source.passages) == (200, 200)


def test_of_a_stack_exchange_dump_the_first_rows_are_read_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.dry_run_sample._HEAD_BYTES", 20_000)
    rows = [
        f'<row Id="{number}" PostTypeId="1" Score="1" Title="Q {number}" Body="&lt;p&gt;Why {number}?&lt;/p&gt;" />'
        for number in range(3000, 0, -1)
    ]
    (tmp_path / "Posts.xml").write_text("<posts>\n" + "\n".join(rows) + "\n</posts>")
    recipe = recipe_of(tmp_path / "Posts.xml")
    (source,) = recipe.rooted_sources()

    sample = read_sample(source, inventory(source).units)

    # All in order would begin with 1, which stands last.
    assert min(int(document.id.rpartition("/")[2]) for document in sample.documents) > 2500
    (plan,) = dry_run(recipe, None).sources
    assert plan.documents is not None
    assert 2800 < plan.documents < 3200


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"decontaminate": {"questions": ["no.jsonl"]}}, "there are no questions at no.jsonl"),
        (
            {"filters": {"quality": {"model": "/no.safetensors"}}},
            "quality model /no.safetensors cannot be read",
        ),
        ({"filters": {"url": {"domains": "/no.txt"}}}, "the block list /no.txt cannot be read"),
        ({"exact_encoder": {"model": "hashing", "dimension": 7}}, "hashing has 256 dimensions, not 7"),
    ],
)
def test_what_a_recipe_names_is_looked_for_before_anything_is_read(tmp_path, more, message):
    write_notes(tmp_path / "in", 3)
    recipe = recipe_of(tmp_path / "in", **more)

    def questions():
        for name in recipe.decontaminate.questions if recipe.decontaminate else ():
            yield from parse_questions(name)

    assert any(message in fault for fault in dry_run(recipe, None, questions()).faults)
    with pytest.raises(CompendiaError) as error:
        build(recipe, tmp_path / "store", questions=questions())
    assert message in str(error.value)
    assert not [*(tmp_path / "store").glob("work/read/*")]


def test_an_encoder_with_another_dimension_is_named_as_that(tmp_path):
    write_notes(tmp_path / "in", 3)

    plan = dry_run(recipe_of(tmp_path / "in", encoder={"model": "hashing", "dimension": 128}), None)

    assert plan.sources[0].basis == "the encoder hashing has 256 dimensions, not 128"
    assert plan.dimension is None
    assert len(plan.faults) == 1


def test_what_vanished_is_known_after_a_build_that_was_refused(tmp_path):
    write_notes(tmp_path / "in", 10)
    recipe = recipe_of(tmp_path / "in")
    build(recipe, tmp_path / "store")
    for number in range(5):
        (tmp_path / "in" / f"{number:03d}.txt").unlink()
    with pytest.raises(UsageError, match="is not there any more"):
        build(recipe, tmp_path / "store")

    assert dry_run(recipe, tmp_path / "store").vanished == 5


def test_a_store_of_another_recipe_is_named_before_it_is_refused(tmp_path):
    write_notes(tmp_path / "in", 3)
    build(recipe_of(tmp_path / "in"), tmp_path / "store")
    other = recipe_of(tmp_path / "in", chunk={"max_tokens": 16})

    (fault,) = dry_run(other, tmp_path / "store").faults

    assert "was built from another recipe; changed: chunk.max_tokens" in fault
    assert dry_run(other, tmp_path / "store", replace=True).faults == []
    assert "not a datastore and not empty" in dry_run(other, tmp_path / "in").faults[0]
