"""The corpus of a build: all inputs read into shards, what an earlier run read among them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import xxhash

from datastore import CompendiaError, NotFoundError, UsageError
from datastore.files import content_key, write_durably

from .document import FAILURES_ALLOWED, Reject, is_failure
from .executors import Executor
from .known_parts import KnownParts
from .progress import Progress
from .recipe import Recipe, ShardConfig
from .sources import inventory, reader_version
from .sources.unit import Unit
from .stages.read import Damaged, ReadResult, ReadTask, Shard, read_result, read_units

LISTING = "corpus.json"
PARTS = "parts.json"
_MORE_RECORDS = 4  # in a byte that is not read yet than in one that is, at most


class Corpus(NamedTuple):
    """What was read, in the order of the recipe and of the units' names, whatever order it was read in."""

    results: list[tuple[str, str, ReadResult]]  # (source, key, result)
    units: Mapping[tuple[str, str], str]  # identity by (source, name), of all inputs that are there
    skipped: Mapping[str, Mapping[str, int]]  # by source, files without a reader, by suffix

    @property
    def shards(self) -> list[Shard]:
        return [shard for _, _, result in self.results for shard in result.shards]

    @property
    def rejects(self) -> list[tuple[str, Reject]]:
        return [(source, reject) for source, _, result in self.results for reject in result.rejects]

    @property
    def damaged(self) -> list[tuple[str, Damaged]]:
        return [(source, damaged) for source, _, result in self.results for damaged in result.damaged]

    @property
    def key(self) -> str:
        """Names what was read: the same inputs, read alike, have the same key."""
        return content_key([key for _, key, _ in self.results], sorted(self.units.items()))

    def save(self, work: Path) -> None:
        """Write down what was read, for the next build and for `refilter`."""
        listing = {
            "read": [(source, key) for source, key, _ in self.results],
            "units": sorted((*unit, identity) for unit, identity in self.units.items()),
            "skipped": self.skipped,
        }
        write_durably(work / LISTING, json.dumps(listing, ensure_ascii=False).encode("utf-8"))


class Inputs(NamedTuple):
    """What there is to read."""

    tasks: list[
        ReadTask
    ]  # one for each group of units, in order; the key names all that its result depends on
    skipped: dict[str, dict[str, int]]  # as of `Corpus`


def find_inputs(work: Path, recipe: Recipe, *, reread: bool = False) -> Inputs:
    """What there is to read, in tasks.

    Parameters
    ----------
    reread
        Cut large files anew too, instead of where they were cut when their size and time were the same.
    """
    tasks = []
    skipped = {}
    if reread:
        (work / PARTS).unlink(missing_ok=True)
    known = KnownParts(work / PARTS)
    for source in recipe.rooted_sources():
        found = inventory(source)
        skipped[source.name] = {suffix or "none": count.files for suffix, count in found.skipped.items()}
        units = [part for unit in found.units for part in known.parts(source, unit)]
        for group in _groups(units, recipe.shard):
            key = content_key(
                source.model_dump(mode="json", exclude={"license", "expected", "filters"}),
                group,
                sorted({reader_version(source, unit) for unit in group}),
                recipe.shard.model_dump(mode="json"),
            )
            tasks.append(ReadTask(str(work), key, source, group, recipe.shard))
    known.save()
    return Inputs(tasks, skipped)


def _groups(found: Sequence[Unit], shard: ShardConfig) -> Iterator[tuple[Unit, ...]]:
    """Units that are read, and put into shards, together: small files must not become a segment each.

    A group ends when it holds a shard's worth, and behind names that their hash picks out, one in 128: so a file
    that is added or removed changes the groups up to the next such name, not all behind it.
    """
    group: list[Unit] = []
    size = 0
    for unit in found:
        group.append(unit)
        size += unit.bytes
        full = len(group) >= shard.documents or size >= shard.characters
        if full or xxhash.xxh3_64_intdigest(unit.name.encode()) % 128 == 0:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def read_corpus(
    work: Path, inputs: Inputs, runner: Executor, progress: Progress, max_failure_share: float
) -> Corpus:
    """Read what no earlier run has read, and what could not be opened then.

    Raises
    ------
    CompendiaError
        If of a source more than `max_failure_share` of the records, and not just a few, cannot be read, or so many of
        its files, by number or bytes and not just one, give nothing at all: how many records that are is not known.
        Judged when a source is read whole, and before only where the rest would not save it: see `_Failures`.
    """
    tasks = inputs.tasks
    results = {
        task.key: result for task in tasks if (result := _known_result(work / "read" / task.key)) is not None
    }
    missing = [task for task in tasks if task.key not in results]
    checks = {name: _Failures(name, max_failure_share, tasks) for name in inputs.skipped}
    for task in tasks:
        if task.key in results:
            checks[task.source.name].add(task, results[task.key])
    with progress("reading", sum(len(task.units) for task in missing), "inputs") as advance:
        for task, result in runner.map(read_units, missing):
            results[task.key] = result
            checks[task.source.name].add(task, result)
            advance(len(task.units))
    return Corpus(
        [(task.source.name, task.key, results[task.key]) for task in tasks],
        _identities(tasks),
        inputs.skipped,
    )


def _known_result(folder: Path) -> ReadResult | None:
    """What an earlier run read; None where it did not, or could not open a file: that may be mended by now."""
    if not folder.exists():
        return None
    result = read_result(folder)
    if "unreadable" in result.dropped:
        shutil.rmtree(folder)
        return None
    return result


