from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, human_bytes, human_seconds, print_json

if TYPE_CHECKING:
    from datastore.planning.sizing import StorePlan

_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def plan(
    passages: Annotated[str, typer.Option(help="How many: 250000, 380M, 1.85B.")],
    dimension: Annotated[int, typer.Option(min=1, max=65_536, help="Of the vectors.")],
    ram: Annotated[
        str | None, typer.Option(help="Budget for the open store: 8GB, 512MiB. Default, no limit.")
    ] = None,
    recall: Annotated[float, typer.Option(help="recall@10 to be reached, below 1.")] = 0.95,
    metric: Annotated[str, typer.Option(help="cosine, inner_product or l2.")] = "cosine",
    family: Annotated[str, typer.Option(help="auto, exact, flat, ivf_pq, ivf_rabitq or hnsw_sq8.")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the index: bits=1, reduction={kind: pca, dimension: 192}"),
    ] = None,
    vectors: Annotated[str, typer.Option(help="As stored: float16 or float32.")] = "float16",
    machine_ram: Annotated[
        str | None,
        typer.Option(help="RAM of the machine: what the store leaves of it caches the exact vectors."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What a store would cost in RAM, on disk and in time, before any work."""
    from .._folders import require

    datastore = require("datastore")
    from datastore.checks import parse_bytes
    from datastore.planning.planner import describe
    from datastore.planning.sizing import as_json as to_json
    from datastore.planning.sizing import plan_store

    for name, value, known in (
        ("metric", metric, ("cosine", "inner_product", "l2")),
        ("vectors", vectors, ("float16", "float32")),
    ):
        if value not in known:
            raise datastore.UsageError(f"there is no {name} {value!r}", hint=", ".join(known))
    planned = plan_store(
        _count(passages),
        dimension,
        metric,  # type: ignore[arg-type]  # checked above
        _config(family, settings or [], None if ram is None else parse_bytes(ram), recall),
        vectors=vectors,  # type: ignore[arg-type]  # checked above
        machine_ram_bytes=None if machine_ram is None else parse_bytes(machine_ram),
    )
    if family == "auto" and planned.recall < recall:
        raise datastore.UsageError(
            f"no index over {planned.rows:,} passages should reach recall {recall:g}: "
            f"{planned.recall:.2f} at best, by {describe(planned.index)}",
            hint=f"--family {planned.index.family if planned.index else 'exact'}  plans that one all the same",
        )
    if as_json:
        print_json(to_json(planned))
    else:
        typer.echo(plan_text(planned))


def _count(text: str) -> int:
    from datastore import UsageError

    match = re.fullmatch(
        r"(\d+(?:\.\d+)?(?:e\d{1,2})?)([kmb]?)", text.strip().replace(",", "").replace("_", "").lower()
    )
    count = Decimal(match[1]) * _COUNTS[match[2]] if match else Decimal(0)
    if count < 1 or count != int(count):
        raise UsageError(f"{text!r} is no number of passages", hint="for example 250000, 1e6, 380M or 1.85B")
    return int(count)


def _config(family: str, settings: list[str], ram_bytes: int | None, recall: float) -> Any:
    import yaml
    from pydantic import ValidationError

    from datastore import UsageError
    from datastore.index.config import IndexConfig

    parameters = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, got {setting!r}", hint="--set bits=1")
        try:
            parameters[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting}: {error}") from error
    try:
        return IndexConfig.model_validate(
            {"family": family, "parameters": parameters, "ram_bytes": ram_bytes, "recall": recall}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def plan_text(planned: StorePlan) -> str:
    """A plan as lines for people."""
    from datastore.planning.planner import describe

    def bytes_of(parts: Any) -> str:
        named = ", ".join(f"{name} {human_bytes(count)}" for name, count in parts.items())
        return f"{human_bytes(sum(parts.values()))}: {named}"

    effort = "" if planned.effort is None else f"effort {planned.effort}, "
    lines = [
        f"{planned.rows:,} passage{'s' * (planned.rows > 1)}, {planned.dimension} dimensions",
        f"index       {describe(planned.index)}",
        f"RAM         {bytes_of(planned.ram_bytes)}",
        f"disk        {bytes_of(planned.disk_bytes)}",
        f"search      {effort}{planned.candidates} candidates, recall@10 about {planned.recall:.3f}",
    ]
    for name, times in planned.query_us.items():
        one, many = (human_seconds(times[size] / 1e6) for size in (1, 64))
        lines.append(f"{name:<11} {one} a query, {many} in batches of 64")
    steps = ", ".join(f"{name} {human_seconds(seconds)}" for name, seconds in planned.build_s.items())
    if steps:
        lines.append(
            f"build       {human_seconds(sum(planned.build_s.values()))}: {steps}; "
            f"at most {human_bytes(planned.build_ram_bytes)} of RAM; embedding comes on top"
        )
    if planned.cold_share is not None:
        lines.append(f"page cache  {1 - planned.cold_share:.0%} of the exact vectors")
    return "\n".join(lines)
