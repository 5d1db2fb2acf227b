"""A sample of a source through every stage of a build, and thrown away."""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from datastore import Encoder
from datastore.segment import Passage
from datastore.text import normalise

from .chunk import Chunk, chunk_documents
from .document import Document
from .dry_run_features import FeatureCost, feature_costs
from .filters import rules, score_texts
from .recipe import Recipe
from .sources import SourceConfig, Unit, read
from .sources.compression import open_decompressed
from .sources.formats import format_of

_DOCUMENTS = 100
_DOCUMENTS_A_UNIT = 25
_UNITS = 32
_BYTES = 32 << 20  # of input: behind that no further file is opened
_HEAD_BYTES = 8 << 20  # of a file whose reader sorts it first: a dump of Stack Exchange
_QUESTION = b'PostTypeId="1"'
_EMBEDDED = 32
# Bytes of markup around a byte of text, by what stands in a file's name; of others it is little.
_MARKUP = {".warc": 30.0, ".htm": 10.0, ".xml": 1.6}
_COMPRESSED = (".gz", ".zst", ".bz2", ".parquet")


class Sample(NamedTuple):
    """What some documents of a source came to."""

    documents: int
    units: int  # that they were read from
    one_each: bool  # no unit gave more than one record: their number says more than their bytes
    is_all: bool  # there is no further document
    bytes: int  # of input; 0: not known
    kept: int
    passages: int
    seconds: float
    features: Sequence[FeatureCost]


class SampleRead(NamedTuple):
    documents: list[Document]
    units: int
    one_each: bool
    is_all: bool
    bytes: float


def take_sample(recipe: Recipe, source: SourceConfig, units: Sequence[Unit], encoder: Encoder) -> Sample:
    """The first documents of some units, spread over all of them."""
    _warm_up(recipe, source, units, encoder)
    started = time.perf_counter()
    found = read_sample(source, units)
    documents = found.documents
    texts = [normalise(document.text) for document in documents]
    filters = recipe.filters_of(source.name)
    metadata = [json.dumps(dict(document.metadata), default=str) for document in documents]
    scored = score_texts(texts, metadata, filters)
    dropped = [any(bool(rule.drops(scored.scores)[i]) for rule in rules(filters)) for i in range(len(texts))]
    kept = [i for i in range(len(texts)) if not dropped[i]]
    chunks = chunk_documents(
        [documents[i].title for i in kept], [scored.texts[i] for i in kept], encoder, recipe.chunk
    )
    inputs = [chunk.input for of_one in chunks for chunk in of_one]
    around = time.perf_counter() - started
    started = time.perf_counter()
    embedded = inputs[:: max(1, len(inputs) // _EMBEDDED)][:_EMBEDDED]
    encoder.encode_passages(embedded, truncate=True)
    embedding = (time.perf_counter() - started) / max(1, len(embedded)) * len(inputs)
    costs = feature_costs(recipe.rooted_features(), _passages(documents, scored.texts, kept, chunks))
    making = sum(cost.seconds for cost in costs) * len(inputs)
    return Sample(
        len(documents),
        found.units,
        found.one_each,
        found.is_all,
        round(found.bytes),
        len(kept),
        len(inputs),
        around + embedding + making,
        costs,
    )


def _warm_up(recipe: Recipe, source: SourceConfig, units: Sequence[Unit], encoder: Encoder) -> None:
    """Load what is loaded once: that does not grow with the documents."""
    for unit in units[:1]:
        with _head(source, unit) as (head, _):
            for item in islice(read(source, head), 1):
                text = normalise(item.text) if isinstance(item, Document) else ""
                if text:
                    score_texts([text], ["{}"], recipe.filters_of(source.name))
                    encoder.encode_passages([text[:100]], truncate=True)


def read_sample(source: SourceConfig, units: Sequence[Unit]) -> SampleRead:
    """Documents of some units, as many as say enough."""
    documents: list[Document] = []
    count, one_each, all_whole, read_bytes, opened_bytes = 0, True, True, 0.0, 0
    for unit in _spread(units):
        if len(documents) >= _DOCUMENTS or opened_bytes > _BYTES:
            break
        with _head(source, unit) as (head, document_bytes):
            items = [*islice(read(source, head), _DOCUMENTS_A_UNIT + 1)]
        here = [item for item in items[:_DOCUMENTS_A_UNIT] if isinstance(item, Document)]
        documents += here
        count += 1
        one_each &= len(items) <= 1 and document_bytes is None
        opened_bytes += unit.bytes
        is_whole = len(items) <= _DOCUMENTS_A_UNIT and document_bytes is None
        all_whole &= is_whole
        if document_bytes is not None:
            read_bytes += document_bytes * len(here)
        else:
            read_bytes += unit.bytes if is_whole else _input_bytes(unit, here)
    return SampleRead(documents, count, one_each, all_whole and count == len(units), read_bytes)


def _spread(units: Sequence[Unit]) -> list[Unit]:
    """Up to `_UNITS` of them in an order in which also the first few are spread over all."""
    count = min(_UNITS, len(units))
    width = max(1, count - 1).bit_length()
    order = sorted(range(count), key=lambda i: int(f"{i:0{width}b}"[::-1], 2))
    return [units[i * len(units) // count] for i in order]


@contextmanager
def _head(source: SourceConfig, unit: Unit) -> Iterator[tuple[Unit, float | None]]:
    """A unit; or of one that its reader would sort first, its start, and its bytes a document."""
    sorts = source.kind == "files" and "stackexchange" in (source.format, format_of(unit.place))
    if not sorts or unit.bytes <= _HEAD_BYTES:
        yield unit, None
        return
    with tempfile.TemporaryDirectory() as folder, open_decompressed(unit.place) as stream:
        file = Path(folder) / "Posts.xml"
        start = stream.read(_HEAD_BYTES)
        file.write_bytes(start)
        size = len(zlib.compress(start) if unit.name.lower().endswith(_COMPRESSED) else start)
        yield unit._replace(place=str(file), bytes=size), size / max(1, start.count(_QUESTION))


def _passages(
    documents: Sequence[Document],
    texts: Sequence[str],
    kept: Sequence[int],
    chunks: Sequence[Sequence[Chunk]],
) -> list[Passage]:
    return [
        Passage(
            f"{documents[i].id}#{ordinal}",
            documents[i].id,
            "",
            documents[i].title,
            ordinal,
            chunk.start,
            chunk.end,
            texts[i][chunk.start : chunk.end],
            documents[i].metadata,
        )
        for i, of_one in zip(kept, chunks, strict=True)
        for ordinal, chunk in enumerate(of_one)
    ]


def _input_bytes(unit: Unit, documents: Sequence[Document]) -> float:
    """About how many bytes of a file some of its documents take up."""
    texts = "".join(document.text for document in documents).encode()
    name = unit.name.lower()
    markup = next((factor for part, factor in _MARKUP.items() if part in name), 1.15)
    if name.endswith(_COMPRESSED):
        return len(zlib.compress(texts)) * (markup if markup < 2 else 0.7 * markup)
    return len(texts) * markup
