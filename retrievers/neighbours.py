"""A hit with the passages around it: a passage is cut for the encoder, its reader may want more of the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore import Datastore, Hits
from datastore.checks import integer
from datastore.snapshot import Snapshot

from .explain import ChainHits, Part, revised
from .parameters import written
from .selectors import Selector, snapshot_of


@dataclass(frozen=True, repr=False)
class Neighbours(Selector):
    """Each hit with the passages before and after it in its document, as one text.

    Hits that would share a passage become one: it has the id, the score and the place of the best of them. Only
    what is next to a hit without a gap is brought in: a passage that is deleted, or that the filter excludes, ends
    the text there.

    Attributes
    ----------
    before, after
        Passages at most on either side.
    """

    before: int = 1
    after: int = 1

    name: ClassVar[str] = "neighbours"
    merges: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for side in ("before", "after"):
            object.__setattr__(self, side, integer(side, getattr(self, side), at_least=0))

    def __call__(self, *, before: int = before, after: int = after) -> Neighbours:
        """A selector with these parameters; what is not given has its default."""
        return Neighbours(before, after)

    def __repr__(self) -> str:
        return written(self.name, self)

    def depth(self, k: int) -> int:
        """Twice as many, since hits of one document often stand side by side."""
        return 2 * k if self.before or self.after else k

    def bind(self, store: Datastore) -> BoundNeighbours:
        return BoundNeighbours(self, store)


@dataclass(frozen=True)
class BoundNeighbours:
    selector: Neighbours
    store: Datastore

    def select(self, queries: Sequence[str], hits: Hits, k: int, where: str | None = None) -> ChainHits:
        del queries
        snapshot = snapshot_of(hits, self.store)
        passages = _Passages(snapshot, snapshot.mask(where))
        known = hits.spans if isinstance(hits, ChainHits) and hits.spans else [{}] * len(hits)
        rows = np.full((len(hits), k), -1, dtype=np.int64)
        scores = np.full((len(hits), k), -np.inf, dtype=np.float32)
        spans: list[Mapping[int, tuple[Part, ...]]] = []
        for query, line in enumerate(hits.rows):
            merged = self._merged(passages, line[line >= 0].tolist(), known[query], k)
            places = list(merged)
            rows[query, : len(places)] = line[places]
            scores[query, : len(places)] = hits.scores[query, places]
            spans.append(
                {int(line[place]): passages.parts(span) for place, span in merged.items() if len(span) > 1}
            )
        return revised(hits, rows=rows, scores=scores, spans=spans)

    def _merged(
        self, passages: _Passages, hits: list[int], known: Mapping[int, tuple[Part, ...]], k: int
    ) -> dict[int, set[int]]:
        """The rows of at most k spans, by the place of the best hit in each."""
        spans: dict[int, set[int]] = {}
        owners: dict[int, int] = {}
        for place, row in enumerate(hits):
            own = [part.row for part in known.get(row, ())] or [row]
            span = {
                *own,
                *passages.run(own[0], -1, self.selector.before),
                *passages.run(own[-1], 1, self.selector.after),
            }
            best, *others = sorted({owners[shared] for shared in span if shared in owners}) or [place]
            if best == place and len(spans) == k:
                break
            for other in others:
                span |= spans.pop(other)
            spans[best] = spans.get(best, set()) | span
            owners.update(dict.fromkeys(spans[best], best))
        return spans


class _Place(NamedTuple):
    source: str
    document_id: str
    ordinal: int


class _Passages:
    """Where passages stand in their documents, read once each."""

    def __init__(self, snapshot: Snapshot, mask: NDArray[np.bool_] | None) -> None:
        self._catalog = snapshot.catalog
        self._mask = mask
        self._places: dict[int, tuple[_Place, Part]] = {}
        self._documents: dict[str, dict[_Place, int]] = {}

    def parts(self, rows: Iterable[int]) -> tuple[Part, ...]:
        """In document order."""
        return tuple(self._read(row)[1] for row in sorted(rows, key=lambda row: (self._read(row)[0], row)))

    def run(self, row: int, step: int, count: int) -> list[int]:
        """At most `count` rows that follow a row in its document, in the direction of `step` (1 or -1)."""
        found: list[int] = []
        while len(found) < count:
            following = self._next(row, step)
            if following is None:
                break
            found.append(following)
            row = following
        return found

    def _next(self, row: int, step: int) -> int | None:
        place, _ = self._read(row)
        wanted = place._replace(ordinal=place.ordinal + step)
        if wanted.ordinal < 0:
            return None
        beside = row + step
        if 0 <= beside < self._catalog.rows and self._allowed(beside) and self._read(beside)[0] == wanted:
            return beside
        # The end of the document, or an edit: what was added later stands in a segment of its own.
        if place.document_id not in self._documents:
            rows = self._catalog.rows_of_documents([place.document_id]).tolist()
            self._documents[place.document_id] = {self._read(row)[0]: row for row in rows}
        found = self._documents[place.document_id].get(wanted)
        return found if found is not None and self._allowed(found) else None

    def _allowed(self, row: int) -> bool:
        return self._mask is None or bool(self._mask[row])

    def _read(self, row: int) -> tuple[_Place, Part]:
        if row not in self._places:
            numbers, positions = self._catalog.locate(np.array([row]))
            passage = self._catalog.segments[int(numbers[0])].read_passage(int(positions[0]))
            self._places[row] = (
                _Place(passage.source, passage.document_id, passage.ordinal),
                Part(row, passage.start, passage.end),
            )
        return self._places[row]


neighbours = Neighbours()
