from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, print_json, table

SCHEMA = "compendia.verify/1"


def verify(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    recall: Annotated[
        bool, typer.Option("--recall", help="Also measure anew the recall that searches reach.")
    ] = False,
    queries: Annotated[
        Path | None,
        typer.Option(help="With --recall: (n, d) vectors as .npy, or one question a line as .txt."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every file and encoder of the current version against its manifest; exit code 4 if any is wrong."""
    from .._folders import require

    datastore = require("datastore")
    if queries is not None and not recall:
        raise datastore.UsageError("--queries is for --recall", hint="add --recall")
    faults: list[str] = datastore.verify(store, on_note=partial(typer.echo, err=True))
    report = None
    if recall and not faults:
        given = None if queries is None else _queries(datastore, store, queries)
        report = datastore.verify_recall(store, given)
    if as_json:
        measured = report and {**report._asdict(), "rows": [row._asdict() for row in report.rows]}
        found = {"schema": SCHEMA, "path": str(store), "ok": not faults, "faults": faults}
        print_json({**found, "recall": measured} if recall else found)
    else:
        typer.echo("\n".join(faults) if faults else f"{store}: every file is as it was written")
        if report:
            of = " of the index alone, not of the second encoder's order" if report.of == "index" else ""
            typer.echo(f"recall{of}, measured with {report.queries} queries ({report.source}):")
            lines = [["", "target", "recall", "95 % interval", "short of it by"]]
            lines += [
                [
                    f"@{row.k}",
                    f"{row.target}",
                    f"{row.recall:.4f}",
                    f"{row.low:.4f} to {row.high:.4f}",
                    f"{row.shortfall:.4f}" if row.shortfall > 0 else "-",
                ]
                for row in report.rows
            ]
            typer.echo(table(lines, right=(1, 2)))
    if faults:
        typer.echo(f"compendia build RECIPE --out {store} --repair  makes damaged files again", err=True)
        raise typer.Exit(datastore.IntegrityError.exit_code)


def _queries(datastore: Any, store: Path, file: Path) -> Any:
    import numpy as np

    if not file.is_file():
        raise datastore.NotFoundError(f"there is no file {file}")
    if file.suffix == ".npy":
        try:
            return np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise datastore.UsageError(f"{file} cannot be read: {error}") from error
    if file.suffix != ".txt":
        raise datastore.UsageError(f"{file} is neither .npy nor .txt")
    try:
        questions = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise datastore.UsageError(f"{file} is not UTF-8: {error}") from error
    with datastore.Datastore.open(store) as opened:
        return opened.encoder.encode_queries(questions)
