"""Embedding through the encoder of a build, beside a plain `SentenceTransformer.encode` call, on the same passages.

Interleaved in one run; what counts is the ratio. The floor is the model's arithmetic: 21 million multiply-adds a token
for all-MiniLM-L6-v2, which both sides pay.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from common import machine, save

from datastore import EncoderConfig
from datastore.encoders.sentence_transformer import SentenceTransformerEncoder
from datastore.machine import available_cores
from pipelines.chunk import chunk_documents
from pipelines.document import Document
from pipelines.recipe import ChunkConfig
from pipelines.sources import read, units
from pipelines.sources.pydoc import PydocSource


def passages(encoder: SentenceTransformerEncoder, count: int, seed: int) -> list[str]:
    """Passages of the standard library's docstrings, as a build gives them to the encoder."""
    source = PydocSource(name="stdlib", kind="pydoc")
    documents = [
        record for unit in units(source) for record in read(source, unit) if isinstance(record, Document)
    ]
    chosen = np.random.default_rng(seed).permutation(len(documents))[:count]
    picked = [documents[i] for i in chosen]
    chunks = chunk_documents([d.title for d in picked], [d.text for d in picked], encoder, ChunkConfig())
    return [chunk.input for parts in chunks for chunk in parts][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import torch

    where = machine()
    threads = available_cores()
    rows = []
    for dtype in arguments.dtype or ["float32", "bfloat16"]:
        encoder = SentenceTransformerEncoder(EncoderConfig(model="offline", dtype=dtype))
        texts = passages(encoder, arguments.passages, arguments.seed)
        seconds: dict[str, list[float]] = {"compendia": [], "sentence_transformers": []}
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            ours = encoder.encode_passages(texts, threads=threads)
            seconds["compendia"].append(time.perf_counter() - started)
            torch.set_num_threads(threads)
            started = time.perf_counter()
            theirs = encoder._model.encode(texts, normalize_embeddings=True)  # noqa: SLF001 (the very same model)
            seconds["sentence_transformers"].append(time.perf_counter() - started)
        rate = {name: round(len(texts) / statistics.median(times), 1) for name, times in seconds.items()}
        rows.append(
            {
                "dtype": dtype,
                "passages": len(texts),
                "passages_per_s": rate,
                "ratio": round(rate["compendia"] / rate["sentence_transformers"], 3),
                "least_cosine": round(float((ours * theirs).sum(axis=1).min()), 5),
            }
        )
    save(
        "embedding",
        {
            "what": "embedding, all-MiniLM-L6-v2",
            "threads": threads,
            "rounds": arguments.rounds,
            "rows": rows,
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
