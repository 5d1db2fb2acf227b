"""The recall that an index can be expected to reach, before it is built: what the planner goes by.

    recall = coverage (share of the true ten in what is visited) · depth (share of those among the candidates)

Both were measured on 39,916 real vectors of 384 dimensions and on a million that continue their trend. Their log odds
are close to linear in the logarithms of effort, candidates and bits, and are extrapolated so
(docs/design/planner.md). Once an index is built, its own curve counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, exp, log
from typing import Any, NamedTuple

from .costs import query_us

_MEASURED_ROWS = 40_000  # of the depths
_MEASURED_LISTS = 4_000
_MEASURED_GRAPH_ROWS = 250_000
_LEAST_CANDIDATES = 15
_MOST_CANDIDATES = 300  # for ten hits; as many as are measured when the index is built
_MOST_EFFORT = 1_024

# Share of the true ten in the lists probed, of 4,000 over a million rows: by lists probed.
_PROBED = {4: 0.697, 8: 0.801, 16: 0.873, 32: 0.924, 64: 0.960, 128: 0.980, 256: 0.991, 512: 0.996}
_LISTS_EXPONENT = 0.3  # eight times the lists: 1.7 to 2 times the misses
# The same of a graph of 16 neighbours over 250,000 rows: by nodes visited.
_VISITED = {64: 0.945, 128: 0.978, 256: 0.993}
_GRAPH_EXPONENT = 0.4  # four times the rows: 1.7 to 2 times the misses

# Candidates that hold .90, .95 and .99 of the true ten, of 40,000 rows: by bits a dimension.
_RECALLS = (0.90, 0.95, 0.99)
_DEPTHS: Mapping[str, Mapping[float, tuple[int, int, int]]] = {
    "flat": {2: (15, 20, 30), 4: (10, 12, 15), 8: (9, 10, 11)},
    "ivf_pq": {1 / 3: (235, 446, 1309), 0.5: (86, 157, 471), 1: (25, 38, 78), 2: (13, 16, 24), 4: (10, 11, 13)},
    "ivf_rabitq": {1: (22, 32, 67), 2: (12, 15, 22), 3: (11, 12, 16), 4: (10, 11, 13)},
    "hnsw_sq8": {8: (9, 10, 11)},
}  # fmt: skip
# The power of the rows with which they grow.
_GROWTHS: Mapping[str, Mapping[float, float]] = {
    "flat": {1: 0.1},
    "ivf_pq": {0.5: 0.41, 1: 0.3, 2: 0.16},
    "ivf_rabitq": {1: 0.2, 2: 0.1},
    "hnsw_sq8": {8: 0.1},
}


class Expected(NamedTuple):
    """A setting of an index, and the recall@10 that it should give."""

    effort: int | None
    candidates: int
    recall: float


def expect(family: str, parameters: Mapping[str, Any], rows: int, dimension: int, recall: float) -> Expected:
    """The cheapest setting that should reach `recall`, or the setting of the highest recall where none does."""
    bits = bits_per_dimension(family, parameters, dimension)
    most = min(_MOST_CANDIDATES, max(rows, 10))
    reaching: list[tuple[float, Expected]] = []
    best = Expected(None, most, 0.0)
    for effort in _efforts(family, parameters):
        covered = coverage(family, parameters, rows, effort)
        reached = covered * _depth(family, bits, rows, most)
        if reached >= recall:
            candidates = min(most, _candidates(family, bits, rows, recall / covered))
            cost = query_us(family, parameters, rows, dimension, effort, candidates)
            reaching.append((cost, Expected(effort, candidates, recall)))
        if reached > best.recall:
            best = Expected(effort, most, reached)
    return min(reaching)[1] if reaching else best


def coverage(family: str, parameters: Mapping[str, Any], rows: int, effort: int | None) -> float:
    """Share of the true ten that lies in what is visited at an effort."""
    if effort is None:
        return 1.0
    if family == "hnsw_sq8":
        growth = (rows / _MEASURED_GRAPH_ROWS) ** _GRAPH_EXPONENT
        return _odds_to_share(_line(log(effort), _points(_VISITED)), growth)
    lists = int(parameters["lists"])
    if effort >= lists:
        return 1.0
    growth = max(1.0, lists / _MEASURED_LISTS) ** _LISTS_EXPONENT
    return _odds_to_share(_line(log(effort), _points(_PROBED)), growth)


def searched_dimension(parameters: Mapping[str, Any], dimension: int) -> int:
    """Dimensions of the vectors that the index holds, which a reduction may have made fewer."""
    reduction = parameters.get("reduction")
    return dimension if reduction is None else int(reduction["dimension"])


def bits_per_dimension(family: str, parameters: Mapping[str, Any], dimension: int) -> float:
    """Of the code, by dimension of the exact vectors: a reduction loses about what as short a code loses."""
    bits = 8 if family == "hnsw_sq8" else int(parameters["bits"])
    each = parameters["subquantizers"] if family == "ivf_pq" else searched_dimension(parameters, dimension)
    return float(bits * each / dimension)


def _efforts(family: str, parameters: Mapping[str, Any]) -> list[int | None]:
    if family == "flat":
        return [None]
    most = _MOST_EFFORT if family == "hnsw_sq8" else min(_MOST_EFFORT, int(parameters["lists"]))
    grid = sorted({1 << power for power in range(11)} | {3 << power for power in range(9)})
    return [*(effort for effort in grid if effort < most), most]


def _candidates(family: str, bits: float, rows: int, recall: float) -> int:
    depth = exp(_line(_log_odds(recall), [(odds, depth) for depth, odds in _depths(family, bits)]))
    return max(_LEAST_CANDIDATES, ceil(depth * _growth(family, bits, rows)))


def _depth(family: str, bits: float, rows: int, candidates: int) -> float:
    """Share of the true ten among so many candidates."""
    at = log(candidates / _growth(family, bits, rows))
    return _odds_to_share(_line(at, _depths(family, bits)))


def _depths(family: str, bits: float) -> list[tuple[float, float]]:
    """Logarithms of candidates, and the log odds of a true one among them, for codes of this many bits."""
    columns = zip(*_DEPTHS[family].values(), strict=True)
    return [
        (
            _line(
                log(bits), [(log(b), log(depth)) for b, depth in zip(_DEPTHS[family], column, strict=True)]
            ),
            odds,
        )
        for column, odds in zip(columns, map(_log_odds, _RECALLS), strict=True)
    ]


def _growth(family: str, bits: float, rows: int) -> float:
    table = _GROWTHS[family]
    exponent = _line(min(max(bits, min(table)), max(table)), list(table.items()))
    return float((rows / _MEASURED_ROWS) ** exponent)


def _points(shares: Mapping[int, float]) -> list[tuple[float, float]]:
    return [(log(effort), _log_odds(share)) for effort, share in shares.items()]


def _log_odds(share: float) -> float:
    # A share of one has no odds; nothing here is known to a thousandth.
    share = min(share, 0.9999)
    return log(share / (1 - share))


def _odds_to_share(log_odds: float, misses: float = 1.0) -> float:
    """The share at these odds, when misses are so many times as likely."""
    return 1 / (1 + misses * exp(-log_odds))


def _line(at: float, points: Sequence[tuple[float, float]]) -> float:
    """Piecewise linear through points of ascending x; the first and last piece go on beyond them."""
    if len(points) == 1:
        return points[0][1]
    right = next((i for i in range(1, len(points)) if at <= points[i][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (at - x0) * (y1 - y0) / (x1 - x0)
