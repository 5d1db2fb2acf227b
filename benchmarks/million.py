"""A million vectors whose query distances follow the trend of real ones, with their exact neighbours.

The real passages come first. Each further row is x = normalise(x_i + c · Σ_3 (x_a - x_b) / √3), with i a random
passage and a, b drawn from its 32 nearest neighbours: a step inside the local subspace, c = 0.5 chosen so that the
queries' distances to their 10th and 100th neighbour are what the real set's trend predicts at a million. No new true
near matches are invented, and rows are siblings round the passages they came from: trust ratios, not third digits.

A shorter set with the same seed is a prefix of a longer one: truth-250k.npy is the truth of the first 250,000 rows.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datastore.files import checksum

DEFAULT = Path("~/.cache/compendia/bench/million").expanduser()
NEIGHBOURS = 32
STEPS = 3
SPREAD = 0.5
DEPTH = 100  # true neighbours kept a query
PREFIX_ROWS = 250_000
_BLOCK_ROWS = 8_192

Floats = NDArray[np.floating[Any]]


def exact_neighbours(vectors: Floats, queries: Floats, count: int) -> NDArray[np.int64]:
    """(nq, count) rows of the largest inner products, best first, ties by row; float32 arithmetic, block by block."""
    asked = queries.astype(np.float32)
    best_scores = np.full((len(asked), count), -np.inf, dtype=np.float32)
    best_rows = np.full((len(asked), count), len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = np.asarray(vectors[start : start + _BLOCK_ROWS], dtype=np.float32)
        scores = np.concatenate([best_scores, asked @ block.T], axis=1)
        keep = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best_scores = np.take_along_axis(scores, keep, axis=1)
        old = np.take_along_axis(best_rows, np.minimum(keep, count - 1), axis=1)
        best_rows = np.where(keep < count, old, start + keep - count)
    order = np.lexsort((best_rows, -best_scores))
    ranked: NDArray[np.int64] = np.take_along_axis(best_rows, order, axis=1)
    return ranked


def nearest_passages(passages: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n, 32) nearest other passages of each passage."""
    blocks = (passages[start : start + 1_024] for start in range(0, len(passages), 1_024))
    rows = np.concatenate([exact_neighbours(passages, block, NEIGHBOURS + 1) for block in blocks])
    # A passage is its own nearest, unless a twin ties with it: either way one column too many goes.
    own = rows == np.arange(len(rows))[:, None]
    own[:, -1] |= ~own.any(axis=1)
    others: NDArray[np.int64] = rows[~own].reshape(len(rows), NEIGHBOURS)
    return others


def made_up(
    passages: NDArray[np.float32], neighbours: NDArray[np.int64], rows: int, seed: int
) -> Iterator[NDArray[np.float16]]:
    """Blocks of `rows` vectors in all; block b depends on the seed and b alone."""
    for number, start in enumerate(range(0, rows, _BLOCK_ROWS)):
        generator = np.random.default_rng((seed, number))
        anchors = generator.integers(len(passages), size=_BLOCK_ROWS)
        drawn = generator.integers(NEIGHBOURS, size=(2 * STEPS, _BLOCK_ROWS))
        block = passages[anchors]
        for step, column in enumerate(drawn):
            sign = 1 if step % 2 == 0 else -1
            block += np.float32(sign * SPREAD / np.sqrt(STEPS)) * passages[neighbours[anchors, column]]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block[: rows - start].astype(np.float16)


def write_vectors(file: Path, passages: Floats, rows: int, seed: int) -> None:
    """Write (rows, d) float16 into `file`."""
    base = passages.astype(np.float32)
    partial = file.with_suffix(".partial")
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=(rows, passages.shape[1]))
    real = min(rows, len(passages))
    out[:real] = passages[:real]
    filled = real
    if rows > real:
        for block in made_up(base, nearest_passages(base), rows - real, seed):
            out[filled : filled + len(block)] = block
            filled += len(block)
    out.flush()
    partial.rename(file)


def prepare(passages: Path, queries: Path, rows: int, out: Path, seed: int) -> dict[str, Any]:
    """Write what is not there yet into `out`: passages.f16.npy, queries.f16.npy, truth.npy, truth-250k.npy."""
    recipe = {
        "passages": checksum(passages),
        "queries": checksum(queries),
        "rows": rows,
        "seed": seed,
        "neighbours": NEIGHBOURS,
        "steps": STEPS,
        "spread": SPREAD,
    }
    out.mkdir(parents=True, exist_ok=True)
    said = out / "recipe.json"
    if not said.exists() or json.loads(said.read_text(encoding="utf-8")) != recipe:
        for stale in out.glob("*.npy"):
            stale.unlink()
        said.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    vectors, asked = out / "passages.f16.npy", out / "queries.f16.npy"
    if not vectors.exists():
        real = np.load(passages, mmap_mode="r", allow_pickle=False)
        write_vectors(vectors, real, rows, seed)
    if not asked.exists():
        np.save(asked, np.load(queries, allow_pickle=False).astype(np.float16))
    for name, length in (("truth.npy", rows), ("truth-250k.npy", PREFIX_ROWS)):
        if length <= rows and not (out / name).exists():
            mapped = np.load(vectors, mmap_mode="r", allow_pickle=False)[:length]
            np.save(out / name, exact_neighbours(mapped, np.load(asked, allow_pickle=False), DEPTH))
    return recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--passages", type=Path, required=True, help="(n, d) .npy of real passages, unit length"
    )
    parser.add_argument("--queries", type=Path, required=True, help="(m, d) .npy of real queries")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=DEFAULT)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    recipe = prepare(arguments.passages, arguments.queries, arguments.rows, arguments.out, arguments.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"out": str(arguments.out), "peak_rss_mib": peak, **recipe}, indent=1))


if __name__ == "__main__":
    main()
