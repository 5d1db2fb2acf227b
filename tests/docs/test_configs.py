from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import load_recipe

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_recipe_loads_and_says_what_it_is_for(path):
    recipe = load_recipe(path, environment={})

    assert recipe.name == path.stem
    assert recipe.out == Path("stores") / path.stem
    assert path.read_text().startswith("# ")


def test_there_are_recipes():
    assert len(CONFIGS) >= 2
