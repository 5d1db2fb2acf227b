"""Ten complete hits (text and metadata) from a store of 200,000 passages, warm, without encoding and search.

The floor: ten record batches of 32 passages of about 1 kB are decompressed, 320 kB in all; LZ4 does that at
2-3 GB/s a core, so 0.11-0.16 ms.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, quantiles, save

from datastore import Datastore, EncoderConfig
from datastore.changes.write import SegmentCounts, commit_next, publish_segment
from datastore.encoders import load_encoder
from datastore.index.config import IndexConfig
from datastore.manifest import Manifest, StoredEncoder
from datastore.segment import Passage, write_passages, write_vectors
from datastore.text import words

ROWS_PER_SEGMENT = 2_000


def build_store(path: Path, passages: int, seed: int) -> Datastore:
    """A store of made-up passages of 60-280 words (about 1 kB) of this library's own vocabulary."""
    vocabulary = words(Path(np.__file__).with_name("__init__.py").read_text(encoding="utf-8"))
    vocabulary = [word for word in dict.fromkeys(vocabulary) if word.isalpha()]
    random_words, generator = random.Random(seed), np.random.default_rng(seed)
    encoder = load_encoder(EncoderConfig(model="hashing"))
    entries = []
    for start in range(0, passages, ROWS_PER_SEGMENT):

        def fill(folder: Path, start: int = start) -> int:
            rows = []
            for number in range(start, min(start + ROWS_PER_SEGMENT, passages)):
                text = " ".join(random_words.choices(vocabulary, k=random_words.randint(60, 280)))
                metadata = {
                    "year": 1900 + number % 120,
                    "url": f"https://example.org/{number}",
                    "topic": vocabulary[number % 50],
                }
                rows.append(
                    Passage(
                        f"made-up/{number}#0",
                        str(number),
                        "made-up",
                        f"Title {number}",
                        0,
                        0,
                        len(text),
                        text,
                        metadata,
                    )
                )
            write_vectors(folder, generator.standard_normal((len(rows), 256), dtype=np.float32))
            return write_passages(folder, rows)

        entries.append(publish_segment(path, f"s{start:08d}", SegmentCounts(ROWS_PER_SEGMENT), fill))
    manifest = Manifest(
        version=1,
        parent=None,
        metric="cosine",
        dimension=256,
        encoder=StoredEncoder(config=EncoderConfig(model="hashing"), fingerprint=encoder.fingerprint),
        index=IndexConfig(family="exact"),  # which passages are read does not depend on it
        segments=tuple(entries),
        indexes=(),
    )
    commit_next(path, manifest)
    return Datastore.open(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        store = build_store(Path(folder) / "store", arguments.passages, arguments.seed)
        generator = np.random.default_rng(arguments.seed)
        scores = np.zeros(10, dtype=np.float32)
        seconds = []
        # Every passage has been written a moment ago: the files are in the page cache.
        for _ in range(arguments.repeats):
            rows = generator.integers(0, len(store), 10)
            started = time.perf_counter()
            hits = store.read_hits(rows, scores)
            seconds.append(time.perf_counter() - started)
            assert [hit.document_id for hit in hits] == [str(row) for row in rows]
        text_bytes = sum(entry.files["passages.arrow"].bytes for entry in store.manifest.segments)
    save(
        "hits",
        {
            "what": "ten complete hits, warm, without encoding and search",
            "passages": arguments.passages,
            "text_bytes_on_disk": text_bytes,
            "repeats": arguments.repeats,
            **quantiles(seconds),
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