def _identities(tasks: Sequence[ReadTask]) -> dict[tuple[str, str], str]:
    return {(task.source.name, unit.name): unit.identity for task in tasks for unit in task.units}


class _Failures:
    """What cannot be read of a source, against what may be.

    In what order inputs are read must not decide. So a source is judged whole; before only if its failures are too
    many even where the unread bytes hold `_MORE_RECORDS` times as many records as those read, and all of them good.
    """

    def __init__(self, source: str, allowed_share: float, tasks: Sequence[ReadTask]) -> None:
        units = [unit for task in tasks if task.source.name == source for unit in task.units]
        self._source, self._allowed_share = source, allowed_share
        self._units, self._bytes = len(units), sum(unit.bytes for unit in units)
        self._unread_units, self._unread_bytes = self._units, self._bytes
        self._records = self._failures = 0
        self._lost: list[
            Damaged
        ] = []  # archives that gave nothing: a record that is set aside stands for each

    def add(self, task: ReadTask, result: ReadResult) -> None:
        """Count what was read; CompendiaError when it is too much that cannot be read."""
        self._unread_units -= len(task.units)
        self._unread_bytes -= sum(unit.bytes for unit in task.units)
        self._records += result.records
        self._failures += sum(count for reason, count in result.dropped.items() if is_failure(reason))
        self._lost += [damaged for damaged in result.damaged if damaged.breaks_off and damaged.is_empty]
        allowed, lost_bytes = self._allowed_share, sum(damaged.bytes for damaged in self._lost)
        share = self._failures / max(1, self._records + self._most_unread_records())
        what = f"{self._failures:,} of {self._records:,} records cannot be read"
        if self._failures <= FAILURES_ALLOWED or share <= allowed:
            share = max(len(self._lost) / max(1, self._units), lost_bytes / max(1, self._bytes))
            what = f"{len(self._lost):,} of {self._units:,} files are broken or cannot be read"
            if len(self._lost) == 1 < self._units:
                return  # one file is no pattern; the build names it at its end
        if share <= allowed:
            return
        examples = [reject for reject in result.rejects if is_failure(reject.reason)][:3]
        listed = "; ".join(f"{one.location}: {one.reason} {one.detail}".strip() for one in examples)
        share = max(share, self._failures / max(1, self._records))
        raise CompendiaError(
            f"source {self._source}: {what} ({listed})",
            hint="mend the input, name its fields or format, or allow it: "
            f"--set max_failure_share={min(1.0, math.ceil(100 * max(share, 2 * allowed)) / 100):g}",
        )

    def _most_unread_records(self) -> float:
        """So many records may be in what is not read yet."""
        if not self._unread_units:
            return 0.0
        read_bytes = self._bytes - self._unread_bytes
        if not read_bytes:  # of a source that does not say how large it is
            return _MORE_RECORDS * self._records * self._unread_units / (self._units - self._unread_units)
        return _MORE_RECORDS * self._records * self._unread_bytes / read_bytes


def kept_corpus(store: Path, key: str) -> Corpus:
    """The corpus with this key, from what the last build kept.

    Raises
    ------
    NotFoundError
        If the build kept nothing.
    UsageError
        If it kept another corpus: the store was rolled back to a version that has other inputs.
    """
    work = store / "work"
    try:
        listing = json.loads((work / LISTING).read_bytes())
        results = [(source, key, read_result(work / "read" / key)) for source, key in listing["read"]]
    except (OSError, ValueError, KeyError) as error:
        raise NotFoundError(
            f"{store} kept neither texts nor scores of its last build",
            hint="run compendia build --replace with the changed recipe: it reads the input again",
        ) from error
    identities = {(source, name): identity for source, name, identity in listing["units"]}
    corpus = Corpus(results, identities, listing.get("skipped", {}))
    if corpus.key != key:
        raise UsageError(
            f"the inputs that {store} kept are those of another build than that of its current version",
            hint="compendia build --replace with the changed recipe reads the input again; or roll back to where you were",
        )
    return corpus


def known_units(store: Path) -> dict[tuple[str, str], str]:
    """The identity of each (source, unit) that the last build read; empty where none kept anything."""
    try:
        listed = json.loads((store / "work" / LISTING).read_bytes())["units"]
    except (OSError, ValueError, KeyError):
        return {}
    return {(source, name): identity for source, name, identity in listed}


def changed_inputs(store: Path, tasks: Sequence[ReadTask]) -> dict[str, list[str]]:
    """The inputs that are `new`, `changed` or `gone` since the last build, as `source/unit`; empty at the first one."""
    before = known_units(store)
    now = _identities(tasks)
    if not before:
        return {}
    found = {
        "new": now.keys() - before.keys(),
        "changed": {key for key in now.keys() & before.keys() if now[key] != before[key]},
        "gone": before.keys() - now.keys(),
    }
    return {what: sorted(f"{source}/{name}" for source, name in keys) for what, keys in found.items() if keys}


def read_again(
    corpus: Corpus, tasks: Mapping[str, ReadTask], wanted: Sequence[tuple[Shard, int]], runner: Executor
) -> None:
    """Read the inputs of those shards anew whose texts an earlier run did not keep; of each, documents are wanted."""
    work_of = {shard: key for _, key, result in corpus.results for shard in result.shards}
    lost = {
        work_of[shard] for shard, _ in wanted if not (Path(tasks[work_of[shard]].work) / shard.file).exists()
    }
    for key in lost:
        shutil.rmtree(Path(tasks[key].work) / "read" / key)
    for _ in runner.map(read_units, [tasks[key] for key in sorted(lost)]):
        pass
