"""Which dense index a store of a given size gets. The build and `compendia plan` ask the same function.

The rule behind the order of preference: spend bytes to need fewer candidates. docs/design/planner.md has the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, NamedTuple

from .checks import integer
from .errors import OverBudgetError, UsageError, nearest
from .expected import expect, searched_dimension
from .index.config import IndexConfig
from .index.dense import Footprint, Plan, family_module, index_footprint
from .index.dense.vectors import Metric

_SCANNED_ROWS = 2_000  # an exact scan of 2,000 x 384 takes 1.5 ms
_FLAT_ROWS = (
    300_000  # a flat scan takes 1.2 ms at 384 dimensions; beyond, inverted lists are worth their training
)
_MOST_LISTS = 65_536  # as many as CompactDS has for 1.85 billion; assigning rows to more would take days
_LEAST_ROWS_PER_LIST = 39  # fewer do not place a centroid (as in faiss)
_CACHED_SHARE = 0.8  # of the exact vectors; below it, candidates cost more than codes
_ROWS_PER_SEGMENT = 2_000  # of a shard of two million characters
_RANGE_BYTES = 8  # of a segment: its first row


def plan_index(
    rows: int,
    dimension: int,
    metric: Metric,
    config: IndexConfig,
    *,
    machine_ram_bytes: int | None = None,
) -> Plan | None:
    """The index that so many passages get; None: scanned exactly, without one.

    The first in the order of preference that fits the budget and should reach the recall. What `config` asks for by
    name is taken also if it should not reach it.

    Parameters
    ----------
    machine_ram_bytes
        Where it leaves no room for the float16 vectors, codes of more bits come first: each candidate is a read from
        disk. None: enough.

    Raises
    ------
    OverBudgetError
        If none fits; it says what would.
    UsageError
        If `config.parameters` are of no family, or not what they should be.
    """
    fitting: list[tuple[float, Plan | None]] = []
    for plan in _preferred(rows, dimension, metric, config, machine_ram_bytes):
        if config.ram_bytes is not None and ram_bytes(plan, rows, dimension) > config.ram_bytes:
            continue
        recall = expected_recall(plan, rows, dimension, config.recall)
        if recall >= config.recall:
            return plan
        fitting.append((recall, plan))
    if fitting and (config.ram_bytes is None or config.family != "auto"):
        return max(fitting, key=lambda found: found[0])[1]
    raise _over_budget(rows, dimension, metric, config)


def expected_recall(plan: Plan | None, rows: int, dimension: int, target: float) -> float:
    """recall@10 that the index should reach, at most `target`."""
    if plan is None:
        return target
    return min(target, expect(plan.family, plan.parameters, rows, dimension, target).recall)


def footprint(plan: Plan | None, rows: int, dimension: int) -> Footprint:
    """What an index costs; nothing where there is none."""
    return Footprint(0, 0, 0) if plan is None else index_footprint(plan, rows, dimension)


def store_ram_bytes(rows: int) -> dict[str, int]:
    """What an open store holds beside its index, by component."""
    return {
        "row tables": _RANGE_BYTES * (math.ceil(rows / _ROWS_PER_SEGMENT) + 1),
        "live mask": rows,  # once a passage has been deleted
    }


def ram_bytes(plan: Plan | None, rows: int, dimension: int) -> int:
    """RAM of an open store; the budget is for this."""
    return footprint(plan, rows, dimension).ram_bytes + sum(store_ram_bytes(rows).values())


def lists_for(rows: int) -> int:
    """Inverted lists: about 4 sqrt(n), where finding the lists and scanning their codes take as long."""
    return max(1, min(round(4 * math.sqrt(rows)), rows // _LEAST_ROWS_PER_LIST, _MOST_LISTS))


def subquantizers_for(dimension: int, dimensions_each: int) -> int:
    """The fewest that share out the dimension evenly, each at most `dimensions_each` of it."""
    least = math.ceil(dimension / dimensions_each)
    return next(count for count in range(least, dimension + 1) if dimension % count == 0)


def _preferred(
    rows: int, dimension: int, metric: Metric, config: IndexConfig, machine_ram_bytes: int | None
) -> Iterator[Plan | None]:
    """Every index that `config` allows, the best choice for the size first."""
    _check_parameters(config, dimension)
    if rows == 0 or config.family == "exact" or (config.family == "auto" and rows < _SCANNED_ROWS):
        yield None
        return
    taken: list[Plan] = []
    kept = searched_dimension(config.parameters, dimension)
    for family, chosen in _order(rows, kept, machine_ram_bytes):
        if config.family not in ("auto", family) or (family == "hnsw_sq8" and config.family == "auto"):
            continue
        if not config.parameters.keys() <= _parameter_names(family):
            continue
        parameters = {**chosen, **config.parameters}
        if family == "flat" and "engine" not in parameters:
            from .index.dense.flat import engine_for

            parameters["engine"] = engine_for(kept, metric, int(parameters["bits"]))
        plan = Plan(family, parameters)
        if plan not in taken:
            taken.append(plan)
            yield plan
    if not taken:
        raise _unknown_parameter(config)


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
    yield ("hnsw_sq8", {"links": 16, "construction_effort": 80})
    if rows <= _FLAT_ROWS:
        yield from (flat[4], flat[2])
    if machine_ram_bytes is not None:
        index = footprint(Plan(*product[0]), rows, dimension).ram_bytes
        if machine_ram_bytes - index < _CACHED_SHARE * rows * dimension * 2:
            yield from (random[4], random[3], random[2])
    yield product[0]
    yield random[1]
    yield from product[1:]
    # For a recall that the above do not reach.
    yield from (random[2], flat[2], random[3], random[4], flat[4], flat[8])


def _check_parameters(config: IndexConfig, dimension: int) -> None:
    for name, value in config.parameters.items():
        if name in ("bits", "lists", "subquantizers", "links", "construction_effort"):
            integer(f"index.parameters.{name}", value, at_least=1)
    reduction = config.parameters.get("reduction")
    if reduction is not None:
        asked = reduction.get("dimension") if isinstance(reduction, dict) else reduction
        if integer("index.parameters.reduction.dimension", asked, at_least=1) > dimension:
            raise UsageError(f"cannot reduce {dimension} dimensions to {asked}")


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


class Alternatives(NamedTuple):
    """What a budget has room for, where what was asked is too much."""

    needed_bytes: int  # the least that would do
    needed: Plan | None
    recall: float | None  # the highest, of the same vectors; None where no index fits
    plan: Plan | None  # that reaches it
    rows: int  # the most passages, at the recall asked for
    dimension: int | None  # the largest, after a reduction; None where none helps


def alternatives(rows: int, dimension: int, metric: Metric, config: IndexConfig) -> Alternatives:
    """What would fit `config.ram_bytes`. Every answer is one that `plan_index` accepts."""
    plans = list(_preferred(rows, dimension, metric, config, None))
    reaching = [
        plan for plan in plans if expected_recall(plan, rows, dimension, config.recall) >= config.recall
    ]
    needed = min(reaching or plans, key=lambda plan: ram_bytes(plan, rows, dimension))
    fitting = [plan for plan in plans if ram_bytes(plan, rows, dimension) <= (config.ram_bytes or 0)]
    recall, best = max(
        ((expected_recall(plan, rows, dimension, config.recall), i) for i, plan in enumerate(fitting)),
        default=(None, None),
    )
    return Alternatives(
        needed_bytes=ram_bytes(needed, rows, dimension),
        needed=needed,
        recall=None if recall is None else math.floor(recall * 100) / 100,
        plan=None if best is None else fitting[best],
        rows=_rounded_down(_most(rows, lambda count: _fits(count, dimension, metric, config))),
        dimension=8 * _most((dimension - 1) // 8, lambda count: _fits(rows, 8 * count, metric, config))
        or None,
    )


def _fits(rows: int, dimension: int, metric: Metric, config: IndexConfig) -> bool:
    for plan in _preferred(rows, dimension, metric, config, None):
        fits = ram_bytes(plan, rows, dimension) <= (config.ram_bytes or 0)
        if fits and (
            config.family != "auto" or expected_recall(plan, rows, dimension, config.recall) >= config.recall
        ):
            return True
    return False


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, by bisection; 0 where none does."""
    low, high = 0, limit + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _rounded_down(count: int) -> int:
    """To three digits."""
    unit: int = 10 ** max(0, len(str(count)) - 3)
    return count // unit * unit


def _over_budget(rows: int, dimension: int, metric: Metric, config: IndexConfig) -> OverBudgetError:
    instead = alternatives(rows, dimension, metric, config)
    options = []
    if instead.recall:
        options.append(f"recall {instead.recall:.2f} ({describe(instead.plan)})")
    if instead.rows:
        options.append(f"{instead.rows:,} passages")
    if instead.dimension:
        options.append(f"{instead.dimension} dimensions (Matryoshka or PCA; measure what they lose)")
    return OverBudgetError(
        f"{rows:,} passages of {dimension} dimensions at recall {config.recall:g} take "
        f"{_gigabytes(instead.needed_bytes)} of RAM at least ({describe(instead.needed)}), "
        f"{_gigabytes(config.ram_bytes or 0)} are allowed",
        hint="what fits: " + (" or ".join(options) or "nothing, at any size"),
    )


def describe(plan: Plan | None) -> str:
    """`ivf_pq, lists 4000, subquantizers 192, bits 4`."""
    if plan is None:
        return "no index"
    return ", ".join([plan.family, *(f"{name} {value}" for name, value in plan.parameters.items())])


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
