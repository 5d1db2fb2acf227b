"""What a build did: the funnel of each source, seconds per stage, and what was set aside."""

from __future__ import annotations

import json
import platform
import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from datastore import CompendiaError
from datastore.files import write_durably
from datastore.machine import available_cores

from .document import Reject
from .executors import ExecutorName
from .recipe import Recipe
from .stages import Draft, ReadResult

SCHEMA = "compendia.build/1"


@dataclass
class SourceFunnel:
    """What became of one source. `records` is `documents` plus all that was dropped."""

    records: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    passages: int = 0
    tokens: int = 0
    unread_tokens: int = 0

    def add_read(self, result: ReadResult) -> None:
        self.records += result.records
        self.dropped.update(result.dropped)

    def add_draft(self, draft: Draft) -> None:
        self.documents += draft.counts.documents
        self.passages += draft.passages
        self.tokens += draft.counts.tokens
        self.unread_tokens += draft.counts.unread_tokens


Funnels = Mapping[str, SourceFunnel]
"""By source, in the order of the recipe."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did; `builds/<build>.json` of the store keeps it."""

    store: Path
    version: int
    changed: bool  # False: the store held exactly this already
    sources: Funnels
    seconds: Mapping[str, float]  # per stage, in order

    @property
    def passages(self) -> int:
        return sum(funnel.passages for funnel in self.sources.values())


class Clock:
    """Seconds per stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last lap was spent on `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def nothing_left(funnels: Funnels) -> CompendiaError:
    """The error of a build that has not one passage: why everything was dropped."""
    reasons: Counter[str] = Counter()
    for funnel in funnels.values():
        reasons.update(funnel.dropped)
    records = sum(funnel.records for funnel in funnels.values())
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return CompendiaError(
        f"no passage is left of {records} records ({listed or 'nothing was read'})",
        hint="look at the input, or loosen the filters, for example --set filters.length.min_words=1",
    )


def write_account(
    stem: Path,
    recipe: Recipe,
    executor: ExecutorName,
    funnels: Funnels,
    seconds: Mapping[str, float],
    rejects: Iterable[tuple[str, Reject]],
) -> None:
    """<stem>.json and <stem>.rejects.jsonl: what is worth knowing of a build and not part of the content."""
    lines = [
        json.dumps({"source": source, **reject._asdict()}, ensure_ascii=False) for source, reject in rejects
    ]
    write_durably(
        stem.with_name(f"{stem.name}.rejects.jsonl"), "".join(f"{line}\n" for line in lines).encode()
    )
    account = {
        "schema": SCHEMA,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": executor,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": available_cores(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": seconds,
        "sources": {name: vars(funnel) for name, funnel in funnels.items()},
        "recipe": recipe.content(),
    }
    write_durably(
        stem.with_name(f"{stem.name}.json"), json.dumps(account, ensure_ascii=False, indent=1).encode()
    )
