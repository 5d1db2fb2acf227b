"""Filter sets with published numbers: named, versioned data, so that a name means the same numbers for good."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from datastore.errors import UsageError, nearest

_FOLDER = files(__package__) / "presets"


def preset_names() -> list[str]:
    """`fineweb-1` …: a change of a number is a new version."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml")
    )


def preset(name: str) -> dict[str, Any]:
    """The filter section of a recipe that a preset stands for.

    Raises UsageError for an unknown name.
    """
    if name not in preset_names():
        raise UsageError(f'there is no filter preset "{name}"', hint=nearest(name, preset_names()))
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    section: dict[str, Any] = content["filters"]
    return section
