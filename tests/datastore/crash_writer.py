"""One change of a store, as a program of its own that can be killed: `python crash_writer.py STORE OPERATION [--wait]`.

OPERATION is a JSON object: `{"name": "add", "seed": 7, "rows": 60}`. What it does is known beforehand: `changed` gives
the contents of the store after it. With `--wait` a line is printed once all is imported, right before the change.

`python crash_writer.py --serve` reads such changes, with their store and crash point, and forks for each: what is imported
once is not imported again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datastore import CompendiaError, Datastore, Hits, verify
from datastore.changes import batch, compact, edit, finish, fold
from datastore.changes.prune import prune
from datastore.index.config import IndexConfig

DIMENSION = 16
YEARS = 7
QUERIES = np.random.default_rng(99).standard_normal((4, DIMENSION)).astype(np.float32)


class Row(NamedTuple):
    """What a store is asked to keep of a passage; its id is the key."""

    vector: bytes  # float32
    text: str
    year: int


Contents = dict[str, Row]


# Several segments, indexes, merges and compactions with a few hundred rows.
THRESHOLDS = {
    (fold, "SMALLEST_INDEX"): 50,
    (finish, "SMALLEST_INDEX"): 50,
    (fold, "_LARGEST_TAIL"): 80,
    (fold, "_MOST_INDEXES"): 2,
    (fold, "_CALIBRATION_QUERIES"): 20,
    (batch, "SEGMENT_ROWS"): 120,
    (compact, "SEGMENT_ROWS"): 120,
}


def shrink_thresholds() -> None:
    for (module, name), rows in THRESHOLDS.items():
        setattr(module, name, rows)


def create(path: Path, index: IndexConfig) -> None:
    """An empty store for `DIMENSION` numbers, kept as they are given."""
    Datastore.create(
        path,
        dimension=DIMENSION,
        metric="inner_product",
        vectors="float32",
        index=index,
        calibration_queries=np.random.default_rng(98).standard_normal((20, DIMENSION)),
    ).close()


def new_row(seed: int, number: int) -> Row:
    vector = np.random.default_rng([seed, number]).standard_normal(DIMENSION).astype(np.float32)
    return Row(vector.tobytes(), f"text {number} of {seed}", number % YEARS)


def new_rows(operation: dict[str, Any]) -> Contents:
    """The rows that an `add` or `upsert` brings; `ids` are those that an upsert replaces."""
    seed = operation["seed"]
    ids = [*operation.get("ids", ()), *(f"{seed}-{number}" for number in range(operation["rows"]))]
    return {name: new_row(seed, number) for number, name in enumerate(ids)}


def changed(contents: Contents, operation: dict[str, Any], versions: dict[int, Contents]) -> Contents:
    """The contents after an operation; `versions` are those that can be rolled back to."""
    match operation["name"]:
        case "add" | "upsert":
            return {**contents, **new_rows(operation)}
        case "delete":
            return {name: row for name, row in contents.items() if not _is_deleted(name, row, operation)}
        case "rollback":
            return versions[operation["version"]]
        case _:
            return contents


def _is_deleted(name: str, row: Row, operation: dict[str, Any]) -> bool:
    if "where" in operation:
        return bool(row.year == operation["where"])
    return name in operation["ids"]


def perform(path: Path, operation: dict[str, Any]) -> None:
    """Change the store."""
    match operation["name"]:
        case "create":
            create(path, IndexConfig.model_validate(operation["index"]))
        case "add" | "upsert":
            rows = new_rows(operation)
            block = edit.Rows(
                np.array([np.frombuffer(row.vector, dtype=np.float32) for row in rows.values()]),
                list(rows),
                [row.text for row in rows.values()],
                [{"year": row.year, "document_id": f"d-{name}"} for name, row in rows.items()],
            )
            edit.add(path, [block], replace=operation["name"] == "upsert")
        case "delete" if "where" in operation:
            edit.delete(path, where=f"year = {operation['where']}")
        case "delete" if operation.get("by") == "document_ids":
            edit.delete(path, document_ids=[f"d-{name}" for name in operation["ids"]])
        case "delete":
            edit.delete(path, ids=operation["ids"])
        case "compact":
            edit.compact(path)
        case "prune":
            prune(path, keep=operation["keep"])
        case "rollback":
            edit.rollback(path, operation["version"])


def contents_of(path: Path, version: int | None = None) -> Contents:
    """All that a version holds, read back; by whichever way it is found, the same."""
    with Datastore.open(path, version=version) as store:
        rows = store.live_rows()
        vectors = store.read_vectors(rows)
        hits = store.read_hits(rows, np.zeros(len(rows), dtype=np.float32))
        contents = {
            hit.passage_id: Row(vector.tobytes(), hit.text, hit.metadata["year"])
            for hit, vector in zip(hits, vectors, strict=True)
        }
        assert len(contents) == len(store) == len(rows)
        assert [hit.passage_id for hit in store.get_by_ids(list(contents))] == list(contents)
        _check_answers(store, contents)
    return contents


def _check_answers(store: Datastore, contents: Contents) -> None:
    """The best ten of each query are those that the vectors say, through the index and without it."""
    rows = list(contents.values())
    if not rows:
        assert (store.search(QUERIES).rows == -1).all()
        return
    ids = np.array(list(contents))
    vectors = np.array([np.frombuffer(row.vector, dtype=np.float32) for row in rows])
    for where, chosen in (
        (None, np.arange(len(rows))),
        ("year < 3", np.flatnonzero([row.year < 3 for row in rows])),
    ):
        scores = QUERIES.astype(np.float64) @ vectors[chosen].T.astype(np.float64)
        best = ids[chosen][np.argsort(-scores, axis=1)[:, :10]].tolist()
        assert _ids(store.search(QUERIES, recall=1.0, where=where)) == best
        every = max(store.snapshot.rows, 10)
        found = _ids(store.search(QUERIES, candidates=every, effort=1024, where=where))
        if all(index.family == "flat" for index in store.manifest.indexes):
            assert found == best
        else:  # a graph reaches most rows, fewer behind a filter
            allowed = set(ids[chosen].tolist())
            assert all(allowed.issuperset(names) for names in found)
            if where is None:
                shared = sum(len(set(names) & set(known)) for names, known in zip(found, best, strict=True))
                assert shared >= 0.9 * sum(map(len, best))


def _ids(hits: Hits) -> list[list[str]]:
    return [[hit.passage_id for hit in found] for found in hits]


def leftovers(path: Path) -> list[str]:
    """What a writer that was killed has left under a temporary name."""
    return [str(file.relative_to(path)) for file in path.rglob(".*")]


def check_after_kill(path: Path, allowed: list[Contents]) -> Contents:
    """The store is whole and holds one of the allowed contents, which this returns."""
    faults = verify(path)
    assert faults == [], faults
    contents = contents_of(path)
    assert contents in allowed, f"{len(contents)} rows, allowed: {[len(rows) for rows in allowed]}"
    return contents


def serve() -> None:
    """For each line `{"store": …, "operation": …, "point": …}` the exit code of a process that makes the change."""
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ["COMPENDIA_CRASH_AT"] = task["point"]
            try:
                perform(Path(task["store"]), task["operation"])
            except CompendiaError as error:
                os._exit(error.exit_code)
            os._exit(0)
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def tell(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def main() -> None:
    shrink_thresholds()
    if sys.argv[1] == "--serve":
        serve()
        return
    path, operation = Path(sys.argv[1]), json.loads(sys.argv[2])
    if "--wait" in sys.argv:
        tell("ready")
    perform(path, operation)


if __name__ == "__main__":
    main()
