"""`compendia eval`: builds the store of a benchmark's corpus, which `eval` may not do itself, and lets it measure."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, plain_name, print_json, table

if TYPE_CHECKING:
    from datastore import Datastore
    from eval.llm import LLMReport
    from eval.retrieval import RetrievalArm, RetrievalReport
    from eval.statistics import Difference, Estimate

app = typer.Typer(help="Measure retrieval, and what it does for a language model.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Folder of the benchmark's files.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override the corpus recipe: chunk.mode=document, encoder.dtype=bfloat16"),
]
Store = Annotated[
    Path | None, typer.Option(help="Where the corpus's store is kept; default, in the user's cache.")
]


@app.command()
def retrieval(
    data: Data,
    retriever: Annotated[
        list[str] | None, typer.Option(help="An arm; give several, the first is the baseline.")
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="An arm too, after the retrievers: a file of hits in .parquet, .jsonl or .trec."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which judgements: qrels/<split>.tsv.")] = "test",
    settings: Settings = None,
    store: Store = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    as_json: Json = False,
) -> None:
    """Retrievers, or files of their hits, against the judgements of a folder in BEIR layout.

    Files alone need no store, unless they name passages by id only: then --store says where those are.
    """
    from .._folders import require

    evaluation, retrievers = require("eval"), require("retrievers")
    from eval.runs import RunFile

    chains = [retrievers.parse(text) for text in retriever or []]
    runs = [RunFile(path) for path in run or []]
    collection = evaluation.load_collection(data, split)
    corpus = {
        "path": str(collection.corpus.resolve()),
        "format": "jsonl",
        "fields": {"id": "_id", "title": "title", "text": "text"},
    }
    with ExitStack() as stack:
        opened = None
        if chains or store is not None:
            opened = stack.enter_context(_corpus_store(collection.name, corpus, settings or [], store))
        report: RetrievalReport = evaluation.evaluate_retrieval(
            opened, collection, [*chains, *runs], seed=seed, on_arm=_print_arm
        )
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(report.to_json())
    else:
        _print_retrieval(report)


@app.command()
def llm(
    data: Data,
    task: Annotated[str, typer.Option(help="pubmedqa")] = "pubmedqa",
    questions: Annotated[int, typer.Option(min=2, help="How many, drawn with the seed.")] = 100,
    retriever: Annotated[str, typer.Option(help="What finds the passages of the arm `retrieved`.")] = "dense",
    passages: Annotated[int, typer.Option(min=1, help="Passages in a prompt of the arm `retrieved`.")] = 3,
    model: Annotated[
        str, typer.Option(help="A hub name, a folder, or `offline` (SmolLM2-135M-Instruct).")
    ] = "offline",
    settings: Settings = None,
    store: Store = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the questions, the wrong passages and the intervals.")
    ] = 0,
    records: Annotated[
        Path | None, typer.Option(help="Write one JSON line a question and arm to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A language model's answers with no, retrieved, right and wrong passages."""
    from .._folders import require

    datastore, evaluation, retrievers = require("datastore"), require("eval"), require("retrievers")
    if task != "pubmedqa":
        raise datastore.UsageError(f"there is no task {task!r}", hint="pubmedqa")
    if records is not None:
        records.touch()  # what cannot be written is to be known before the work, not after
    chain = retrievers.parse(retriever)
    pubmedqa = evaluation.pubmedqa
    drawn = pubmedqa.sample(pubmedqa.read(data), questions, seed)
    corpus = {
        "path": str(pubmedqa.questions_file(data).resolve()),
        "format": "jsonl",
        "fields": {"id": "pmid", "text": "contexts"},
    }
    with _corpus_store(task, corpus, settings or [], store) as opened:
        typer.echo(f"loading {model}", err=True)
        engine = evaluation.load_engine(evaluation.EngineConfig(model=model))
        report: LLMReport = evaluation.evaluate_llm(
            drawn,
            engine,
            opened,
            chain,
            passages=passages,
            seed=seed,
            on_arm=lambda arm: typer.echo(f"{arm.arm}: {arm.seconds:.0f} s", err=True),
        )
    if records is not None:
        lines = [json.dumps(record.to_json(), ensure_ascii=False) for record in report.records]
        records.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if as_json:
        print_json(report.to_json())
    else:
        _print_llm(report)


def _corpus_store(name: str, corpus: dict[str, Any], settings: list[str], place: Path | None) -> Datastore:
    """The open store of a benchmark's corpus: built once, reused while corpus and recipe stay the same.

    Every document with text stays, also copies: judgements refer to all of them.
    """
    from .._folders import require

    datastore, pipelines = require("datastore"), require("pipelines")
    recipe = pipelines.make_recipe(
        {
            "name": plain_name(name),
            "sources": [{"name": "corpus", "kind": "files", **corpus}],
            "deduplicate": "none",
        },
        settings,
    )
    if place is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        place = cache / "compendia" / "eval" / f"{recipe.name}-{recipe.hash()[:12]}"
    pipelines.build(recipe, place, progress=pipelines.console())
    opened: Datastore = datastore.Datastore.open(place)
    return opened


def _interval(estimate: Estimate | Difference, digits: int, *, sign: bool = False) -> str:
    value = f"{estimate.value:+.{digits}f}" if sign else f"{estimate.value:.{digits}f}"
    if math.isnan(estimate.low):
        return f"{value} (one question)"
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _print_arm(arm: RetrievalArm) -> None:
    typer.echo(arm.retriever if arm.seconds is None else f"{arm.retriever}: {arm.seconds:.1f} s", err=True)


def _print_retrieval(report: RetrievalReport) -> None:
    passages = "" if report.passages is None else f" in {report.passages:,} passages"
    typer.echo(
        f"{report.name} {report.split}: {report.queries:,} queries, {report.documents:,} documents{passages}; "
        "95 % intervals over queries"
    )
    metrics = list(report.arms[0].metrics)
    rows = [["metric", *(arm.retriever for arm in report.arms)]]
    rows += [[name, *(_interval(arm.metrics[name], 4) for arm in report.arms)] for name in metrics]
    typer.echo(table(rows))
    if len(report.arms) > 1:
        typer.echo(f"\ndifference to {report.arms[0].retriever}, paired")
        others = [(arm.retriever, arm.difference) for arm in report.arms if arm.difference is not None]
        rows = [["metric", *(name for name, _ in others)]]
        rows += [
            [
                name,
                *(
                    f"{_interval(found[name], 4, sign=True)} p={found[name].p_value:.4f}"
                    for _, found in others
                ),
            ]
            for name in metrics
        ]
        typer.echo(table(rows))


def _print_llm(report: LLMReport) -> None:
    typer.echo(
        f"{report.task}: {report.questions} questions, {report.engine.model}; `retrieved`: {report.passages} passages of "
        f"{report.retriever}, the right abstract among them for {report.gold_retrieved:.0%}; 95 % intervals over questions"
    )
    rows = [
        ["arm", "perplexity of the long answer", "difference to closed", "accuracy", "difference to closed"]
    ]
    for arm in report.arms:
        differences = (arm.perplexity_difference, arm.accuracy_difference)
        perplexity, accuracy = (
            "-" if found is None else _interval(found, 2, sign=True) for found in differences
        )
        rows.append([arm.arm, _interval(arm.perplexity, 2), perplexity, _interval(arm.accuracy, 2), accuracy])
    typer.echo(table(rows))
