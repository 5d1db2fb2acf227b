"""Other engines and ours, each in its own sweep, on one core: recall@10, queries/s, bytes a vector, build time.

Every engine is built once (`--cache`), then measured in a fresh process, one engine after the other, `--passes` times
over: a point's figure is the median of its passes. Codes are followed by exact rescoring from float16 rows; RAM is the
growth of the process's resident memory from before opening the index to after all queries, one by one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from built import CACHE, built, load_data, load_queries, load_setups
from common import RESULTS, machine
from engines import Setup, import_engine, searching
from measure import FailedError, interleaved_rates, isolated, recall, resident_bytes, search_all
from million import DEFAULT, PREFIX_ROWS
from ours import MODULE as OURS
from ours import open_store, store_search
from plot import plot_peers

IMAGE = Path(__file__).parents[1] / "docs" / "design" / "images" / "peers.svg"
_BATCHES = (1, 64)
_ROUND_S = 1.0
# A peer beats a point of ours that is no smaller and finds no more than this allows, if it is faster.
_BYTES_FACTOR, _RECALL_LESS = 1.05, 0.002
_RECALLS = (0.97, 0.99)  # of the short table

Results = dict[str, dict[str, Any]]


def measure(module: str, setup: Setup, data: Path, rows: int, folder: Path) -> dict[str, Any]:
    """One pass over an engine's points."""
    queries, engine = load_queries(data), import_engine(module)
    before = resident_bytes()
    propose = engine.open_engine(folder)
    for query in queries:
        propose(query[None], *setup.points[-1])
    ram = resident_bytes() - before
    vectors, _, truth = load_data(data, rows)  # only now: freed memory would hide what the index takes
    if module == OURS:
        store = open_store(folder)
        searches = {str(number): store_search(store, point) for number, point in enumerate(setup.points)}
    else:
        searches = {
            str(number): searching(propose, vectors, setup, point)
            for number, point in enumerate(setup.points)
        }
    recalls = {name: recall(search_all(search, queries), truth) for name, search in searches.items()}
    rates = {
        batch: interleaved_rates(searches, queries, batch, rounds=1, round_s=_ROUND_S) for batch in _BATCHES
    }
    return {
        "ram_bytes_per_vector": ram / rows,
        "points": [
            {
                "effort": point.effort,
                "candidates": point.candidates,
                "recall@10": recalls[name],
                **{f"queries_per_s_batch_{batch}": rates[batch][name].median for batch in _BATCHES},
                "p50_ms": float(np.percentile(rates[1][name].call_seconds, 50)) * 1e3,
                "p99_ms": float(np.percentile(rates[1][name].call_seconds, 99)) * 1e3,
            }
            for name, point in zip(searches, setup.points, strict=True)
        ],
    }


def median_of(passes: list[dict[str, Any]]) -> dict[str, Any]:
    """Passes over the same points as one, number by number."""
    points = [
        {key: round(float(np.median([point[key] for point in same])), 4) for key in same[0]}
        for same in zip(*(each["points"] for each in passes), strict=True)
    ]
    ram = float(np.median([each["ram_bytes_per_vector"] for each in passes]))
    return {"ram_bytes_per_vector": round(ram, 1), "passes": len(passes), "points": points}


def run(
    setups: Mapping[str, tuple[str, Setup]], data: Path, rows: int, cache: Path, passes: int, limit_s: float
) -> Results:
    """Build what is not built yet, then measure all in turn."""
    results: Results = {}
    folders: dict[str, Path] = {}
    for name, (module, setup) in setups.items():
        try:
            folders[name], facts = built(name, module, setup, data, rows, cache, limit_s)
        except FailedError as error:
            print(f"  {name} is left out: {error}", flush=True)
            results[name] = {"failed": str(error).strip().splitlines()[-1]}
            continue
        results[name] = {"ours": module == OURS, "module": module, **facts}
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in results}
    for number in range(passes):
        for name, (module, setup) in setups.items():
            if "failed" in results[name]:
                continue
            print(f"pass {number + 1} of {passes}: {name}", flush=True)
            try:
                measured[name].append(isolated(measure, module, setup, data, rows, folders[name]))
            except FailedError as error:
                print(f"  {name} failed: {error}", flush=True)
                results[name] = {"failed": str(error).strip().splitlines()[-1]}
    for name, each in measured.items():
        if "failed" not in results[name]:
            results[name] |= median_of(each)
    return results


def flatten(results: Results, batch: int) -> list[dict[str, Any]]:
    """All points of all engines: name, ours, bytes, recall, speed at a batch size."""
    return [
        {
            "name": f"{name} ({point['effort']:g}/{point['candidates']:g})",
            "ours": result["ours"],
            "bytes": result["ram_bytes_per_vector"],
            "recall": point["recall@10"],
            "speed": point[f"queries_per_s_batch_{batch}"],
        }
        for name, result in results.items()
        if "failed" not in result
        for point in result["points"]
    ]


def beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a point is faster than another with no more than 1.05 times the bytes and a recall no more than .002 less."""
    return bool(
        one["speed"] > other["speed"]
        and one["bytes"] <= other["bytes"] * _BYTES_FACTOR
        and one["recall"] >= other["recall"] - _RECALL_LESS
    )


def comparisons(results: Results, batch: int) -> list[str]:
    """Each peer's point that beats one of ours and that none of ours beats, in words."""
    points = flatten(results, batch)
    own = [point for point in points if point["ours"]]
    if not own:
        return [f"batch {batch}: nothing of ours has been measured at this size"]
    lines = []
    for peer in points:
        beaten = [point for point in own if beats(peer, point)]
        if peer["ours"] or not beaten or any(beats(point, peer) for point in own):
            continue
        nearest = max(beaten, key=lambda point: point["speed"])
        lines.append(
            f"batch {batch}: {peer['name']} beats {nearest['name']}: "
            f"{peer['speed']:.0f} against {nearest['speed']:.0f} queries/s, recall {peer['recall']:.4f} against "
            f"{nearest['recall']:.4f}, {peer['bytes']:.0f} against {nearest['bytes']:.0f} bytes/vector"
        )
    return lines


def table(results: Results) -> str:
    """Markdown: one line a point."""
    lines = [
        "| engine | bytes/vector | build s | effort | candidates | recall@10 | queries/s, batch 1 | batch 64 | p99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        if "failed" in result:
            lines.append(f"| {name} | failed: {result['failed']} | | | | | | | |")
            continue
        lines.extend(
            f"| {name} | {result['ram_bytes_per_vector']:.0f} | {result['build_s']:.0f} | {point['effort']:g} "
            f"| {point['candidates']:g} | {point['recall@10']:.4f} | {point['queries_per_s_batch_1']:,.0f} "
            f"| {point['queries_per_s_batch_64']:,.0f} | {point['p99_ms']:.2f} |"
            for point in result["points"]
        )
    return "\n".join(lines)


def fastest(results: Results) -> str:
    """Markdown: of each engine's sweep the fastest setting that reaches each of two recalls, by bytes."""
    lines = [
        "| engine | B/vector | build s | "
        + " | ".join(f"recall@10 >= {least}: one at a time / batches of 64" for least in _RECALLS)
        + " |",
        "|---" * (3 + len(_RECALLS)) + "|",
    ]
    measured = [(name, result) for name, result in results.items() if "points" in result]
    for name, result in sorted(
        measured, key=lambda each: (not each[1]["ours"], each[1]["ram_bytes_per_vector"])
    ):
        cells = [name, f"{result['ram_bytes_per_vector']:.0f}", f"{result['build_s']:.0f}"]
        for least in _RECALLS:
            reaching = [point for point in result["points"] if point["recall@10"] >= least]
            best = max(reaching, key=lambda point: point["queries_per_s_batch_1"], default=None)
            cells.append(
                f"{best['recall@10']:.3f}: {best['queries_per_s_batch_1']:,.0f} / {best['queries_per_s_batch_64']:,.0f}"
                if best
                else "-"
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT, help="what benchmarks/million.py wrote")
    parser.add_argument("--rows", type=int, default=PREFIX_ROWS)
    parser.add_argument(
        "--only", action="append", default=[], help="engines whose name contains this; repeatable"
    )
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--build-limit-s", type=float, default=900.0)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where built indexes are kept")
    parser.add_argument("--results", type=Path, default=RESULTS / "peers.json")
    parser.add_argument("--image", type=Path, default=IMAGE)
    arguments = parser.parse_args()
    where = machine()
    setups = load_setups()
    chosen = {
        name: setup
        for name, setup in setups.items()
        if not arguments.only or any(word.lower() in name.lower() for word in arguments.only)
    }
    if not chosen:
        parser.error(f"--only fits none of: {', '.join(setups)}")
    found = run(
        chosen, arguments.data, arguments.rows, arguments.cache, arguments.passes, arguments.build_limit_s
    )
    kept: dict[str, Any] = {"what": "recall, speed, memory and build time of engines, one core", "rows": {}}
    if arguments.results.exists():
        kept = json.loads(arguments.results.read_text(encoding="utf-8"))
    stamped = {name: {**result, "machine": where} for name, result in found.items()}
    everything = kept["rows"].setdefault(str(arguments.rows), {})
    everything.update(stamped)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    arguments.image.parent.mkdir(parents=True, exist_ok=True)
    arguments.image.write_text(plot_peers(kept["rows"]), encoding="utf-8")
    print(f"{table(everything)}\n\n{fastest(everything)}")
    lines = [line for batch in _BATCHES for line in comparisons(everything, batch)]
    print(
        "\nPeers that beat a point of ours (faster, bytes <= ours x 1.05, recall >= ours - .002) and are beaten by none:"
    )
    print("\n".join(lines) or "none")


if __name__ == "__main__":
    main()
