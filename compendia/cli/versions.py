"""Commands that decide which versions of a store there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, human_bytes, print_json

if TYPE_CHECKING:
    from datastore.changes.prune import Pruned

SCHEMA = "compendia.versions/1"
Store = Annotated[Path, typer.Argument(help="Folder of the store.")]


def versions(store: Store, as_json: Json = False) -> None:
    """List the versions that are kept."""
    from .._folders import require

    with require("datastore").Datastore.open(store) as opened:
        kept, current = opened.versions(), opened.version
    if as_json:
        print_json({"schema": SCHEMA, "version": current, "kept": kept})
    else:
        typer.echo("\n".join(f"{number}  current" if number == current else str(number) for number in kept))


def compact(store: Store, as_json: Json = False) -> None:
    """Write what is live into few segments under one index, and free the disk of all earlier versions."""
    from .._folders import require

    with require("datastore").Datastore.open(store) as opened:
        _report(store, opened.compact(), opened.version, as_json=as_json)


def prune(
    store: Store,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")] = 1,
    as_json: Json = False,
) -> None:
    """Free the disk of earlier versions; those that a reader has open stay."""
    from .._folders import require

    with require("datastore").Datastore.open(store) as opened:
        _report(store, opened.prune(keep=keep), opened.version, as_json=as_json)


def rollback(
    store: Store,
    version: Annotated[int, typer.Argument(help="The version whose state becomes the current one.")],
    as_json: Json = False,
) -> None:
    """Make the state of an earlier version the current one, under a new number."""
    from .._folders import require

    with require("datastore").Datastore.open(store) as opened:
        current = opened.rollback(version)
    if as_json:
        print_json({"schema": SCHEMA, "version": current})
    else:
        typer.echo(f"{store} is at version {current}, which equals version {version}")


def _report(store: Path, pruned: Pruned, version: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"schema": SCHEMA, "version": version, **pruned._asdict()})
        return
    removed = ", ".join(map(str, pruned.removed)) or "none"
    typer.echo(
        f"{store} is at version {version}; removed versions: {removed}; {human_bytes(pruned.freed_bytes)} freed"
    )
    if pruned.held:
        typer.echo(f"kept, since readers have them open: {', '.join(map(str, pruned.held))}", err=True)
