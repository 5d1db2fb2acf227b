"""Read: units of a source become shards of normalised documents."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from datastore.files import content_key, crash_point, fsync, published_file, write_durably
from datastore.text import normalise

from ..document import BROKEN_INPUT, Document, Reject, is_failure
from ..recipe import ShardConfig
from ..sources import SourceConfig, Unit, read
from ..sources.bookmark import Bookmark
from ..sources.unit import Part
from .tables import read_metadata, write_texts

# Of each reason in each task this many rejects are kept to read; all are counted.
REJECTS_KEPT = 100
SAMPLE_CHARACTERS = 500
_STATE = b"state"  # in a shard's metadata

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # normalised
        pa.field("metadata", pa.string(), nullable=False),  # JSON object
        pa.field("location", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),  # name of the unit it was read from
    ]
)


class Shard(NamedTuple):
    """A bounded file of documents in the work area."""

    source: str
    file: str  # relative to the work area
    documents: int
    characters: int
    key: str  # hash of the documents in it


class ReadTask(NamedTuple):
    work: str
    key: str
    source: SourceConfig
    units: tuple[Unit, ...]
    shard: ShardConfig


class Damaged(NamedTuple):
    """An input that is broken somewhere or ends with what cannot be read: documents may be missing from it."""

    unit: str
    bytes: int
    reason: str
    is_empty: bool  # it gave not one document
    breaks_off: bool  # its last record is one of `BROKEN_INPUT`

    @property
    def is_broken(self) -> bool:
        """Whether it is more than a last record that cannot be read."""
        return self.is_empty or self.reason in BROKEN_INPUT


class ReadResult(NamedTuple):
    """What reading gave: shards of documents, and what was set aside."""

    shards: list[Shard]
    records: int  # documents and rejects
    bytes: int  # of the documents' texts
    dropped: dict[str, int]
    rejects: list[Reject]
    damaged: list[Damaged]


def read_units(task: ReadTask) -> ReadResult:
    """Read and normalise some units of one source into shards; goes on behind the last that a run before published."""
    final = Path(task.work) / "read" / task.key
    if not final.exists():
        growing = final.with_name(f"{task.key}.growing")
        growing.mkdir(parents=True, exist_ok=True)
        try:
            _read_into(growing, task)
            growing.rename(final)
        except OSError:
            # A machine that seemed lost may do the same beside this one.
            if not final.exists():
                raise
            shutil.rmtree(growing, ignore_errors=True)
        fsync(final.parent)
        crash_point("after_units_read")
    return read_result(final)


def read_result(folder: Path) -> ReadResult:
    """What an earlier run's reading gave."""
    account = json.loads((folder / "account.json").read_bytes())
    return ReadResult(
        shards=[Shard(*shard) for shard in account["shards"]],
        records=account["records"],
        bytes=account["bytes"],
        dropped=account["dropped"],
        rejects=[Reject(*reject) for reject in account["rejects"]],
        damaged=[Damaged(*damaged) for damaged in account.get("damaged", ())],
    )


@dataclass
class _Account:
    """What reading came to so far and where it stands. Each shard carries it: there it can go on."""

    records: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)
    unit: int = 0  # which of the task's is being read
    bookmark: Bookmark = field(default_factory=Bookmark)  # in it
    broken: str = ""  # of it, the reason of a reject that stands for more than itself
    last: str = ""  # of it, the reason of its last record, if that was a reject
    is_empty: bool = True

    def next_unit(self) -> None:
        self.unit += 1
        self.bookmark = Bookmark()
        self.broken, self.last, self.is_empty = "", "", True


