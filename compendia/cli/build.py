from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .build_vectors import build_vectors
from .dry_run import print_plan
from .output import Json, human_bytes, plain_name, print_json, table, without_reader

if TYPE_CHECKING:
    from datastore.decontamination import Question
    from pipelines import Recipe
    from pipelines.account import BuildReport

SCHEMA = "compendia.build/1"
# By parameter, what one kind of input takes and the other does not.
_OF_TEXTS = {
    "executor": "--executor",
    "workers": "--workers",
    "address": "--address",
    "replace": "--replace",
    "repair": "--repair",
    "reread": "--reread",
    "prune_missing": "--prune-missing",
    "keep": "--keep",
}
_OF_VECTORS = {"metric": "--metric"}
_REASONS_SHOWN = 3
_NAMES_SHOWN = 5


def build(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe (.yaml), a folder of txt, md, html, jsonl or parquet files, or vectors: .npy, .parquet, or a folder "
            "as CompactDS is released, passages/*--raw_passages_0-0-of-8.jsonl with embeddings/*--passages0_00.npy."
        ),
    ],
    context: typer.Context,
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
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that runs already; its machines share the store's folder."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make a new version of a store that another recipe built.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare all checksums and make again what is damaged.")
    ] = False,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read all input again, also files of the same size and time.")
    ] = False,
    prune_missing: Annotated[
        bool, typer.Option("--prune-missing", help="Delete documents whose input is gone.")
    ] = False,
    keep: Annotated[
        str,
        typer.Option(
            help="What stays for the next build and for refilter: stages (texts and scores), scores or none."
        ),
    ] = "stages",
    dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be read and made, and what it costs; do nothing."),
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
    has_vectors = vectors is not None or (Path(recipe).exists() and pipelines.holds_vectors(Path(recipe)))
    _refuse_options(context, _OF_TEXTS if has_vectors else _OF_VECTORS, recipe, datastore)
    if has_vectors:
        build_vectors(
            Path(recipe),
            out,
            column=vectors,
            metric=metric,
            settings=settings or [],
            dry=dry,
            schema=SCHEMA,
            as_json=as_json,
        )
        return
    for name, value, known in (
        ("executor", executor, ("serial", "process", "ray")),
        ("--keep", keep, ("stages", "scores", "none")),
    ):
        if value not in known:
            raise datastore.UsageError(f"there is no {name} {value!r}", hint=", ".join(known))
    resolved = _recipe(pipelines, datastore, recipe, settings or [])
    if dry:
        plan = pipelines.dry_run(resolved, out or resolved.out, questions_of(resolved), replace=replace)
        print_plan(plan, as_json=as_json)
        return
    report: BuildReport = pipelines.build(
        resolved,
        out,
        executor=executor,
        workers=workers,
        address=address,
        replace=replace,
        repair=repair,
        reread=reread,
        prune_missing=prune_missing,
        keep=keep,
        questions=questions_of(resolved),
        progress=pipelines.console(),
    )
    finish(report, as_json=as_json)


def _refuse_options(context: typer.Context, names: Mapping[str, str], place: str, datastore: Any) -> None:
    """Refuse options that would be passed over."""
    given = [
        option
        for name, option in names.items()
        if (origin := context.get_parameter_source(name)) is not None and origin.name == "COMMANDLINE"
    ]
    if given:
        what = "vectors, which are stored as they are" if names is _OF_TEXTS else "texts, which are embedded"
        raise datastore.UsageError(
            f"{', '.join(given)} does not apply to {place}: it holds {what}", hint="leave it out"
        )


def questions_of(recipe: Recipe) -> Iterator[Question]:
    """The questions that a recipe's decontamination names, relative files seen from its root."""
    if recipe.decontaminate is not None:
        from .._folders import require

        require("eval")
        from eval.questions import parse_questions

        root = recipe.root.expanduser().absolute()
        for name in recipe.decontaminate.questions:
            yield from parse_questions(name, root=root)


def finish(report: BuildReport, *, as_json: bool) -> None:
    """Print what a build did."""
    from datastore import Datastore, describe

    with Datastore.open(report.store) as store:
        info = describe(store)
    if as_json:
        print_json({**info, "schema": SCHEMA, "changed": report.changed, "seconds": report.seconds})
    else:
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
        most = funnel.dropped.most_common(_REASONS_SHOWN)
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in most) or "-"
        if len(funnel.dropped) > len(most):
            rest = funnel.dropped.total() - sum(count for _, count in most)
            dropped += f", {rest:,} for {len(funnel.dropped) - len(most)} other reasons"
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
    for name, funnel in report.sources.items():
        if set(funnel.changes) - {"new", "unchanged"}:
            counted = ", ".join(f"{count:,} {what}" for what, count in funnel.changes.items())
            typer.echo(f"{name}: {counted} documents")
        if funnel.changes["vanished"]:
            typer.echo(
                "  the input of those that vanished is gone, broken or empty, they stay all the same; "
                "--prune-missing deletes them"
            )
        if funnel.contaminated:
            typer.echo(f"{name}: {funnel.contaminated:,} passages left out, since they give away questions")
        if funnel.skipped:
            typer.echo(f"{name}: {without_reader(funnel.skipped)}")
    if report.recipe_changes:
        typer.echo(f"the recipe changed: {', '.join(report.recipe_changes)}")
    for what, names in report.input_changes.items():
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        typer.echo(f"{what} since the last build: {', '.join(names[:_NAMES_SHOWN])}{more}")
    for name, funnel in report.sources.items():
        repeated = funnel.drops.get("repeated_id")
        if repeated is not None:
            typer.echo(
                f"WARNING: {repeated.documents:,} documents of {name} were left out: each has the id of another one, whose text "
                f"differs; --set sources.{name}.ids=file tells the same id in two files apart"
            )
        if funnel.broken:
            listed = [f"{unit} ({reason})" for unit, reason in funnel.broken.items()]
            more = f" and {len(listed) - _NAMES_SHOWN:,} more" if len(listed) > _NAMES_SHOWN else ""
            typer.echo(
                f"WARNING: {len(listed):,} files of {name} are broken or cannot be read, what they hold is missing: "
                f"{', '.join(listed[:_NAMES_SHOWN])}{more}"
            )
    state = "is" if report.changed else "was already"
    typer.echo(
        f"{report.store} {state} at version {report.version}: {info['passages']:,} passages of {info['documents']:,} documents"
    )
