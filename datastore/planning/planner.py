"""Which dense index a store gets within its budget. The build and `compendia plan` ask the same function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import OverBudgetError
from ..filters import cache_bytes
from ..index.config import IndexConfig
from ..index.dense import Footprint, Plan, index_footprint
from ..index.dense.vectors import Metric
from ..manifest import IndexEntry
from .expected import expect
from .preference import preferred

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
    for plan in preferred(rows, dimension, metric, config, machine_ram_bytes):
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
        "filter masks": cache_bytes(rows),  # at most, once filters are used
    }


def ram_bytes(plan: Plan | None, rows: int, dimension: int) -> int:
    """RAM of an open store; the budget is for this."""
    return footprint(plan, rows, dimension).ram_bytes + sum(store_ram_bytes(rows).values())


def indexes_ram_bytes(indexes: Iterable[IndexEntry], rows: int, dimension: int) -> int:
    """RAM of an open store of so many rows with these dense indexes, of which there may be several."""
    of_indexes = (
        footprint(Plan(index.family, index.parameters), index.rows, dimension).ram_bytes for index in indexes
    )
    return sum(of_indexes) + sum(store_ram_bytes(rows).values())


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
    plans = list(preferred(rows, dimension, metric, config))
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
        dimension=None
        if config.parameters.keys() & {"reduction", "subquantizers"}  # made for this dimension
        else 8 * _most((dimension - 1) // 8, lambda count: _fits(rows, 8 * count, metric, config)) or None,
    )


def _fits(rows: int, dimension: int, metric: Metric, config: IndexConfig) -> bool:
    for plan in preferred(rows, dimension, metric, config):
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
    needed, allowed = needed_and_allowed(instead.needed_bytes, config.ram_bytes or 0)
    return OverBudgetError(
        f"{rows:,} passages of {dimension} dimensions at recall {config.recall:g} take {needed} of RAM at least "
        f"({describe(instead.needed)}), {allowed} are allowed",
        hint="what fits: " + (" or ".join(options) or "nothing, at any size"),
    )


def describe(plan: Plan | None) -> str:
    """`ivf_pq, lists 4000, subquantizers 192, bits 4`."""
    if plan is None:
        return "no index"
    return ", ".join([plan.family, *(f"{name} {value}" for name, value in plan.parameters.items())])


def needed_and_allowed(needed_bytes: int, allowed_bytes: int) -> tuple[str, str]:
    """Both for people, with as many digits as it takes to tell them apart."""
    unit, scale = ("GB", 1e9) if needed_bytes >= 1e9 else ("MB", 1e6)
    for digits in range(1, 10):
        needed, allowed = (f"{count / scale:,.{digits}f}" for count in (needed_bytes, allowed_bytes))
        if needed != allowed:
            break
    return f"{needed} {unit}", f"{allowed} {unit}"
