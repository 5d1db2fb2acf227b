from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, print_json

if TYPE_CHECKING:
    from datastore import Datastore

SCHEMA = "compendia.add/1"
_SHOWN = 5


def add(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    rows: Annotated[
        Path,
        typer.Argument(
            help="Rows as .jsonl or .parquet: text or vector, id if it has one; the rest is metadata."
        ),
    ],
    upsert: Annotated[
        bool, typer.Option("--upsert", help="Replace rows whose id is in the store already.")
    ] = False,
    copies: Annotated[
        bool,
        typer.Option(
            "--copies/--no-copies",
            help="Add texts that the store, or another row, has already. Default: not to a store whose recipe drops "
            "duplicates.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Add rows to a store as one new version: texts for its encoder, or vectors."""
    from .._folders import require

    datastore = require("datastore")
    records = _read(datastore, rows)
    with datastore.Datastore.open(store) as opened:
        left_out: list[tuple[str, str]] = []
        if not copies and not upsert:
            records, left_out = _without_copies(opened, records)
        write = opened.upsert if upsert else opened.add
        ids = (
            write(
                vectors=_column(datastore, rows, records, "vector"),
                ids=_column(datastore, rows, records, "id"),
                texts=_column(datastore, rows, records, "text"),
                metadata=records,
            )
            if records
            else []
        )
        version, passages = opened.version, len(opened)
    if as_json:
        counts = {"version": version, "added": len(ids), "skipped": len(left_out), "passages": passages}
        print_json({"schema": SCHEMA, **counts, "resembles": dict(left_out)})
        return
    if left_out:
        typer.echo(
            f"{len(left_out):,} rows left out: the store or other rows have their texts, or nearly the same; "
            "--copies adds them all the same"
        )
        for row, document in left_out[:_SHOWN]:
            typer.echo(f"  {row} resembles {document}")
        if len(left_out) > _SHOWN:
            typer.echo(f"  and {len(left_out) - _SHOWN:,} more")
    typer.echo(f"{len(ids):,} rows added: {store} is at version {version}, {passages:,} passages")


def _without_copies(
    store: Datastore, records: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The rows whose text neither the store nor a better row has, by the rule of the recipe that built the store.

    And of the others the id, or the number where there is none, with that of the document or row that each resembles.
    """
    from .._folders import require

    pipelines = require("pipelines")
    if store.manifest.build is None or not all(isinstance(record.get("text"), str) for record in records):
        return records, []
    recipe = pipelines.recipe_of(store.path)
    if recipe.deduplicate == "none":
        return records, []
    texts = [record["text"] for record in records]
    names = [str(record.get("id", f"row {row}")) for row, record in enumerate(records, start=1)]
    resembled = pipelines.copies_in_store(store, texts, recipe.near)
    new = [row for row, document in enumerate(resembled) if document is None]
    for row, better in zip(
        new, pipelines.copies_among([texts[row] for row in new], recipe.near), strict=True
    ):
        resembled[row] = None if better is None else names[new[better]]
    left_out = [(name, other) for name, other in zip(names, resembled, strict=True) if other is not None]
    return [record for record, other in zip(records, resembled, strict=True) if other is None], left_out


def _read(datastore: Any, path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise datastore.NotFoundError(f"there is no file {path}")
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            records: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (pa.ArrowException, OverflowError) as error:  # damaged; a date that Python has not
            raise datastore.UsageError(f"{path} cannot be read: {error}") from error
        return records
    if path.suffix != ".jsonl":
        raise datastore.UsageError(f"{path} is neither .jsonl nor .parquet")
    records = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise datastore.UsageError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise datastore.UsageError(f"{path}, line {number} is not a JSON object")
            records.append(record)
    return records


def _column(datastore: Any, path: Path, records: list[dict[str, Any]], name: str) -> Any:
    """A field of all records, taken out of them; None where none has it."""
    if all(record.get(name) is None for record in records):
        for record in records:
            record.pop(name, None)
        return None
    values = []
    for number, record in enumerate(records, start=1):
        if record.get(name) is None:
            raise datastore.UsageError(f"{path}: row {number} has no {name}, others have")
        values.append(record.pop(name))
    if name == "vector":
        import numpy as np

        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise datastore.UsageError(f"{path}: vectors must be numbers of one length: {error}") from error
    return [value if name == "text" else str(value) for value in values]
