"""What a build did: the funnel of each source, seconds per stage, and what was set aside."""

from __future__ import annotations

import json
import platform
import resource
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from datastore import CompendiaError
from datastore.files import write_durably
from datastore.machine import available_cores
from datastore.manifest import read_manifest

from .corpus import Corpus
from .decide import Decision
from .document import Reject
from .executors import ExecutorName
from .page import page
from .recipe import Recipe
from .stages.chunk import Draft
from .sync import Changes

SCHEMA = "compendia.account/1"


@dataclass
class Size:
    """How much text: `documents` and what is in them."""

    documents: int = 0
    words: int = 0
    bytes: int = 0


@dataclass
class SourceFunnel:
    """What became of one source. Records are what was read and `set_aside`; of what was read, `drops` went."""

    records: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)  # records by the reader's reason
    read: Size = field(default_factory=Size)
    edited: Size = field(default_factory=Size)  # the same documents after the filters' edits
    drops: dict[str, Size] = field(default_factory=dict)  # by reason, in the order in which they decide
    kept: Size = field(default_factory=Size)
    passages: int = 0  # in the version
    contaminated: int = 0  # passages that were left out; of those that this build cut
    tokens: int = 0  # of the passages that this build cut
    unread_tokens: int = 0
    changes: Counter[str] = field(
        default_factory=Counter
    )  # new, changed, unchanged, removed, vanished documents
    broken: dict[str, str] = field(default_factory=dict)  # inputs that broke off or gave nothing: the reason
    skipped: Mapping[str, int] = field(default_factory=dict)  # files without a reader, by suffix

    def add_draft(self, draft: Draft) -> None:
        self.tokens += draft.counts.tokens
        self.unread_tokens += draft.counts.unread_tokens
        self.contaminated += draft.contaminated

    @property
    def documents(self) -> int:
        return self.kept.documents

    @property
    def dropped(self) -> Counter[str]:
        """Records and documents that are not in the store, by reason."""
        return Counter(self.set_aside) + Counter({name: size.documents for name, size in self.drops.items()})

    def content(self) -> dict[str, object]:
        """As plain data."""
        return {
            **vars(self),
            "read": vars(self.read),
            "edited": vars(self.edited),
            "drops": {reason: vars(size) for reason, size in self.drops.items()},
            "kept": vars(self.kept),
            "documents": self.documents,
            "dropped": self.dropped,
        }


Funnels = Mapping[str, SourceFunnel]
"""By source, in the order of the recipe."""


def funnels_of(recipe: Recipe, corpus: Corpus, decision: Decision, changes: Changes) -> Funnels:
    """The funnel of each source, but for what is cut into passages."""
    funnels = {source.name: SourceFunnel() for source in recipe.sources}
    for source, _, result in corpus.results:
        funnels[source].records += result.records
        funnels[source].set_aside.update(result.dropped)
    for source, damaged in corpus.damaged:
        if damaged.is_broken:
            funnels[source].broken[damaged.unit] = damaged.reason
    for source, skipped in corpus.skipped.items():
        funnels[source].skipped = skipped
    documents, words, sizes = (decision.totals(column) for column in ("documents", "words", "bytes"))
    raw_words, raw_bytes = decision.totals("raw_words"), decision.totals("raw_bytes")
    for source, by_reason in documents.items():
        funnel = funnels[source]
        count = sum(by_reason.values())
        funnel.read = Size(count, sum(raw_words[source].values()), sum(raw_bytes[source].values()))
        funnel.edited = Size(count, sum(words[source].values()), sum(sizes[source].values()))
        for reason in decision.reasons:
            if reason in by_reason:
                size = Size(by_reason[reason], words[source].get(reason, 0), sizes[source].get(reason, 0))
                if reason:
                    funnel.drops[reason] = size
                else:
                    funnel.kept = size
    for source, counts in changes.counts.items():
        if source in funnels:
            funnels[source].changes = counts
    return funnels


@dataclass(frozen=True)
class BuildReport:
    """What a build did; `builds/<build>.json` of the store keeps it."""

    store: Path
    version: int
    changed: bool  # False: the store held exactly this already
    sources: Funnels
    seconds: Mapping[str, float]  # per stage, in order
    recipe_changes: Sequence[str] = ()  # keys in which the recipe differs from that of the version before
    input_changes: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # `source/unit` by new, changed, gone

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
    corpus_key: str,
) -> None:
    """<stem>.json, .html and .rejects.jsonl: what is worth knowing of a build and not part of the content."""
    listed = [{"source": source, **reject._asdict()} for source, reject in rejects]
    lines = "".join(json.dumps(reject, ensure_ascii=False) + "\n" for reject in listed)
    write_durably(stem.with_name(f"{stem.name}.rejects.jsonl"), lines.encode())
    account = {
        "schema": SCHEMA,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": executor,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": available_cores(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": seconds,
        "sources": {name: funnel.content() for name, funnel in funnels.items()},
        "corpus": corpus_key,
        "recipe": recipe.content(),
        "root": str(recipe.root.expanduser().absolute()),
    }
    write_durably(stem.with_name(f"{stem.name}.html"), page(account, listed).encode())
    write_durably(
        stem.with_name(f"{stem.name}.json"), json.dumps(account, ensure_ascii=False, indent=1).encode()
    )


def write_leaks(
    store: Path, build: str, found: Sequence[pa.Table], deleted: Mapping[str, Sequence[str]], *, stays: bool
) -> None:
    """builds/<build>.leaks.jsonl: passages that were left out, with the question and the words they share with it.

    Those of documents that stay as an earlier build cut them, where any does, come from its report.
    """
    rows = [row for table in found for row in table.to_pylist()]
    manifest = read_manifest(store) if stays else None
    earlier = store / "builds" / f"{manifest.build}.leaks.jsonl" if manifest and manifest.build else None
    if earlier is not None and earlier.exists():
        gone = {(source, name) for source, names in deleted.items() for name in names}
        gone |= {(row["source"], row["document_id"]) for row in rows}
        with earlier.open(encoding="utf-8") as lines:
            old = [json.loads(line) for line in lines]
        rows = [row for row in old if (row["source"], row["document_id"]) not in gone] + rows
    lines_out = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_durably(store / "builds" / f"{build}.leaks.jsonl", lines_out.encode())


def keep_models(stem: Path, recipe: Recipe) -> None:
    """<stem>.quality-<hash>.safetensors: the classifiers that decided, beside the recipe that names them."""
    for source in recipe.sources:
        quality = recipe.filters_of(source.name).quality
        if quality is not None:
            path = stem.with_name(f"{stem.name}.quality-{quality.content_hash()[:16]}.safetensors")
            if not path.exists():
                write_durably(path, Path(quality.model).read_bytes())
