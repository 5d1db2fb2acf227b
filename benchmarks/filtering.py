"""The four heuristic filter families beside datatrove's four English filters, on the same documents, one thread.

Ours scores every rule of every document; datatrove stops at the first that drops it. Interleaved in one run, processor
time of one core. `first` has learnt no words yet, `later` has seen these: a build lies between them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, save
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from datastore.text import normalise
from pipelines.filters.batch import TextBatch
from pipelines.filters.c4 import C4Filter
from pipelines.filters.fineweb_quality import FineWebQualityFilter as OurFineWebQualityFilter
from pipelines.filters.gopher_quality import GopherQualityFilter as OurGopherQualityFilter
from pipelines.filters.gopher_repetition import GopherRepetitionFilter as OurGopherRepetitionFilter
from pipelines.filters.words import english

FILES = (
    "c4_sample/test_c4",
    "web_pages/articles181.truth",
    "textbooks/psychology-2e",
    "textbooks/principles-economics-3e",
    "textbooks/university-physics-volume-1",
    "wikipedia/vital_en",
    "speeches/inaugural",
)
PART_WORDS = 400


def documents(folder: Path, count: int, seed: int) -> list[str]:
    """Documents of all files, long ones in parts, shuffled."""
    texts = []
    for name in FILES:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                words = normalise(json.loads(line)["text"]).split(" ")
                texts += [
                    normalise(" ".join(words[i : i + PART_WORDS])) for i in range(0, len(words), PART_WORDS)
                ]
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:count]]


def ours(texts: list[str], batch_documents: int) -> list[str | None]:
    """The edited text of each document, None for a dropped one; FineWeb's form of C4."""
    families = (
        OurGopherRepetitionFilter(),
        OurGopherQualityFilter(),
        C4Filter(remove_unpunctuated_lines=False),
    )
    on_edited = OurFineWebQualityFilter()
    kept: list[str | None] = []
    for start in range(0, len(texts), batch_documents):
        batch = TextBatch(texts[start : start + batch_documents])
        scores = [(family.rules(), family.scores(batch)) for family in families]
        edited = families[2].edit(batch)
        scores.append((on_edited.rules(), on_edited.scores(TextBatch(edited))))
        dropped = np.zeros(len(batch), dtype=bool)
        for rules, values in scores:
            for rule in rules:
                dropped |= rule.drops(values)
        kept += [None if drop else text for drop, text in zip(dropped, edited, strict=True)]
    return kept


def theirs(texts: list[str]) -> list[str | None]:
    stream: Iterator[Any] = (Document(text=text, id=str(number)) for number, text in enumerate(texts))
    for step in (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ):
        stream = step.run(stream)
    kept: list[str | None] = [None] * len(texts)
    for document in stream:
        kept[int(document.id)] = document.text
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("COMPENDIA_TEST_DATA", "../shared/data"))
    )
    parser.add_argument("--documents", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-documents", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    where = machine()
    texts = documents(arguments.data, arguments.documents, arguments.seed)
    words = int(TextBatch(texts).words.counts.sum())
    theirs(texts[:10])  # loads its tokenizer
    seconds: dict[str, list[float]] = {"first": [], "later": [], "datatrove": []}
    answers: dict[str, list[str | None]] = {}
    for _ in range(arguments.rounds):
        english.cache_clear()
        english()
        for name, times in seconds.items():
            started = time.process_time()
            answers[name] = theirs(texts) if name == "datatrove" else ours(texts, arguments.batch_documents)
            times.append(time.process_time() - started)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    save(
        "filtering",
        {
            "what": "Gopher repetition and quality, C4, FineWeb: processor time of one core",
            "documents": len(texts),
            "words": words,
            "rounds": arguments.rounds,
            "batch_documents": arguments.batch_documents,
            "seed": arguments.seed,
            "documents_per_s": {name: round(len(texts) / time_s, 1) for name, time_s in median.items()},
            "words_per_s": {name: round(words / time_s) for name, time_s in median.items()},
            "ratio": {name: round(median["datatrove"] / median[name], 2) for name in ("first", "later")},
            "kept": sum(text is not None for text in answers["datatrove"]),
            "differ": sum(a != b for a, b in zip(answers["first"], answers["datatrove"], strict=True)),
            "machine": where,
        },
    )


if __name__ == "__main__":
    main()
