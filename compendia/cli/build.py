from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, human_bytes, plain_name, print_json, table

if TYPE_CHECKING:
    from pipelines.account import BuildReport

SCHEMA = "compendia.build/1"


def build(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe (.yaml), a folder of txt, md, html, jsonl or parquet files, or vectors (.npy, .parquet)."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the store.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe's key: encoder.dtype=bfloat16")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="serial, process or ray: all give the same store.")
    ] = "serial",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes or Ray workers; default, one a core.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make a new version of a store that another recipe built.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare all checksums and make again what is damaged.")
    ] = False,
    vectors: Annotated[
        str | None,
        typer.Option(
            "--vectors", help="The column that holds vectors, in a Parquet file or a folder of them."
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="Of vectors of your own: cosine, inner_product or l2.")
    ] = "cosine",
    as_json: Json = False,
) -> None:
    """Build a store from a recipe or a folder, or go on with an interrupted build."""
    from .._folders import require

    datastore, pipelines = require("datastore"), require("pipelines")
    if vectors is not None or (Path(recipe).is_file() and pipelines.holds_vectors(Path(recipe))):
        if out is None:
            raise datastore.UsageError("where should the store go?", hint="add --out FOLDER")
        built = pipelines.build_from_vectors(Path(recipe), out, column=vectors, metric=metric)
        with datastore.Datastore.open(out) as store:
            info = datastore.describe(store)
        if as_json:
            print_json({**info, "schema": SCHEMA, "changed": built.changed, "seconds": {}})
        else:
            state = "is" if built.changed else "was already"
            typer.echo(f"{out} {state} at version {built.version}: {info['passages']:,} passages")
        return
    if executor not in ("serial", "process", "ray"):
        raise datastore.UsageError(f"there is no executor {executor!r}", hint="serial, process or ray")
    report: BuildReport = pipelines.build(
        _recipe(pipelines, datastore, recipe, settings or []),
        out,
        executor=executor,
        workers=workers,
        replace=replace,
        repair=repair,
        progress=pipelines.console(),
    )
    with datastore.Datastore.open(report.store) as store:
        info = datastore.describe(store)
    if as_json:
        print_json({**info, "schema": SCHEMA, "changed": report.changed, "seconds": report.seconds})
        return
    print_report(report, info)


def _recipe(pipelines: Any, datastore: Any, place: str, settings: list[str]) -> Any:
    path = Path(place)
    if path.is_dir():
        name = plain_name(path.resolve().name)
        source = {"name": name, "kind": "files", "path": "."}
        return pipelines.make_recipe({"name": name, "root": place, "sources": [source]}, settings)
    if path.suffix in (".yaml", ".yml") or not path.exists():
        return pipelines.load_recipe(path, settings)
    raise datastore.UsageError(
        f"{place} is neither a recipe nor a folder",
        hint="give a .yaml recipe, or a folder of txt, md, html, jsonl or parquet files",
    )


def print_report(report: BuildReport, info: dict[str, Any]) -> None:
    """The funnel, seconds per stage and the size of the store."""
    rows = [["source", "read", "dropped", "documents", "passages", "tokens"]]
    for name, funnel in report.sources.items():
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in funnel.dropped.most_common()) or "-"
        rows.append(
            [
                name,
                f"{funnel.records:,}",
                dropped,
                f"{funnel.documents:,}",
                f"{funnel.passages:,}",
                f"{funnel.tokens:,}",
            ]
        )
    typer.echo(table(rows, right=(1, 3, 4, 5)))
    unread = sum(funnel.unread_tokens for funnel in report.sources.values())
    if unread:
        typer.echo(f"not read by the encoder: {unread:,} tokens (chunk.mode is document)")
    typer.echo("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items()))
    ram, disk = info["bytes"]["ram"], info["bytes"]["disk"]
    parts = ", ".join(f"{name} {human_bytes(count)}" for name, count in disk.items() if name != "total")
    typer.echo(f"size: {human_bytes(ram['total'])} in RAM, {human_bytes(disk['total'])} on disk ({parts})")
    state = "is" if report.changed else "was already"
    typer.echo(
        f"{report.store} {state} at version {report.version}: {info['passages']:,} passages of {info['documents']:,} documents"
    )
