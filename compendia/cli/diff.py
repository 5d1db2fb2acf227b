from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json

SCHEMA = "compendia.diff/1"


def diff(
    a: Annotated[Path, typer.Argument(help="Folder of a store.")],
    b: Annotated[Path, typer.Argument(help="Folder of another, or the same.")],
    version_a: Annotated[int | None, typer.Option(help="Version of the first; default, the current.")] = None,
    version_b: Annotated[int | None, typer.Option(help="Version of the second.")] = None,
    as_json: Json = False,
) -> None:
    """Compare the passages of two stores or versions; exit code 1 if they differ."""
    from .._folders import require

    found = require("datastore").diff(a, b, version_a=version_a, version_b=version_b)
    if as_json:
        print_json({"schema": SCHEMA, "equal": found.equal, **found._asdict()})
    else:
        for kind in ("added", "removed", "changed"):
            count = getattr(found, kind)
            if count:
                typer.echo(f"{kind}: {count:,}, first {', '.join(found.examples[kind])}")
        vectors = ""
        if found.lowest_cosine is not None:
            vectors = f"; lowest cosine of their vectors {found.lowest_cosine}"
            if found.lowest_length_ratio < 0.999:  # more than rounding
                vectors += f", lowest ratio of their lengths {found.lowest_length_ratio}"
        typer.echo(f"the same: {found.same:,}{vectors}")
    if not found.equal:
        raise typer.Exit(1)
