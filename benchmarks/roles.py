"""What each index family is for: RAM, recall@10 and queries/s of a store, beside the engine that is under it.

A role is a family with its settings. The store answers `search(vectors, k=10)`, exact rescoring included; the bare engine
is the library itself with an index of its own, the same settings, and the leanest rescoring that can be written. Both run
in one process on one core, in turns, so their ratio holds on a busy machine too. Then: four callers at once get the
answers of one, and what a second thread gains; opening a store of a million passages; ten complete hits from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from built import CACHE, built, load_data, load_queries, load_setups
from common import RESULTS, machine, quantiles, save
from engines import Point, Setup, import_engine, searching
from measure import FailedError, Search, interleaved_rates, isolated, recall, resident_bytes, search_all
from million import DEFAULT, PREFIX_ROWS
from numpy.typing import NDArray
from ours import MODULE as OURS
from ours import open_dense_index, open_store, propose_from, store_search

_ROUNDS = 12
_ROUND_S = 1.0
_THREAD_ROUNDS = 9


class Role(NamedTuple):
    ours: str  # names of setups
    bare: str
    rows: int
    point: Point
    ram_bytes_per_vector: float  # at most
    recall: float  # at least
    rates: tuple[int | str, int | str]  # queries/s at batch 1 and 64 of an idle Zen 5 core: a guide


ROLES = {
    "default": Role(
        "Compendia ivf_pq d/2",
        "faiss IVF-PQ d/2 IP",
        1_000_000,
        Point(72, 50),
        ram_bytes_per_vector=120,
        recall=0.955,
        rates=(1_700, 4_000),
    ),
    "more effort": Role(
        "Compendia ivf_pq d/2",
        "faiss IVF-PQ d/2 IP",
        1_000_000,
        Point(288, 70),
        ram_bytes_per_vector=120,
        recall=0.989,
        rates=(700, 1_900),
    ),
    "exhaustive": Role(
        "Compendia flat",
        "turbovec 4 bit",
        1_000_000,
        Point(0, 20),
        ram_bytes_per_vector=215,
        recall=0.995,
        rates=("1.25x reading", 1_400),
    ),
    "tight": Role(
        "Compendia ivf_pq d/4",
        "faiss IVF-PQ d/4 IP",
        1_000_000,
        Point(80, 200),
        ram_bytes_per_vector=72,
        recall=0.95,
        rates=(2_200, "-"),
    ),
    "latency": Role(
        "Compendia hnsw_sq8",
        "faiss HNSW SQ8, construction 128",
        PREFIX_ROWS,
        Point(96, 15),
        ram_bytes_per_vector=540,
        recall=0.97,
        rates=(3_400, "-"),
    ),
}

WITH_TEXTS = (
    "Compendia with texts",
    Setup({"family": "ivf_pq", "texts": True}, [Point(64, 40)], rescored=True),
)


class Engine(NamedTuple):
    """An index that was built, to be opened in a measuring process."""

    module: str
    setup: Setup
    folder: Path

    def open_search(self, vectors: NDArray[np.float16], point: Point) -> Search:
        if self.module == OURS:
            return store_search(open_store(self.folder), point)
        return searching(import_engine(self.module).open_engine(self.folder), vectors, self.setup, point)


def memory(engine: Engine, data: Path, rows: int, point: Point) -> dict[str, float]:
    """Bytes a vector that this process grows by when it opens the index alone and searches it."""
    queries, module = load_queries(data), import_engine(engine.module)
    before = resident_bytes()
    said: dict[str, float] = {}
    if engine.module == OURS:
        index = open_dense_index(engine.folder)
        propose = propose_from(index)
        said["ram_bytes_per_vector_said"] = round(index.ram_bytes / rows, 1)
    else:
        propose = module.open_engine(engine.folder)
    for query in queries:
        propose(query[None], *point)
    return {"ram_bytes_per_vector": round((resident_bytes() - before) / rows, 1), **said}


def compare(ours: Engine, bare: Engine, data: Path, rows: int, point: Point) -> dict[str, Any]:
    """Recall, and the speed of both in turns."""
    vectors, queries, truth = load_data(data, rows)
    searches = {
        "store": ours.open_search(vectors, point),
        "bare": bare.open_search(vectors, point),
    }
    result: dict[str, Any] = {
        f"recall@10_{name}": round(recall(search_all(search, queries), truth), 4)
        for name, search in searches.items()
    }
    for batch in (1, 64):
        rates = interleaved_rates(searches, queries, batch, rounds=_ROUNDS, round_s=_ROUND_S)
        ratios = np.array(rates["store"].per_second) / np.array(rates["bare"].per_second)
        result[f"batch_{batch}"] = {
            "store_queries_per_s": round(rates["store"].median, 1),
            "bare_queries_per_s": round(rates["bare"].median, 1),
            "store_over_bare": round(float(np.median(ratios)), 3),
            **{
                name: {**quantiles(rate.call_seconds), "sustained_queries_per_s": round(rate.sustained, 1)}
                for name, rate in rates.items()
            },
        }
    return result


def seconds_to_read(count: int) -> float:
    """The shortest of many passes over `count` bytes of memory, on one core."""
    held = np.ones(count // 4, dtype=np.float32)
    best = np.inf
    for _ in range(20):
        started = time.perf_counter()
        np.dot(held, held)
        best = min(best, time.perf_counter() - started)
    return float(best)


def threads(ours: Engine, bare: Engine, data: Path, rows: int, point: Point) -> dict[str, Any]:
    """Four callers at once, and the gain of a second thread; every library has one thread of its own."""
    vectors, queries, _ = load_data(data, rows)
    searches = {
        "store": ours.open_search(vectors, point),
        "bare": bare.open_search(vectors, point),
    }
    alone = search_all(searches["store"], queries, 1)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(searches["store"], (query[None] for query in queries)))
    result: dict[str, Any] = {"four_callers_agree_with_one": bool((np.concatenate(parts) == alone).all())}
    for batch in (1, 64):
        gains: dict[str, list[float]] = {name: [] for name in searches}
        for _ in range(_THREAD_ROUNDS):
            for name, search in searches.items():
                one = callers_rate(search, queries, batch, 1)
                gains[name].append(callers_rate(search, queries, batch, 2) / one)
        medians = {name: float(np.median(each)) for name, each in gains.items()}
        result[f"batch_{batch}"] = {
            **{f"{name}_gain_of_two_threads": round(gain, 3) for name, gain in medians.items()},
            "store_over_bare": round(medians["store"] / medians["bare"], 3),
        }
    return result


def callers_rate(search: Search, queries: NDArray[np.float32], batch: int, callers: int) -> float:
    """Queries/s of all of `callers` threads, each asking for `_ROUND_S` seconds."""

    def ask(own: NDArray[np.float32]) -> int:
        asked, start, until = 0, 0, time.perf_counter() + _ROUND_S
        while time.perf_counter() < until:
            search(own[start : start + batch])
            asked += batch
            start = (start + batch) % (len(own) - batch + 1)
        return asked

    with ThreadPoolExecutor(callers) as pool:
        started = time.perf_counter()
        asked = sum(pool.map(ask, np.array_split(queries, callers)))
    return asked / (time.perf_counter() - started)


def opening(folder: Path, rows: int) -> dict[str, Any]:
    """Opening a store with texts in a process that has imported it, searching once, and reading ten hits."""
    encoder_modules = {"torch", "sentence_transformers", "transformers"}
    imported = encoder_modules & set(sys.modules)
    before, started = resident_bytes(), time.perf_counter()
    store = open_store(folder)
    seconds = time.perf_counter() - started
    grown = resident_bytes() - before
    result = {
        "passages": rows,
        "open_s": round(seconds, 3),
        "resident_mib_beyond_index": round((grown - store.ram_bytes["index"]) / 2**20, 1),
        "index_mib": round(store.ram_bytes["index"] / 2**20, 1),
        "encoder_loaded": bool((encoder_modules & set(sys.modules)) - imported),
    }
    generator = np.random.default_rng(0)
    scores = np.zeros(10, dtype=np.float32)
    drawn = [generator.integers(0, rows, 10) for _ in range(1_000)]
    texts = [store.read_hits(chosen, scores) for chosen in drawn]  # now the page cache has them
    took = []
    for chosen, expected in zip(drawn, texts, strict=True):
        started = time.perf_counter()
        hits = store.read_hits(chosen, scores)
        took.append(time.perf_counter() - started)
        assert [hit.passage_id for hit in hits] == [str(row) for row in chosen]
        assert [hit.text for hit in hits] == [hit.text for hit in expected]
    return {**result, "ten_complete_hits": quantiles(took)}


def measure_role(role: Role, data: Path, cache: Path) -> dict[str, Any]:
    """All of one role."""
    setups = load_setups()
    engines: dict[str, Engine] = {}
    result: dict[str, Any] = {
        "rows": role.rows,
        "effort": role.point.effort,
        "candidates": role.point.candidates,
    }
    for what, name in (("store", role.ours), ("bare", role.bare)):
        module, setup = setups[name]
        folder, facts = built(name, module, setup, data, role.rows, cache)
        engines[what] = Engine(module, setup, folder)
        result[what] = {"setup": name, **facts}
        result[what] |= isolated(memory, engines[what], data, role.rows, role.point)
    arguments = (engines["store"], engines["bare"], data, role.rows, role.point)
    result |= isolated(compare, *arguments)
    if role.point.effort == 0:
        codes = int(result["store"]["ram_bytes_per_vector_said"] * role.rows)
        floor = isolated(seconds_to_read, codes)
        result["reading_codes_ms"] = round(floor * 1e3, 3)
        result["batch_1_over_reading"] = round(result["batch_1"]["store"]["median_ms"] / (floor * 1e3), 3)
    result["threads"] = isolated(threads, *arguments, cores=2, threads=1)
    return result


def verdicts(name: str, result: dict[str, Any]) -> list[str]:
    """What a role was to reach and does not; speeds are a guide, their ratio to the bare engine counts."""
    role = ROLES[name]
    ram, found = result["store"]["ram_bytes_per_vector"], result["recall@10_store"]
    missed = []
    if ram > role.ram_bytes_per_vector:
        missed.append(f"{ram} bytes/vector, at most {role.ram_bytes_per_vector}")
    if found < role.recall:
        missed.append(f"recall {found}, at least {role.recall}")
    for batch in (1, 64):
        ratio = result[f"batch_{batch}"]["store_over_bare"]
        if ratio < 0.87:
            missed.append(f"batch {batch}: {ratio} of the bare engine, at least 0.87")
        gain = result["threads"][f"batch_{batch}"]["store_over_bare"]
        if gain < 0.85:
            missed.append(f"two threads, batch {batch}: {gain} of the bare engine's gain, at least 0.85")
    if result.get("batch_1_over_reading", 0) > 1.25:
        missed.append(
            f"batch 1: {result['batch_1_over_reading']} of the time to read the codes, at most 1.25"
        )
    if not result["threads"]["four_callers_agree_with_one"]:
        missed.append("four callers get other answers than one")
    return missed


def table(roles: dict[str, Any]) -> str:
    """Markdown: one line a role."""
    columns = [
        "role",
        "rows",
        "effort/candidates",
        "bytes/vector",
        "recall@10",
        "batch 1: queries/s, bare, ratio (guide)",
        "p99 ms",
        "batch 64: queries/s, bare, ratio (guide)",
        "build s",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, result in roles.items():
        speeds = [
            f"{each['store_queries_per_s']:,.0f}, {each['bare_queries_per_s']:,.0f}, {each['store_over_bare']:.2f} "
            f"({guide})"
            for each, guide in zip((result["batch_1"], result["batch_64"]), ROLES[name].rates, strict=True)
        ]
        lines.append(
            f"| {name} | {result['rows']:,} | {result['effort']}/{result['candidates']} "
            f"| {result['store']['ram_bytes_per_vector']:.0f} | {result['recall@10_store']:.4f} | {speeds[0]} "
            f"| {result['batch_1']['store']['p99_ms']:.2f} | {speeds[1]} | {result['store']['build_s']:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT, help="what benchmarks/million.py wrote")
    parser.add_argument(
        "--only", action="append", choices=[*ROLES, "opening"], help="repeatable; default: all"
    )
    parser.add_argument("--rows", type=int, help="for a quick try: this many rows for every role")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where built indexes are kept")
    parser.add_argument(
        "--name", default="roles", help="of the file in benchmarks/results that the figures go to"
    )
    chosen = parser.parse_args(arguments)
    where = machine()
    file = RESULTS / f"{chosen.name}.json"
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    roles, opened = dict(kept.get("roles", {})), kept.get("opening")
    for name in chosen.only or [*ROLES, "opening"]:
        print(f"measuring {name}", flush=True)
        try:
            if name == "opening":
                rows = chosen.rows or 1_000_000
                folder, _ = built(WITH_TEXTS[0], OURS, WITH_TEXTS[1], chosen.data, rows, chosen.cache)
                opened = {**isolated(opening, folder, rows), "machine": where}
            else:
                role = ROLES[name]._replace(rows=chosen.rows or ROLES[name].rows)
                roles[name] = {**measure_role(role, chosen.data, chosen.cache), "machine": where}
        except FailedError as error:
            print(f"  {name} failed: {error}", flush=True)
    roles = {name: roles[name] for name in ROLES if name in roles}
    save(
        chosen.name,
        {
            "what": "roles of index families: a store beside the bare engine, one core, exact rescoring included",
            "roles": roles,
            "opening": opened,
        },
    )
    print(table(roles))
    for name, result in roles.items():
        print(f"{name}: {'; '.join(verdicts(name, result)) or 'all reached'}")


if __name__ == "__main__":
    main()
