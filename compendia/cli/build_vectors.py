"""`compendia build` of vectors that exist already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from . import dry_run
from .output import print_json
from .plan import plan_text

_SETTING = "max_failure_share="
_REASONS_SHOWN = 3


def build_vectors(
    path: Path,
    out: Path | None,
    *,
    column: str | None,
    metric: str,
    settings: list[str],
    dry: bool,
    schema: str,
    as_json: bool,
) -> None:
    """Build a store of vectors, or with `dry` say what it would come to."""
    from .._folders import require

    datastore, pipelines = require("datastore"), require("pipelines")
    if metric not in ("cosine", "inner_product", "l2"):
        raise datastore.UsageError(f"there is no metric {metric!r}", hint="cosine, inner_product, l2")
    share = _failure_share(settings)
    if dry:
        _plan(pipelines.find_vectors(path, column), path, metric, as_json=as_json)
        return
    if out is None:
        raise datastore.UsageError("where should the store go?", hint="add --out FOLDER")
    built = pipelines.build_from_vectors(path, out, column=column, metric=metric, max_failure_share=share)
    with datastore.Datastore.open(out) as store:
        info = datastore.describe(store)
    set_aside = built.set_aside
    if as_json:
        counts = {"set_aside": set_aside.counts, "rejects": [one._asdict() for one in set_aside.rejects]}
        print_json({**info, "schema": schema, "changed": built.changed, "seconds": {}, **counts})
        return
    for reason, count in set_aside.counts.items():
        examples = [one for one in set_aside.rejects if one.reason == reason][:_REASONS_SHOWN]
        listed = "; ".join(f"{one.location} {one.detail}" for one in examples)
        typer.echo(f"set aside: {count:,} rows, {reason} ({listed}{' …' if count > len(examples) else ''})")
    state = "is" if built.changed else "was already"
    typer.echo(f"{out} {state} at version {built.version}: {info['passages']:,} passages")


def _plan(found: Any, path: Path, metric: str, *, as_json: bool) -> None:
    from datastore.index.config import IndexConfig
    from datastore.planning.sizing import as_json as to_json
    from datastore.planning.sizing import plan_store

    planned = plan_store(found.rows, found.dimension, metric, IndexConfig())  # type: ignore[arg-type]  # checked above
    if as_json:
        plan = {"rows": found.rows, "dimension": found.dimension, "store": to_json(planned)}
        print_json({"schema": dry_run.SCHEMA, "files": len(found.files), **plan})
    else:
        typer.echo(f"{path}: {len(found.files):,} files, nothing is embedded")
        typer.echo(plan_text(planned))


def _failure_share(settings: list[str]) -> float:
    from datastore import UsageError

    share = 0.2
    for setting in settings:
        value = setting.removeprefix(_SETTING)
        try:
            share = float(value)
        except ValueError:
            share = -1.0
        if value == setting or not 0 <= share <= 1:
            raise UsageError(
                f"--set {setting} does not apply to vectors, which have no recipe",
                hint=f"--set {_SETTING}0.5 does, from 0 to 1",
            )
    return share
