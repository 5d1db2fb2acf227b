from __future__ import annotations

import pytest
import yaml

from datastore.errors import UsageError
from pipelines.filters.c4 import C4Filter
from pipelines.filters.fineweb_quality import FineWebQualityFilter
from pipelines.filters.gopher_quality import GopherQualityFilter
from pipelines.filters.gopher_repetition import GopherRepetitionFilter
from pipelines.filters.presets import _FOLDER, preset, preset_names

FAMILIES = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": C4Filter,
    "fineweb_quality": FineWebQualityFilter,
}


def test_presets_are_named_by_version() -> None:
    assert preset_names() == ["c4-1", "fineweb-1", "gopher-1"]


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_states_every_number_itself(name: str) -> None:
    """So that a changed default of the code changes no preset."""
    for family, fields in preset(name).items():
        assert set(fields) == set(FAMILIES[family].model_fields)
        FAMILIES[family].model_validate(fields)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_where_its_numbers_are_from(name: str) -> None:
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert content["source"]
    assert content["url"].startswith("https://")


def test_fineweb_keeps_lines_without_terminal_punctuation_and_is_else_the_defaults() -> None:
    section = preset("fineweb-1")
    assert list(section) == list(FAMILIES)
    assert C4Filter(**section["c4"]) == C4Filter(remove_unpunctuated_lines=False)
    for name in ("gopher_repetition", "gopher_quality", "fineweb_quality"):
        assert FAMILIES[name](**section[name]) == FAMILIES[name]()


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="fineweb-1"):
        preset("fineweb")
