"""Masks of a filter over 10 million rows in 100 segments: cold (computed), warm from bits, warm as a whole.

The files have been written a moment ago, so "cold" reads them from the page cache. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import machine, quantiles, save

from datastore.filters import MaskCache, MetadataFile, mask_of, parse

FILTERS = [
    "source = 'wikipedia' AND year >= 2020",
    "score > 0.99",
    "lang IN ('de', 'fr') AND NOT source = 'web'",
    "title ILIKE '%history of number 12%'",
    "title LIKE 'The%number _2%'",
    "year / (year - 2000) > 3 OR score IS NULL",
]


def write_segments(folder: Path, segments: int, rows: int, seed: int) -> list[MetadataFile]:
    generator = np.random.default_rng(seed)
    files = []
    for number in range(segments):
        first = number * rows
        table = pa.table(
            {
                "passage_id": [f"made-up/{row}#0" for row in range(first, first + rows)],
                "source": np.array(["wikipedia", "arxiv", "web", "books"])[generator.integers(0, 4, rows)],
                "title": [f"The history of number {row}" for row in range(first, first + rows)],
                "year": generator.integers(1950, 2026, rows),
                "score": pa.array(generator.random(rows), mask=generator.random(rows) < 0.01),
                "lang": np.array(["en", "de", "fr", "zh"])[generator.integers(0, 4, rows)],
            }
        )
        path = folder / f"{number}.parquet"
        pq.write_table(table, path, compression="zstd")
        files.append(MetadataFile(str(number), path, rows))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000, help="in a segment")
    parser.add_argument(
        "--repeats", type=int, default=3, help="of the cold mask; the warm one: 20 times as many"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    where = machine()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        segments = write_segments(Path(folder), arguments.segments, arguments.rows, arguments.seed)
        names = tuple(segment.segment for segment in segments)
        mask_of(
            "year = 2000", segments[:1], MaskCache(0)
        )  # DuckDB and Arrow are imported before the clock starts
        for text in FILTERS:
            sql = parse(text).sql
            cold, processor, bits, whole = [], [], [], []
            for _ in range(arguments.repeats):
                cache = MaskCache(1 << 30)
                started, used = time.perf_counter(), time.process_time()
                mask = mask_of(text, segments, cache)
                cold.append(time.perf_counter() - started)
                processor.append(time.process_time() - used)
            # Room for the bits alone: every mask is put together from them.
            only_bits = MaskCache(1 << 30)
            for name in names:
                kept = cache.segment(name, sql)
                assert kept is not None
                only_bits.keep_segment(name, sql, kept)
            only_bits.limit_bytes = only_bits.bytes
            for times, warm in ((bits, only_bits), (whole, cache)):
                for _ in range(20 * arguments.repeats):
                    started = time.perf_counter()
                    again = mask_of(text, segments, warm)
                    times.append(time.perf_counter() - started)
                assert np.array_equal(again, mask)
            results.append(
                {
                    "where": text,
                    "share_matched": round(float(mask.mean()), 6),
                    "cold": quantiles(cold),
                    "cold_processor_time": quantiles(processor),
                    "warm_from_bits": quantiles(bits),
                    "warm_whole": quantiles(whole),
                    "bytes_of_bits": only_bits.bytes,
                    "bytes_with_whole": cache.bytes,
                }
            )
    save(
        "filters",
        {
            "what": "mask of a filter over all rows; cold: computed, files in the page cache; warm: kept",
            "rows": arguments.segments * arguments.rows,
            "segments": arguments.segments,
            "repeats": arguments.repeats,
            "filters": results,
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
