"""What a build costs: RAM and time as the input grows, the path around the encoder, executors, and a second build.

The input is made of real texts: each document is a few runs of paragraphs drawn from them, with numbers put in, so that
no two are alike but for planted copies of any earlier one (2 % exact, 3 % with a word changed); 3.5 kB in the mean, half
of all in one big file of JSON lines. Every build runs in a process of its own, whose peak RSS is the kernel's.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, save

DATA = Path(os.environ.get("COMPENDIA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOLDER = Path("~/.cache/compendia/bench/ingestion").expanduser()
BASE = (
    "c4_sample/test_c4",
    "wikipedia/vital_en",
    "speeches/inaugural",
    "textbooks/principles-economics-3e",
    "textbooks/psychology-2e",
)
RUN_CHARACTERS = 440  # so that documents of 1 to 9 runs have 3.5 kB
BLOCK_DOCUMENTS = 1_000
FILTERS = {
    "fineweb": {"preset": "fineweb-1"},
    "light": {"length": {"min_words": 20}},
}


def paragraph_runs() -> list[str]:
    """Neighbouring paragraphs of the real texts, about `RUN_CHARACTERS` of them at a time."""
    runs = []
    for pattern in BASE:
        for file in sorted(DATA.glob(f"{pattern}.jsonl.gz")):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                texts = [json.loads(line)["text"] for line in lines]
            for text in texts:
                run: list[str] = []
                for paragraph in text.split("\n"):
                    if paragraph.strip():
                        run.append(paragraph)
                    if sum(map(len, run)) >= RUN_CHARACTERS:
                        runs.append("\n".join(run))
                        run = []
    return [run for run in runs if len(run) < 4 * RUN_CHARACTERS]


def documents(runs: Sequence[str], seed: int) -> Iterator[str]:
    """Texts without end; block b depends on the seed and b alone."""
    number = 0
    copied: list[str] = []
    while True:
        generator = np.random.default_rng((seed, number))
        counts = generator.integers(1, 10, BLOCK_DOCUMENTS)
        drawn = iter(generator.integers(len(runs), size=int(counts.sum())).tolist())
        kinds = generator.random(BLOCK_DOCUMENTS).tolist()
        marks = iter(generator.integers(1 << 20, size=int(counts.sum())).tolist())
        made: list[str] = []
        for count, kind in zip(counts.tolist(), kinds, strict=True):
            parts = [_marked(runs[next(drawn)], next(marks)) for _ in range(count)]
            text = "\n\n".join(parts)
            if copied and kind < 0.05:
                text = copied[round(kind * 1e9) % len(copied)]
                if kind > 0.02:
                    text = _marked(text, count)
            made.append(text)
        yield from made
        copied += made[::40]
        number += 1


def _marked(text: str, mark: int) -> str:
    """A number in the place of a word."""
    start = text.find(" ", mark % len(text))
    end = text.find(" ", start + 1)
    return f"{text[:start]} {mark}{text[end:]}" if 0 <= start < end else f"{text} {mark}."


def write_corpus(folder: Path, size: int, files: int, *, big: bool = True, seed: int = 1) -> int:
    """`size` bytes of JSON lines in some files of one size and, if `big`, as much again in one; the documents."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = documents(paragraph_runs(), seed)
    share = size // (2 if big else 1)
    names = [(f"part-{number:04}.jsonl", share // files) for number in range(files)]
    count = 0
    for name, wanted in [*names, *([("big.jsonl", share)] if big else [])]:
        with (folder / name).open("w", encoding="utf-8") as file:
            written = 0
            while written < wanted:
                record = {"id": f"d{count}", "text": next(texts), "url": f"https://example.org/{count}"}
                written += file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    return count


def peak_rss_mb() -> int:
    """Of this process, or of the largest of its children; Ray's workers are not its children."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(one).ru_maxrss for one in whose) * 1024 / 1e6)


def stage_peak_mb() -> int:
    """The peak since it was last asked for; Linux forgets it when told to."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return round(int(peak.split()[1]) * 1024 / 1e6)


def one_build(given: dict[str, Any]) -> dict[str, Any]:
    """A build in this process."""
    started = time.perf_counter()
    from pipelines import account, build, make_recipe

    peaks: dict[str, int] = {}
    lap = account.Clock.lap

    def lap_with_peak(clock: account.Clock, stage: str) -> None:
        lap(clock, stage)
        peaks[stage] = stage_peak_mb()
        print(f"{stage}: {clock.seconds[stage]} s, peak {peaks[stage]} MB", file=sys.stderr, flush=True)

    account.Clock.lap = lap_with_peak  # type: ignore[method-assign]  # the benchmark looks on
    recipe = make_recipe(
        {
            "name": "ingestion",
            "sources": [{"name": "web", "kind": "files", "path": "input"}],
            "root": given["folder"],
            "filters": given["filters"],
            "deduplicate": "near",
            "encoder": given["encoder"],
            "index": given.get("index", {}),
        },
        environment={},
    )
    forward = None
    if given.get("watch_forward"):
        from datastore.encoders import load_encoder

        # Imports and models, which a filter or an encoder loads when it is first used, are no part of the build.
        build(recipe.model_copy(update={"root": Path(given["warm"])}), Path(given["warm"]) / "store")
        forward = Forward(load_encoder(recipe.encoder))
    imported, used = time.perf_counter(), time.process_time()
    report = build(recipe, Path(given["out"]), executor=given["executor"], workers=given.get("workers"))
    seconds, cpu_seconds = time.perf_counter() - imported, time.process_time() - used
    funnel = report.sources["web"]
    overall = max(peak_rss_mb(), *peaks.values())
    return {
        "documents": funnel.records,
        "kept": funnel.kept.documents,
        "dropped": {name: size.documents for name, size in funnel.drops.items()},
        "text_mb": round(funnel.read.bytes / 1e6, 1),
        "passages": funnel.passages,
        "changed": report.changed,
        "changes": dict(funnel.changes),
        "import_s": round(imported - started, 2),
        "build_s": round(seconds, 2),
        "stage_s": dict(report.seconds),
        "cpu_s": round(cpu_seconds, 1),
        "stage_peak_rss_mb": peaks,
        "peak_rss_mb": overall,
        **({} if forward is None else forward.account(seconds, cpu_seconds)),
    }


class Forward:
    """Times the forward passes of an encoder's model, on all threads."""

    def __init__(self, encoder: Any) -> None:
        self._lock = threading.Lock()
        self._seconds = self._cpu_seconds = 0.0
        self._calls = 0
        inner = encoder._model  # noqa: SLF001 (the benchmark looks on)

        class Watched:
            def __getattr__(watched, name: str) -> Any:  # noqa: N805
                return getattr(inner, name)

            def __call__(watched, *arguments: Any, **named: Any) -> Any:  # noqa: N805
                started, used = time.perf_counter(), time.thread_time()
                try:
                    return inner(*arguments, **named)
                finally:
                    self._add(time.perf_counter() - started, time.thread_time() - used)

        encoder._model = Watched()  # noqa: SLF001

    def _add(self, seconds: float, cpu_seconds: float) -> None:
        with self._lock:
            self._seconds += seconds
            self._cpu_seconds += cpu_seconds
            self._calls += 1

    def account(self, build_s: float, cpu_s: float) -> dict[str, Any]:
        """The share of the build that is no forward pass: of its processor time, and of the time of all cores.

        The second counts a core that waits as lost: reading, filters and chunking run on one.
        """
        cores = len(os.sched_getaffinity(0))
        return {
            "forward_passes": self._calls,
            "forward_s": round(self._seconds / cores, 2),
            "forward_cpu_s": round(self._cpu_seconds, 2),
            "around_the_encoder": {
                "of_processor_time": round(1 - self._cpu_seconds / cpu_s, 4),
                "of_all_cores": round(1 - self._seconds / cores / build_s, 4),
            },
        }


def run(**given: Any) -> dict[str, Any]:
    """`one_build` in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(given)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), file=sys.stderr)
    return found


HASHING = {"model": "hashing"}


def growth(folder: Path, sizes_gb: Sequence[float], filters: str, index: str) -> dict[str, Any]:
    rows = []
    for size in sizes_gb:
        started = time.perf_counter()
        write_corpus(folder / "input", round(size * 1e9), files=16)
        made = round(time.perf_counter() - started, 1)
        found = run(
            folder=str(folder),
            out=str(folder / "store"),
            filters=FILTERS[filters],
            encoder=HASHING,
            executor="serial",
            index={"family": index},
        )
        used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        rows.append(
            {
                "input_gb": size,
                "mb_per_s": round(size * 1e3 / found["build_s"], 2),
                **found,
                "make_input_s": made,
                "disk_gb": round(used / 1e9, 2),
            }
        )
        shutil.rmtree(folder)
    return {
        "filters": filters,
        "index": index,
        "sizes": rows,
        "seconds_per_gb": [round(row["build_s"] / row["input_gb"], 1) for row in rows],
        "cpu_seconds_per_gb": [round(row["cpu_s"] / row["input_gb"], 1) for row in rows],
        "peak_rss_mb": [row["peak_rss_mb"] for row in rows],
    }


def around_the_encoder(folder: Path, passages: int) -> dict[str, Any]:
    write_corpus(folder / "input", passages * 1_500, files=1, big=False)
    write_corpus(folder / "warm" / "input", 100_000, files=1, big=False, seed=2)
    try:
        return run(
            folder=str(folder),
            out=str(folder / "store"),
            filters=FILTERS["fineweb"],
            encoder={"model": "offline", "dtype": "bfloat16"},
            executor="serial",
            watch_forward=True,
            warm=str(folder / "warm"),
        )
    finally:
        shutil.rmtree(folder)


def executors(folder: Path, size_mb: float) -> dict[str, Any]:
    write_corpus(folder / "input", round(size_mb * 1e6), files=4)
    rows = {}
    for name in ("serial", "process", "ray"):
        rows[name] = run(
            folder=str(folder),
            out=str(folder / f"store-{name}"),
            filters=FILTERS["fineweb"],
            encoder=HASHING,
            executor=name,
            workers=2,
        )
        rows[name]["documents_per_s"] = round(rows[name]["documents"] / rows[name]["build_s"], 1)
    shutil.rmtree(folder)
    serial = rows["serial"]
    ratios = {
        name: {
            "build": round(serial["build_s"] / row["build_s"], 2),
            "score": round(serial["stage_s"]["score"] / row["stage_s"]["score"], 2),
        }
        for name, row in rows.items()
    }
    return {"workers": 2, "times_faster_than_serial": ratios, "builds": rows}


def again(folder: Path, size_mb: float, files: int) -> dict[str, Any]:
    """A fresh build, one with nothing changed, and one with a hundredth of the files changed."""
    write_corpus(folder / "input", round(size_mb * 1e6), files, big=False)
    build = {
        "folder": str(folder),
        "out": str(folder / "store"),
        "filters": FILTERS["fineweb"],
        "encoder": HASHING,
        "executor": "serial",
    }
    rows = {"fresh": run(**build), "nothing_changed": run(**build)}
    changed = sorted((folder / "input").iterdir())[::100][: max(1, files // 100)]
    for file in changed:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[1:]) + lines[0].replace('"id": "d', '"id": "new'), encoding="utf-8")
    rows["a_hundredth_changed"] = run(**build)
    shutil.rmtree(folder)
    fresh = rows["fresh"]["build_s"]
    return {
        "files": files,
        "share_of_a_fresh_build": {name: round(row["build_s"] / fresh, 4) for name, row in rows.items()},
        "builds": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["growth", "encoder", "executors", "again"]
    parser.add_argument("--only", choices=parts, nargs="+", default=parts)
    parser.add_argument("--sizes-gb", type=float, nargs="+", default=[0.5, 1.6, 5.0])
    parser.add_argument("--filters", choices=[*FILTERS], default="light", help="of the growth")
    parser.add_argument("--index", choices=["auto", "exact"], default="auto", help="of the growth")
    parser.add_argument("--passages", type=int, default=1_500, help="of the build with a model")
    parser.add_argument("--size-mb", type=float, default=60.0, help="of the executors and the second build")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for inputs and stores; emptied")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one_build(json.loads(arguments.one))))
        return
    folder, file = arguments.folder.expanduser().resolve(), RESULTS / "ingestion.json"
    results = (
        json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"what": "what a build costs"}
    )
    for part in arguments.only:
        where = machine()
        match part:
            case "growth":
                measured = growth(folder, arguments.sizes_gb, arguments.filters, arguments.index)
            case "encoder":
                measured = around_the_encoder(folder, arguments.passages)
            case "executors":
                measured = executors(folder, arguments.size_mb)
            case _:
                measured = again(folder, arguments.size_mb, files=200)
        # After each, so that one that is stopped does not take the results of others with it.
        results[part] = {**measured, "machine": where}
        save("ingestion", results)


if __name__ == "__main__":
    main()
