"""Whether a build may write to a folder: never over what is not its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datastore import NotFoundError, UsageError
from datastore.manifest import Manifest, current_version, read_manifest

from .recipe import Recipe, make_recipe

_OWN_NAMES = {
    *("LOCK", "CURRENT", "work", "segments", "features", "indexes"),
    *("deletes", "calibration", "builds", "versions"),
}


def _is_ours(name: str) -> bool:
    """Whether a build makes files of this name in a store; what a killed one left half-written included."""
    return name in _OWN_NAMES or (name.startswith(".") and name.endswith(".tmp"))


def check_target(store: Path, recipe: Recipe, *, replace: bool) -> None:
    """Refuse a folder that holds something else, and a store that this recipe did not build.

    Raises
    ------
    UsageError
        With the keys in which the recipes differ.
    """
    if store.is_file():
        raise UsageError(f"{store} is a file", hint="name a folder for the store")
    if current_version(store) is None:
        foreign = [path.name for path in store.iterdir() if not _is_ours(path.name)] if store.exists() else []
        if foreign:
            raise UsageError(
                f"{store} is not a datastore and not empty ({foreign[0]} …)",
                hint="name an empty or new folder",
            )
        return
    manifest = read_manifest(store)
    if manifest.recipe_hash == recipe.hash() or replace:
        return
    check_is_built(store, manifest)
    raise UsageError(
        f"{store} was built from another recipe; changed: {', '.join(recipe_differences(store, recipe))}",
        hint="add --replace to make a new version from this recipe, or name another folder with --out",
    )


def check_is_built(store: Path, manifest: Manifest) -> None:
    """Refuse a store of which this version, the current one, is not what a build made of its input.

    Raises
    ------
    UsageError
        If rows were added or deleted since: what a build kept says nothing of them.
    """
    if manifest.recipe_hash is None:
        raise UsageError(
            f"{store} was changed by hand since it was built, or was never built from a recipe",
            hint="compendia build --replace makes a new version from the recipe alone; or name another folder with --out",
        )


def recipe_differences(store: Path, recipe: Recipe) -> list[str]:
    """Dotted keys in which a recipe differs from that of the store's current version; none where there is no store."""
    if current_version(store) is None:
        return []
    try:
        return changed_keys(built_recipe(store), recipe.content())
    except (OSError, ValueError, KeyError):
        return [f"unknown, since the account of build {read_manifest(store).build} cannot be read"]


def built_recipe(store: Path) -> dict[str, Any]:
    """The recipe of the build that made the current version; OSError, ValueError, KeyError where it cannot be read."""
    recipe: dict[str, Any] = _account(store)["recipe"]
    return recipe


def _account(store: Path) -> dict[str, Any]:
    build = read_manifest(store).build
    account: dict[str, Any] = json.loads((store / "builds" / f"{build}.json").read_bytes())
    return account


def corpus_key_of(store: Path) -> str:
    """The key of the corpus that a store's current version was built from; empty where that is not known."""
    try:
        return str(_account(store)["corpus"])
    except (OSError, ValueError, KeyError):
        return ""


def recipe_of(store: Path) -> Recipe:
    """The recipe of the build that made a store's current version.

    Raises
    ------
    NotFoundError
        If there is no such build.
    """
    try:
        account = _account(store)
        content = {**account["recipe"], "root": account["root"]}
        return make_recipe(content, environment={}, origin="the store's recipe")
    except (OSError, ValueError, KeyError) as error:
        raise NotFoundError(
            f"the recipe that made {store} cannot be read",
            hint="run compendia build --replace with the recipe: it reads the input again",
        ) from error


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            key for name in keys for key in changed_keys(old.get(name), new.get(name), f"{prefix}{name}.")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [key for i, pair in pairs for key in changed_keys(*pair, f"{prefix}{i}.")]
    return [] if old == new else [prefix.rstrip(".")]