class _Shards:
    """The shards of a task, each published when it is full."""

    def __init__(self, folder: Path, task: ReadTask) -> None:
        self._folder, self._task = folder, task
        self.account = _Account()
        self.published: list[Shard] = []
        self.rejects: list[Reject] = []
        self._waiting: list[dict[str, Any]] = []
        self._characters = 0
        self._rejects_written = 0
        while (path := folder / self._name).exists():
            self._go_on_behind(json.loads(read_metadata(path)[_STATE]))

    @property
    def _name(self) -> str:
        return f"documents-{len(self.published):05d}.arrow"

    def _go_on_behind(self, state: dict[str, Any]) -> None:
        account, bookmark = state["account"], state["account"]["bookmark"]
        part = bookmark["part"]
        self.account = _Account(**account)
        self.account.damaged = [Damaged(*damaged) for damaged in account["damaged"]]
        self.account.bookmark = Bookmark(**{**bookmark, "part": Part(*part) if part else None})
        self.published.append(Shard(*state["shard"]))
        self.rejects += [Reject(*reject) for reject in state["rejects"]]
        self._rejects_written = len(self.rejects)

    def add(self, outcome: dict[str, Any] | Reject) -> None:
        account = self.account
        account.records += 1
        if isinstance(outcome, Reject):
            account.last = reason = outcome.reason
            account.broken = reason if reason in BROKEN_INPUT else account.broken
            account.dropped[reason] = account.dropped.get(reason, 0) + 1
            if account.dropped[reason] <= REJECTS_KEPT:
                self.rejects.append(outcome)
            return
        account.last, account.is_empty = "", False
        account.bytes += len(outcome["text"].encode())
        self._waiting.append(outcome)
        self._characters += len(outcome["text"])
        bound = self._task.shard
        if len(self._waiting) >= bound.documents or self._characters >= bound.characters:
            self.publish()

    def publish(self) -> None:
        """Write down the documents that wait, with all that is needed to go on behind them."""
        if not self._waiting:
            return
        rows, task = self._waiting, self._task
        key = content_key([list(row.values()) for row in rows])
        shard = Shard(task.source.name, f"read/{task.key}/{self._name}", len(rows), self._characters, key)
        state = {
            "shard": shard,
            "rejects": self.rejects[self._rejects_written :],
            "account": asdict(self.account),
        }
        schema = DOCUMENTS.with_metadata({_STATE: json.dumps(state)})
        with published_file(self._folder / self._name) as path:
            write_texts(path, pa.Table.from_pylist(rows, schema=schema))
        self.published.append(shard)
        self._waiting, self._characters, self._rejects_written = [], 0, len(self.rejects)
        crash_point("after_shard_read")


def _read_into(folder: Path, task: ReadTask) -> None:
    shards = _Shards(folder, task)
    account = shards.account
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", suffix=".tmp") as scratch:
        for unit in task.units[account.unit :]:
            for record in read(task.source, unit, Path(scratch), account.bookmark):
                shards.add(_row(record, unit.name))
            last = account.last
            reason = account.broken or (last if last and is_failure(last) else "")
            if reason:
                damaged = Damaged(unit.name, unit.bytes, reason, account.is_empty, last in BROKEN_INPUT)
                account.damaged.append(damaged)
            account.next_unit()
    shards.publish()
    result = {
        "shards": shards.published,
        "records": account.records,
        "bytes": account.bytes,
        "dropped": account.dropped,
        "rejects": shards.rejects,
        "damaged": account.damaged,
    }
    write_durably(folder / "account.json", json.dumps(result, ensure_ascii=False).encode())


def _row(record: Document | Reject, unit: str) -> dict[str, Any] | Reject:
    """The row of a document that has a text, or why there is none."""
    if isinstance(record, Reject):
        return record._replace(sample=record.sample[:SAMPLE_CHARACTERS])
    text = normalise(record.text)
    if not text:
        return Reject("no_text", record.location, record.id, "nothing but white space", "")
    return {
        "id": record.id,
        "title": " ".join(normalise(record.title).split()),
        "text": text,
        "metadata": json.dumps(dict(record.metadata), ensure_ascii=False, sort_keys=True),
        "location": record.location,
        "unit": unit,
    }
