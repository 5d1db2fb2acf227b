from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json

SCHEMA = "compendia.verify/1"


def verify(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")], as_json: Json = False
) -> None:
    """Check every file of the current version against its manifest; exit code 4 if any is wrong."""
    from .._folders import require

    datastore = require("datastore")
    faults: list[str] = datastore.verify(store)
    if as_json:
        print_json({"schema": SCHEMA, "path": str(store), "ok": not faults, "faults": faults})
    else:
        typer.echo("\n".join(faults) if faults else f"{store}: every file is as it was written")
    if faults:
        typer.echo(f"compendia build RECIPE --out {store} --repair  makes damaged files again", err=True)
        raise typer.Exit(datastore.IntegrityError.exit_code)
