from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json

SCHEMA = "compendia.delete/1"


def delete(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    ids: Annotated[list[str] | None, typer.Option("--id", help="A passage's id; may be repeated.")] = None,
    document_ids: Annotated[
        list[str] | None,
        typer.Option("--document", help="A document's id: all its passages; may be repeated."),
    ] = None,
    where: Annotated[str | None, typer.Option(help="A condition over the metadata.")] = None,
    as_json: Json = False,
) -> None:
    """Delete passages, as one new version; `compact` frees their disk."""
    from .._folders import require

    with require("datastore").Datastore.open(store) as opened:
        count = opened.delete(ids or None, document_ids=document_ids or None, where=where)
        version, passages = opened.version, len(opened)
    if as_json:
        print_json({"schema": SCHEMA, "version": version, "deleted": count, "passages": passages})
    else:
        typer.echo(f"{count:,} rows deleted: {store} is at version {version}, {passages:,} passages")
