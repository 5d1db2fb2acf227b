"""Web pages: how much of the true text each extractor finds, and WARC to text beside datatrove with the same settings.

`make bench-warc WARC=pages.warc.gz TRUTH=truth.jsonl.gz`: the truth has a line {"url", "text"} for each page. The peers
are interleaved with ours in one run, one process each; datatrove also within this process, without its sandbox.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, get_args

from common import machine, save

from pipelines.document import Document
from pipelines.sources.html import Extractor
from pipelines.sources.unit import Unit
from pipelines.sources.warc import read_warc

MAX_BYTES = 20_000_000
# What datatrove is told, to extract as ours does; `deduplicate` is its default and makes a page depend on those before.
SAME: dict[str, dict[str, Any]] = {
    "trafilatura": {"favour_precision": False, "deduplicate": False, "fast": True},
    "trafilatura_precision": {"favour_precision": True, "deduplicate": False},
    "trafilatura_recall": {"favour_precision": False, "deduplicate": False, "favor_recall": True},
}


class Scores(NamedTuple):
    precision: float
    recall: float
    f1: float


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3)) if words)


def scores(truths: list[str], texts: list[str]) -> Scores:
    """Of word 4-grams, averaged over pages, as https://github.com/scrapinghub/article-extraction-benchmark does."""
    precisions, recalls = [], []
    for truth, text in zip(truths, texts, strict=True):
        true, found = shingles(truth), shingles(text)
        common = (true & found).total()
        if found:
            precisions.append(common / found.total())
        if true:
            recalls.append(common / true.total())
    precision, recall = statistics.mean(precisions), statistics.mean(recalls)
    return Scores(precision, recall, 2 * precision * recall / (precision + recall))


def ours(path: Path, extractor: Extractor) -> Iterator[Document]:
    unit = Unit(path.name, str(path), "")
    return (item for item in read_warc(unit, MAX_BYTES, extractor) if isinstance(item, Document))


def bare_extractors() -> dict[str, Callable[[str], str | None]]:
    """The extractors as their packages offer them."""
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    return {
        "trafilatura default": lambda page: trafilatura.extract(page, include_comments=False),
        "trafilatura fast": lambda page: trafilatura.extract(page, include_comments=False, fast=True),
        "trafilatura precision": lambda page: trafilatura.extract(
            page, include_comments=False, favor_precision=True
        ),
        "trafilatura recall": lambda page: trafilatura.extract(
            page, include_comments=False, favor_recall=True
        ),
        "resiliparse main content": lambda page: extract_plain_text(page, main_content=True),
    }


def quality(path: Path, truth: Path) -> list[dict[str, Any]]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with gzip.open(truth, "rt", encoding="utf-8") as file:
        truths = {row["url"]: row["text"] for row in map(json.loads, file)}
    with path.open("rb") as file:
        pages = {
            record.headers["WARC-Target-URI"]: record.reader.read().decode("utf-8")
            for record in ArchiveIterator(file, WarcRecordType.response, auto_decode="all")
        }
    rows = []
    for name in get_args(Extractor):
        found = {document.metadata["url"]: document.text for document in ours(path, name)}
        texts = [found.get(url, "") for url in truths]
        rows.append({"extractor": f"ours: {name}", **scores([*truths.values()], texts)._asdict()})
    for name, extract in bare_extractors().items():
        texts = [extract(pages[url]) or "" for url in truths]
        rows.append({"extractor": name, **scores([*truths.values()], texts)._asdict()})
    return [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]


def identified(path: Path, copy: Path, pages: int | None) -> None:
    """The first responses of an archive with the payload type that Common Crawl gives its own.

    Without it datatrove asks libmagic, which takes more than half of the 181 article pages for no HTML.
    """
    from fastwarc.stream_io import GzipWriter
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with path.open("rb") as file, copy.open("wb") as out:
        for record in islice(ArchiveIterator(file, WarcRecordType.response, parse_http=False), pages):
            record.headers["WARC-Identified-Payload-Type"] = "text/html"
            writer = GzipWriter(out)
            record.write(writer)
            writer.finish()


def datatrove_pages(path: Path, settings: dict[str, Any], *, sandbox: bool) -> int:
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import WarcReader

    pages = WarcReader(str(path.parent), glob_pattern=path.name).run()
    extractor = Trafilatura(timeout=30, **settings)
    if sandbox:
        return sum(1 for _ in extractor.run(pages))
    return sum(1 for page in pages if extractor.extract(page.text))


def ways(path: Path) -> dict[str, Callable[[], int]]:
    """What is timed: each returns how many pages it gave text for."""
    found: dict[str, Callable[[], int]] = {
        f"ours: {name}": lambda name=name: sum(1 for _ in ours(path, name)) for name in get_args(Extractor)
    }
    for name, settings in SAME.items():
        for sandbox in (False, True):
            found[f"datatrove: {name}{', in its sandbox' if sandbox else ''}"] = (
                lambda settings=settings, sandbox=sandbox: datatrove_pages(path, settings, sandbox=sandbox)
            )
    found["datatrove: its defaults"] = lambda: datatrove_pages(path, {}, sandbox=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warc", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="without it, quality is not measured")
    parser.add_argument("--pages", type=int, help="so many are timed; None: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--result", default="warc", help="name of the file in benchmarks/results")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["LOGURU_LEVEL"] = "ERROR"  # datatrove's
    path = arguments.warc.resolve()
    where = machine()
    found_by_libmagic = datatrove_pages(path, {}, sandbox=False)
    folder = tempfile.TemporaryDirectory()
    copy = Path(folder.name, "identified.warc.gz")
    identified(path, copy, arguments.pages)
    timed = ways(copy)
    pages = {
        name: way() for name, way in timed.items()
    }  # imports and caches are warm before the clock starts
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(arguments.repeats):
        for name, way in timed.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    save(
        arguments.result,
        {
            "benchmark": "warc",
            "machine": where,
            "packages": {
                name: version(name)
                for name in ("fastwarc", "resiliparse", "trafilatura", "datatrove", "warcio")
            },
            "quality": quality(path, arguments.truth) if arguments.truth else None,
            "pages_of_datatrove_without_payload_types": found_by_libmagic,
            "speed": {
                name: {
                    "pages": pages[name],
                    "seconds": round(statistics.median(taken), 3),
                    "pages_per_s": round(pages[name] / statistics.median(taken), 1),
                }
                for name, taken in seconds.items()
            },
            "times_datatrove": {
                name: {
                    peer: round(
                        statistics.median(seconds[peer]) / statistics.median(seconds[f"ours: {name}"]), 2
                    )
                    for peer in (f"datatrove: {name}", f"datatrove: {name}, in its sandbox")
                }
                for name in SAME
            },
        },
    )
    folder.cleanup()


if __name__ == "__main__":
    main()
