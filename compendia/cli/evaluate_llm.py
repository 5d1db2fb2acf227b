"""`compendia eval llm` and `compendia eval compare`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .corpus_store import recipe_store
from .output import Json, print_json, table

if TYPE_CHECKING:
    from datastore import Datastore
    from eval.engines import EngineConfig
    from eval.llm import Evaluation
    from eval.tasks.task import Prompt

_DIGITS = {"nats": 2, "perplexity": 2}


def llm(
    config: Annotated[Path, typer.Option(help="The evaluation, in YAML; configs/eval/ holds some.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions, drawn with the seed; the same as --set limit=N.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override the evaluation: root=data, options.k=5, engine.model=…"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/<name>.")] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Make the run anew, not from where an earlier one ended; answers to equal prompts come from the cache.",
        ),
    ] = False,
    print_prompt: Annotated[
        int | None, typer.Option(min=1, help="Only print the prompts of question N, from 1, in every arm.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A language model's answers to a benchmark, with no passages, retrieved ones, right and wrong ones.

    Goes on where it was interrupted. The folder of the run has report.html, report.json, and every sample.
    """
    from .._folders import require

    require("eval")
    from eval import llm as evaluations

    given = [*(settings or []), *([] if limit is None else [f"limit={limit}"])]
    evaluation = evaluations.load_evaluation(config, given)
    if out is not None:
        evaluation = evaluation.model_copy(update={"out": out})
    with ExitStack() as stack:
        store = _store(evaluation, stack)
        if print_prompt is not None:
            engine = _engine(evaluation.engine, stack) if evaluations.needs_engine(evaluation) else None
            _print_prompts(evaluations.prompts_of(evaluation, print_prompt, store, engine))
            return
        engine = _engine(evaluation.engine, stack)
        report = evaluations.evaluate(
            evaluation, engine, store, restart=restart, progress=require("pipelines").console()
        )
    if as_json:
        print_json({name: value for name, value in report.items() if name != "flips"})
    else:
        _print_report(report, evaluation.folder)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run of the same questions.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    as_json: Json = False,
) -> None:
    """Two runs of the same questions: the second minus the first, for each arm that both have."""
    from .._folders import require

    require("eval")
    from eval import llm as evaluations

    compared = evaluations.compare(first, second, seed=seed)
    if as_json:
        print_json(compared)
        return
    typer.echo(f"{compared['task']}: {compared['questions']:,} questions in both; second minus first, paired")
    if left := compared["left_out"]:
        typer.echo(f"left out as one of them did not answer: {len(left):,} questions, {', '.join(left[:5])}")
    for number, run in zip(("first", "second"), compared["runs"], strict=True):
        store = run["store"]
        of_store = f"; {store['path']} version {store['version']}" if store else ""
        typer.echo(
            f"{number:>6}: {run['path']}; {run['engine']['model']} {run['engine']['revision']}{of_store}"
        )
    rows = [["arm", "measure", "first", "second", "difference"]]
    for arm in compared["arms"]:
        rows += [
            [
                arm["arm"],
                measure,
                _interval(arm["first"][measure], measure),
                _interval(arm["second"][measure], measure),
                _difference(found, measure),
            ]
            for measure, found in arm["difference"].items()
        ]
    typer.echo(table(rows))


def _store(evaluation: Evaluation, stack: ExitStack) -> Datastore | None:
    from .._folders import require

    datastore = require("datastore")
    if evaluation.store is not None:
        if evaluation.corpus is not None:
            raise datastore.UsageError("an evaluation has a store or a corpus, not both")
        opened: Datastore = stack.enter_context(datastore.Datastore.open(evaluation.store))
        return opened
    if evaluation.corpus is not None:
        recipe = {"root": str(evaluation.root.expanduser().resolve()), **evaluation.corpus}
        return stack.enter_context(recipe_store(_corpus_name(evaluation.corpus.get("sources")), recipe, []))
    return None


def _corpus_name(sources: object) -> str:
    """That of its sources: evaluations of one corpus share its store. What is none is the recipe's error to tell."""
    known = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    return "-".join(str(source.get("name", "corpus")) for source in known)


def _engine(config: EngineConfig, stack: ExitStack) -> Any:
    from .._folders import require

    typer.echo(f"loading {config.model}", err=True)
    engine = require("eval").load_engine(config)
    stack.callback(engine.close)
    return engine


def _print_prompts(prompts: list[tuple[str, Prompt]]) -> None:
    for arm, prompt in prompts:
        typer.echo(f"--- {arm}")
        if isinstance(prompt, str):
            typer.echo(prompt)
        else:
            for message in prompt:
                typer.echo(f"[{message.role}]\n{message.content}")


def _print_report(report: dict[str, Any], folder: Path) -> None:
    engine, store = report["engine"], report["store"]
    clusters = f"by {report['subjects']} subjects" if report["subjects"] > 1 else "over questions"
    typer.echo(
        f"{report['task']}: {report['questions']:,} questions, {engine['model']} {engine['dtype']}; "
        f"95 % intervals {clusters}"
    )
    if store:
        typer.echo(f"{store['path']}, version {store['version']}, recipe {store['recipe_hash'] or 'none'}")
    for caution in report["cautions"]:
        typer.echo(f"warning: {caution}", err=True)
    measures = list(dict.fromkeys(name for arm in report["arms"] for name in arm["measures"]))
    first = report["arms"][0]["arm"]
    for measure in measures:
        rows = [[measure, "", f"difference to {first}", "questions needed", "unparsed"]]
        for arm in report["arms"]:
            if measure not in arm["measures"]:
                continue
            found = (arm["difference"] or {}).get(measure)
            needed = found and found["questions_needed"]
            rows.append(
                [
                    arm["arm"],
                    _interval(arm["measures"][measure], measure),
                    "-" if found is None else _difference(found, measure),
                    f"{needed:,}" if needed else "-",
                    "-" if arm["unparsed"] is None else str(arm["unparsed"]),
                ]
            )
        typer.echo(f"\n{table(rows)}")
    typer.echo(f"\n{folder / 'report.html'}")


def _interval(estimate: dict[str, Any], measure: str, *, sign: str = "") -> str:
    digits = _DIGITS.get(measure, 3)
    value = f"{estimate['value']:{sign}.{digits}f}"
    if estimate["low"] is None:
        return value
    return f"{value} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def _difference(found: dict[str, Any], measure: str) -> str:
    text = f"{_interval(found, measure, sign='+')} p={found['p_value']:.4f}"
    return f"{text}, McNemar {found['mcnemar']['p_value']:.4f}" if "mcnemar" in found else text
