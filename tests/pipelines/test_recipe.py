from __future__ import annotations

import pytest
from pydantic import ValidationError

from datastore import NotFoundError, UsageError
from pipelines import Recipe, load_recipe, make_recipe

MINIMAL = {"name": "r", "sources": [{"name": "a", "kind": "files", "path": "in"}]}


def made(*settings: str, environment: dict[str, str] | None = None) -> Recipe:
    return make_recipe({**MINIMAL, "sources": [dict(MINIMAL["sources"][0])]}, settings, environment or {})


def test_the_file_gives_way_to_the_environment_and_that_to_settings(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: r\nsources: [{name: a, kind: files, path: in}]\nencoder: {model: one, batch_size: 4, dtype: float16}\n"
    )
    environment = {"COMPENDIA__ENCODER__MODEL": "two", "COMPENDIA__ENCODER__DTYPE": "bfloat16", "OTHER": "x"}

    recipe = load_recipe(path, ["encoder.model=three"], environment)

    assert (recipe.encoder.model, recipe.encoder.dtype, recipe.encoder.batch_size) == ("three", "bfloat16", 4)


def test_settings_reach_into_sources_by_name_or_number():
    recipe = made("sources.a.limit=7", "sources.0.path=elsewhere", "filters.length.min_words=5")

    assert (recipe.sources[0].limit, recipe.sources[0].path, recipe.filters.length.min_words) == (
        7,
        "elsewhere",
        5,
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("encodr.model=x", "unknown key 'encodr': did you mean \"encoder\"?"),
        ("encoder.modle=x", "unknown key 'encoder.modle': did you mean \"model\"?"),
        ("filters.length.minwords=3", 'did you mean "min_words"?'),
        ("sources.a.pth=x", 'did you mean "path"?'),
        ("sources.b.path=x", "names no item 'b'"),
        (
            "filters.length.min_words=0",
            "filters.length.min_words: Input should be greater than or equal to 1, got 0",
        ),
        ("filters.length={min_words: 9, max_words: 3}", "max_words 3 is below min_words 9"),
        ("encoder.dtype=int8", "encoder.dtype"),
        ("deduplicate=fuzzy", "deduplicate"),
        ("name=../up", "name"),
        ("sources=[]", "sources"),
        ("chunk", "cannot read the setting 'chunk'"),
        ("name.x=1", "does not name a key"),
        ("deduplicate.min_jaccard=0.9", 'did you mean "near_duplicates.min_jaccard"?'),
        ("chunk.max_tokens=[", "is not YAML"),
    ],
)
def test_what_a_recipe_cannot_say(setting, message):
    with pytest.raises(UsageError) as error:
        made(setting)

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "files", "path": ".", "split_bytes": 0}, "sources.0.split_bytes: Input should be greater"),
        ({"kind": "files"}, "sources.0.path is missing"),
        ({"kind": "files", "path": ".", "pth": 1}, "unknown key 'sources.0.pth': did you mean \"path\"?"),
        ({"path": "."}, "sources.0.kind is missing, and must be one of 'files', 'huggingface', 'pydoc'"),
        ({"kind": "fils"}, "sources.0.kind is 'fils', and must be one of 'files', 'huggingface', 'pydoc'"),
    ],
)
def test_a_mistake_in_a_source_is_one_line_with_the_key_as_it_is_written(source, message):
    with pytest.raises(UsageError) as error:
        make_recipe({"name": "r", "sources": [{"name": "a", **source}]}, environment={})

    (line,) = error.value.message.splitlines()
    assert line.startswith(f"recipe: {message}")


def test_no_source_at_all_is_said():
    with pytest.raises(UsageError, match="sources: Tuple should have at least 1 item"):
        make_recipe({"name": "r", "sources": []}, environment={})


def test_sources_of_one_name_are_refused():
    with pytest.raises(UsageError, match="source names must differ, got a, a"):
        make_recipe({"name": "r", "sources": MINIMAL["sources"] * 2}, environment={})


def test_files_that_are_no_recipe(tmp_path):
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("a: [")

    with pytest.raises(UsageError, match="is not a recipe: expected keys and values, got list"):
        load_recipe(tmp_path / "list.yaml")
    with pytest.raises(UsageError, match="is not YAML"):
        load_recipe(tmp_path / "broken.yaml")
    with pytest.raises(NotFoundError, match="there is no recipe"):
        load_recipe(tmp_path / "absent.yaml")


def test_a_recipe_is_frozen_and_its_hash_is_what_it_says():
    recipe = made()

    with pytest.raises(ValidationError):
        recipe.name = "other"  # type: ignore[misc]
    assert recipe.hash() == made("out=somewhere", "root=/elsewhere").hash()
    assert recipe.hash() != made("chunk.with_title=false").hash()
