from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .build import finish, questions_of
from .output import Json


def refilter(
    store: Annotated[Path, typer.Argument(help="Folder of a store that `build` made.")],
    settings: Annotated[
        list[str], typer.Option("--set", help="What changes: filters.length.min_words=20, deduplicate=near")
    ],
    executor: Annotated[str, typer.Option(help="serial, process or ray.")] = "serial",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes or Ray workers; default, one a core.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that runs already; its machines share the store's folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change the filters of a store and decide anew which documents stay, without reading the input again."""
    from .._folders import require

    datastore, pipelines = require("datastore"), require("pipelines")
    if executor not in ("serial", "process", "ray"):
        raise datastore.UsageError(f"there is no executor {executor!r}", hint="serial, process or ray")
    report = pipelines.refilter(
        store,
        settings,
        executor=executor,
        workers=workers,
        address=address,
        questions=questions_of(pipelines.recipe_of(store)),
        progress=pipelines.console(),
    )
    finish(report, as_json=as_json)
