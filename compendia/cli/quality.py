from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json

SCHEMA = "compendia.quality.train/1"
_POOR_AUC = 0.7

app = typer.Typer(
    help="A quality classifier of one's own, for filters.quality of a recipe.", no_args_is_help=True
)


@app.callback()
def _root() -> None:
    """Keep `train` a subcommand although it is the only one."""


@app.command("train")
def train(
    positive: Annotated[
        list[Path],
        typer.Option(help="Good samples: a file or folder that `build` reads. Repeat it for each source."),
    ],
    negative: Annotated[
        list[Path], typer.Option(help="Bad samples, raw web pages for instance. Repeat it for each source.")
    ],
    out: Annotated[Path, typer.Option(help="The model to write, a .safetensors file.")],
    seed: Annotated[int, typer.Option(help="Of the draw of pieces.")] = 0,
    pieces: Annotated[
        int, typer.Option(min=1, help="At most this many pieces of 30 to 300 words of each source.")
    ] = 5_000,
    as_json: Json = False,
) -> None:
    """Train a linear classifier that tells good text from bad."""
    from .._folders import require

    datastore = require("datastore")
    require("pipelines")
    from pipelines import quality_training
    from pipelines.filters.quality import QualityFilter, save

    if out.suffix != ".safetensors":
        raise datastore.UsageError(f"a quality model is a .safetensors file, not {out.name}")
    both = {path.resolve() for path in positive} & {path.resolve() for path in negative}
    if both:
        raise datastore.UsageError(
            f"{min(both)} is both positive and negative: there is nothing to tell apart",
            hint="name good samples with --positive, bad ones with --negative",
        )
    trained = quality_training.train(
        {str(path): quality_training.read_texts(path) for path in positive},
        {str(path): quality_training.read_texts(path) for path in negative},
        seed=seed,
        pieces=pieces,
    )
    save(trained.model, out)
    content_hash = QualityFilter(model=str(out)).content_hash()
    held_out = None if math.isnan(trained.held_out_auc) else round(trained.held_out_auc, 4)
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "model": str(out),
                "content_hash": content_hash,
                "held_out_auc": held_out,
                "trained_on": trained.model.trained_on,
            }
        )
        return
    typer.echo(f"{out}: {content_hash}")
    if held_out is None:
        typer.echo(
            "no AUC: every tenth document is kept out of the training, and a side has none of enough words"
        )
        return
    typer.echo(f"AUC {held_out} on documents kept out of the training; other sources will score lower")
    if held_out < _POOR_AUC:
        typer.echo(
            f"WARNING: it hardly tells good from bad (a guess has 0.5, below {_POOR_AUC} is of little use)"
        )
