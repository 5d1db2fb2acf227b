from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, print_json

if TYPE_CHECKING:
    from datastore import Hit

SCHEMA = "compendia.search/1"


def search(
    store: Annotated[Path, typer.Argument(help="Folder of the store.")],
    query: Annotated[str, typer.Argument(help="A question in plain words.")],
    k: Annotated[int, typer.Option("-k", "--hits", help="How many hits.")] = 5,
    retriever: Annotated[str, typer.Option(help="dense, bm25, rrf, weighted, or a chain of them.")] = "dense",
    where: Annotated[
        str | None, typer.Option(help="A condition over the metadata: \"source = 'wiki' AND year >= 2020\".")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a store a question."""
    from .._folders import require

    datastore, retrievers = require("datastore"), require("retrievers")
    started = time.perf_counter()
    with datastore.Datastore.open(store) as opened:
        chain = retrievers.parse(retriever)
        bound = chain.on(opened)
        loading_ms = (time.perf_counter() - started) * 1e3
        result = bound.retrieve([query], k, where)
        reading = time.perf_counter()
        hits: list[Hit] = result[0]
        text_ms = (time.perf_counter() - reading) * 1e3
        timings = {"open": loading_ms, **result.timings_ms, "text": text_ms}
    timings = {stage: round(milliseconds, 3) for stage, milliseconds in timings.items()}
    if as_json:
        fields = ("passage_id", "document_id", "source", "title", "score", "text")
        print_json(
            {
                "schema": SCHEMA,
                "query": query,
                "version": result.version,
                "retriever": str(chain),
                "hits": [
                    {
                        "rank": rank,
                        **{name: getattr(hit, name) for name in fields},
                        "metadata": dict(hit.metadata),
                    }
                    for rank, hit in enumerate(hits, start=1)
                ],
                "timings_ms": timings,
            }
        )
        return
    for rank, hit in enumerate(hits, start=1):
        typer.echo(f"{rank:>2}  {hit.score:.3f}  {hit.title or hit.document_id}  [{hit.source}]")
        typer.echo(f"           {textwrap.shorten(hit.text, 100, placeholder=' …')}")
    if not hits:
        typer.echo("nothing found")
    typer.echo("ms: " + ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in timings.items()))
