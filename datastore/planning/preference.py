"""The indexes that a store may have, in the order in which they are preferred.

The rule behind it: spend bytes to need fewer candidates. docs/design/planner.md has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any

from ..checks import integer
from ..errors import UsageError, nearest
from ..index.config import IndexConfig
from ..index.dense import Plan, family_module, index_footprint
from ..index.dense.vectors import Metric
from .expected import searched_dimension

_SCANNED_ROWS = 2_000  # an exact scan of 2,000 x 384 takes 1.5 ms
_FLAT_ROWS = 300_000  # a scan of 4-bit codes takes 1.2 ms; beyond, inverted lists are worth their training
_MOST_LISTS = 65_536  # as many as CompactDS has for 1.85 billion; assigning rows to more would take days
_WHOLE = {  # least and most
    "bits": (1, 8),
    "lists": (1, 2**31 - 1),
    "subquantizers": (1, 65_536),
    "links": (2, 1_024),
    "construction_effort": (1, 65_536),
    "seed": (0, 2**32 - 1),
}
_WORDS = {"engine": ("turbovec", "faiss"), "order": ("given", "intrinsic_dimension")}
_CACHED_SHARE = 0.8  # of the exact vectors; below it, candidates cost more than codes


def preferred(
    rows: int,
    dimension: int,
    metric: Metric,
    config: IndexConfig,
    machine_ram_bytes: int | None = None,
) -> Iterator[Plan | None]:
    """Every index that `config` allows, the best for the size first, whatever its budget; None: no index.

    Raises
    ------
    UsageError
        If `config.parameters` are of no family, or not what they should be.
    """
    check_parameters(config, dimension, metric)
    if rows == 0 or config.family == "exact" or (config.family == "auto" and rows < _SCANNED_ROWS):
        yield None
        return
    taken: list[Plan] = []
    refused: UsageError | None = None
    kept = searched_dimension(config.parameters, dimension)
    for family, chosen in _order(rows, kept, machine_ram_bytes):
        if config.family not in ("auto", family) or (family == "hnsw_sq8" and config.family == "auto"):
            continue
        if not config.parameters.keys() <= _parameter_names(family):
            continue
        parameters = {**chosen, **config.parameters}
        if family == "flat" and "engine" not in parameters:
            from ..index.dense.flat import engine_for

            parameters["engine"] = engine_for(kept, metric, int(parameters["bits"]))
        plan = Plan(family, parameters)
        if plan in taken:
            continue
        if config.parameters:
            try:
                index_footprint(plan, rows, dimension)
            except UsageError as error:  # a value that this family does not take
                refused = error
                continue
        taken.append(plan)
        yield plan
    if not taken:
        raise refused or _unknown_parameter(config)


def _order(
    rows: int, dimension: int, machine_ram_bytes: int | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    lists = lists_for(rows)
    product = [
        ("ivf_pq", {"lists": lists, "subquantizers": subquantizers_for(dimension, each), "bits": 4})
        for each in (2, 4, 6, 8, 12, 16, 32)
    ]
    random = {bits: ("ivf_rabitq", {"lists": lists, "bits": bits}) for bits in (1, 2, 3, 4)}
    flat: dict[int, tuple[str, Mapping[str, Any]]] = {bits: ("flat", {"bits": bits}) for bits in (2, 4, 8)}
    yield ("hnsw_sq8", {"links": 16, "construction_effort": 128})
    if rows <= _FLAT_ROWS:
        yield from (flat[4], flat[2])
    if machine_ram_bytes is not None:
        index = index_footprint(Plan(*product[0]), rows, dimension).ram_bytes
        if machine_ram_bytes - index < _CACHED_SHARE * rows * dimension * 2:
            yield from (random[4], random[3], random[2], product[0], random[1])
    # While candidates are cheap, four dimensions a subquantizer are faster than a bit a dimension, and smaller.
    yield from product[:2]
    yield random[1]
    yield from product[2:]
    # For a recall that the above do not reach.
    yield from (random[2], random[3], random[4], flat[4], flat[2], flat[8])


def check_parameters(config: IndexConfig, dimension: int, metric: Metric) -> None:
    """Refuse values that no build could use, whatever the number of rows: it would fail when there are rows to lose."""
    from ..index.dense.reduce import check_reduction

    for name, value in config.parameters.items():
        if name in _WHOLE:
            least, most = _WHOLE[name]
            if integer(f"index.parameters.{name}", value, at_least=least) > most:
                raise UsageError(f"index.parameters.{name} must be at most {most:,}, got {value:,}")
        elif name in _WORDS and value not in _WORDS[name]:
            raise UsageError(
                f"index.parameters.{name} must be one of {', '.join(_WORDS[name])}, got {value!r}"
            )
    reduction = config.parameters.get("reduction")
    if reduction is not None:
        if not isinstance(reduction, Mapping):
            raise UsageError(
                f"index.parameters.reduction must name its kind and dimension, got {reduction!r}",
                hint="reduction: {kind: pca, dimension: 192}",
            )
        check_reduction(reduction, dimension, metric)


def _parameter_names(family: str) -> set[str]:
    """What a user may set: what the family takes, and the reduction that any may have before it."""
    return {"reduction", *signature(family_module(family).footprint).parameters} - {"rows", "dimension"}


def _unknown_parameter(config: IndexConfig) -> UsageError:
    families = ("flat", "ivf_pq", "ivf_rabitq", "hnsw_sq8") if config.family == "auto" else (config.family,)
    known = set().union(*map(_parameter_names, families))
    unknown = sorted(config.parameters.keys() - known)
    if unknown:
        return UsageError(
            f"index.parameters: {config.family} has no parameter {unknown[0]!r}",
            hint=nearest(unknown[0], known),
        )
    return UsageError(
        f"index.parameters: no family takes all of {', '.join(sorted(config.parameters))}",
        hint="index.family: name the one that is meant",
    )


def lists_for(rows: int) -> int:
    """Inverted lists: as many as the families would take, but for the largest stores."""
    from ..index.dense.ivf_lists import default_lists

    return min(default_lists(rows), _MOST_LISTS)


def subquantizers_for(dimension: int, dimensions_each: int) -> int:
    """The fewest that share out the dimension evenly, each at most `dimensions_each` of it."""
    least = math.ceil(dimension / dimensions_each)
    return next(count for count in range(least, dimension + 1) if dimension % count == 0)
