"""The search path from query vectors to ranked rows.

mask of rows -> each index proposes candidates -> exact vectors decide. What no index covers is scanned exactly, and so is
whatever an index could not answer as promised.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .catalog import Mask
from .dense_part import DensePart
from .errors import SearchTimeoutError
from .hits import merge_best, rank, some_missing
from .planning.costs import exact_rows_us, exact_scan_us
from .recall.calibration import Setting
from .rescore import ExactVectors

# Bounds the arrays of candidates, and how long a search runs past its timeout.
_QUERIES_PER_BLOCK = 256
_ROWS_PER_BLOCK = 65_536
# Candidates an index without a measured curve is asked for: 4 k, at least k + 30.
_UNMEASURED_FACTOR, _UNMEASURED_EXTRA = 4, 30
_SECOND_ENCODER_FACTOR, _SECOND_ENCODER_LEAST = 10, 100
_ROUTES_KEPT = 256  # an application asks for few recalls and depths


class Request(NamedTuple):
    """What is asked of a version; see `Datastore.search`."""

    k: int
    recall: float = 0.95
    candidates: int | None = None
    effort: int | None = None
    fused: bool = False
    deadline: float = float("inf")  # of time.monotonic()

    def check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise SearchTimeoutError(
                "the search took longer than its timeout_s",
                hint="ask fewer queries at a time, for less recall, or allow more time",
            )


class Ranked(NamedTuple):
    rows: NDArray[np.int64]  # (nq, k), best first, -1 where there are fewer
    scores: NDArray[np.float32]  # (nq, k)
    route: str
    timings_ms: dict[str, float]


class VectorSearch:
    """Vectors of a version with the indexes over them. Immutable and safe for concurrent searches."""

    def __init__(
        self,
        index_vectors: ExactVectors,
        parts: Sequence[DensePart],
        tail: NDArray[np.int64],
        second: ExactVectors | None = None,
    ) -> None:
        """`tail`: the rows that no part covers. `second`: another encoder's vectors, which decide in place of the first."""
        self.index_vectors = index_vectors
        self.vectors = index_vectors if second is None else second
        self.parts = parts
        self._tail = tail
        self._has_second = second is not None
        self._counted: tuple[Mask, _Counts] | None = None
        self._routes: dict[tuple[object, ...], _Route] = {}

    @property
    def rows(self) -> int:
        """Rows, the deleted ones included."""
        return self.index_vectors.rows

    def search(
        self,
        queries: NDArray[np.float32],
        request: Request,
        mask: Mask | None,
        exact_queries: NDArray[np.float32] | None = None,
    ) -> Ranked:
        """The k best rows, of those that `mask` (`Snapshot.mask`) allows, for each of (nq, d) queries.

        `exact_queries` are theirs in the space of the exact vectors, where that is another encoder's.
        """
        timings: dict[str, float] = {}
        route = self._route(request, mask)
        if len(queries) <= _QUERIES_PER_BLOCK:
            asked = _Asked(queries, exact_queries)
            return Ranked(*self._search_block(asked, request, mask, route, timings), timings)
        blocks = []
        for start in range(0, len(queries), _QUERIES_PER_BLOCK):
            part = slice(start, start + _QUERIES_PER_BLOCK)
            asked = _Asked(queries[part], None if exact_queries is None else exact_queries[part])
            blocks.append(self._search_block(asked, request, mask, route, timings))
        all_rows, all_scores, names = zip(*blocks, strict=True)
        return Ranked(np.concatenate(all_rows), np.concatenate(all_scores), max(names, key=len), timings)

    def _route(self, request: Request, mask: Mask | None) -> _Route:
        """How to find the candidates: cheapest first, exactly where that is cheaper or nothing else will do."""
        route = self._unfiltered_route(request)
        if mask is None or route.settings is None:
            return route
        counts = self._count(mask)
        widened, cost_us = False, 0.0
        for part, setting, allowed in zip(self.parts, route.settings, counts.of_parts, strict=True):
            if not allowed:
                continue
            selectivity = allowed / part.rows
            # A family raises its own effort under a mask.
            widened |= setting.effort is not None and selectivity < 1
            cost_us += setting.cost_us / selectivity**0.5
        if request.candidates is None and request.effort is None:
            exact_us = min(
                exact_rows_us(counts.matches, self.index_vectors.dimension),
                exact_scan_us(self.rows, self.index_vectors.dimension),
            )
            if exact_us <= cost_us:
                return _Route(f"exact: {counts.matches:,} of {self.rows:,} rows match", None)
        return route._replace(name="index, more effort for the filter") if widened else route

    def _unfiltered_route(self, request: Request) -> _Route:
        """How to find candidates among all rows: exactly where nothing else will do. Chosen once for equal requests."""
        key = request.k, request.recall, request.candidates, request.effort
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            route = self._routes[key] = self._choose_route(request)
        return route

    def _choose_route(self, request: Request) -> _Route:
        if not self.parts:
            return _Route("exact: no index", None)
        if request.recall == 1 and request.candidates is None and request.effort is None:
            return _Route("exact: recall 1 was asked for", None)
        settings: list[Setting] = []
        for part in self.parts:
            setting = self._setting(part, request)
            if setting is None:
                assert part.curve is not None
                best = part.curve.reached(request.k)
                return _Route(
                    f"exact: the index reaches recall {best:.6g}, {request.recall:g} was asked for", None
                )
            settings.append(setting)
        return _Route("index", settings)

    def _count(self, mask: Mask) -> _Counts:
        """Rows that a mask allows; counted once for a mask that is used again and again, as that of deletes is."""
        known = self._counted
        if known is None or known[0] is not mask:
            counts = _Counts(int(np.count_nonzero(mask)), [part.count(mask) for part in self.parts])
            known = self._counted = (mask, counts)
        return known[1]

    def _setting(self, part: DensePart, request: Request) -> Setting | None:
        """How to ask an index; None where it cannot give the recall that is asked for."""
        k = request.k
        found = None
        if part.curve is not None and (request.candidates is None or request.effort is None):
            found = part.setting(k, request.recall)
            if found is None and request.candidates is None and request.effort is None:
                return None
        if found is None:
            found = Setting(None, max(_UNMEASURED_FACTOR * k, k + _UNMEASURED_EXTRA), 0.0, 0.004 * part.rows)
        candidates = found.candidates if request.candidates is None else request.candidates
        effort = found.effort if request.effort is None else request.effort
        if self._has_second and request.candidates is None:
            # The second encoder orders them anew: what it would put first may stand far down in the first one's order.
            candidates = max(candidates, _SECOND_ENCODER_FACTOR * k, _SECOND_ENCODER_LEAST)
        return found._replace(effort=effort, candidates=max(k, min(candidates, part.rows)))

    def _search_block(
        self,
        asked: _Asked,
        request: Request,
        mask: Mask | None,
        route: _Route,
        timings: dict[str, float],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], str]:
        request.check_time()
        started = time.perf_counter()
        if route.settings is None:
            rows, scores = self._exactly(asked, request, mask)
            _add(timings, "exact", started)
            return rows, scores, route.name
        found, short = self._candidates(asked.queries, route, mask, request)
        _add(timings, "index", started)
        request.check_time()
        started = time.perf_counter()
        rows, scores = rank(found, self._scores(asked, found, request), request.k)
        name = route.name
        if short is not None and request.candidates is None:
            # The index ran out of matches near these queries: only all matches are sure to hold the best.
            rows[short], scores[short] = self._exactly(asked.some(short), request, mask)
            name = f"{name}; exact for {int(short.sum())} queries"
        _add(timings, "rescore", started)
        return rows, scores, name

    def _scores(self, asked: _Asked, rows: NDArray[np.int64], request: Request) -> NDArray[np.float32]:
        """(nq, m) scores of each query's own rows: of the exact vectors, or the mean of both encoders'."""
        if asked.exact is None:
            return self.index_vectors.scores(asked.queries, rows)
        scores = self.vectors.scores(asked.exact, rows)
        if request.fused:
            scores = _mean(scores, self.index_vectors.scores(asked.queries, rows))
        return scores

    def _candidates(
        self, queries: NDArray[np.float32], route: _Route, mask: Mask | None, request: Request
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """(nq, m) rows that the indexes propose, and (nq,) for which queries they found fewer than they should."""
        assert route.settings is not None
        proposed: list[NDArray[np.int64]] = []
        short: NDArray[np.bool_] | None = None
        counts = [part.rows for part in self.parts] if mask is None else self._count(mask).of_parts
        for part, setting, allowed in zip(self.parts, route.settings, counts, strict=True):
            rows = part.search(queries, setting.candidates, mask, setting.effort).ordinals
            # Without a filter fewer candidates than asked for are what the effort was measured with.
            expected = min(request.k if mask is None else setting.candidates, allowed)
            if some_missing(rows[:, :expected]):
                lacking = rows[:, expected - 1] < 0
                short = lacking if short is None else short | lacking
            proposed.append(rows)
        if len(self._tail):
            depth = max(setting.candidates for setting in route.settings)
            proposed.append(self._best(self._tail, mask, _Asked(queries, None), request, depth)[0])
        return (proposed[0] if len(proposed) == 1 else np.concatenate(proposed, axis=1)), short

    def _exactly(
        self, asked: _Asked, request: Request, mask: Mask | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best of all rows that the mask allows, by exact vectors."""
        return self._best(np.arange(self.rows), mask, asked, request, request.k)

    def _best(
        self, rows: NDArray[np.int64], mask: Mask | None, asked: _Asked, request: Request, depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `depth` best of these ascending rows, where the mask allows them, by exact vectors."""
        if mask is not None:
            rows = rows[mask[rows]]
        exact, vectors = (
            (asked.queries, self.index_vectors) if asked.exact is None else (asked.exact, self.vectors)
        )
        best = np.empty((len(exact), 0), dtype=np.int64), np.empty((len(exact), 0), dtype=np.float32)
        for start in range(0, max(len(rows), 1), _ROWS_PER_BLOCK):
            request.check_time()
            block = rows[start : start + _ROWS_PER_BLOCK]
            scores = vectors.scores_of_rows(exact, block)
            if asked.exact is not None and request.fused:
                scores = _mean(scores, self.index_vectors.scores_of_rows(asked.queries, block))
            best = merge_best(best, block, scores, depth)
        return best


class _Counts(NamedTuple):
    """Rows that a mask allows."""

    matches: int
    of_parts: list[int]


class _Asked(NamedTuple):
    """A block of queries, as the index's encoder sees them and, where there is a second one, as that does."""

    queries: NDArray[np.float32]  # (nq, d)
    exact: NDArray[np.float32] | None  # (nq, d of the exact vectors)

    def some(self, chosen: NDArray[np.bool_]) -> _Asked:
        return _Asked(self.queries[chosen], None if self.exact is None else self.exact[chosen])


class _Route(NamedTuple):
    name: str
    settings: list[Setting] | None  # one for each index; None: score all matches exactly


def _mean(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return (one + other) * np.float32(0.5)


def _add(timings: dict[str, float], stage: str, started: float) -> None:
    timings[stage] = timings.get(stage, 0.0) + (time.perf_counter() - started) * 1e3
