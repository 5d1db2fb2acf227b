"""What a build would do, before it does it: what is to be read, how much comes of it, and what that costs.

Counts of passages and seconds come from a sample of each source that is read, scored, cut and embedded for real; of a
source that cannot be sampled here they come from what its publisher states.
"""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from datastore import CompendiaError, Encoder, EncoderConfig
from datastore.encoders import load_encoder
from datastore.planning.sizing import StorePlan, plan_store
from datastore.segment import Passage
from datastore.text import normalise

from .chunk import Chunk, chunk_documents
from .corpus import known_units
from .document import Document
from .dry_run_features import FeatureCost, feature_costs
from .filters import rules, score_texts
from .recipe import Recipe
from .sources import SourceConfig, Unit, inventory, read
from .sources.files import Skipped

_SAMPLE_DOCUMENTS = 100
_SAMPLE_UNITS = 4
_EMBEDDED = 32
_WORDS_PER_PASSAGE = 200  # of a source that cannot be sampled and states no passages (CompactDS has 205)
# Bytes of markup around a byte of text, by what stands in a file's name; of others it is little.
_MARKUP = {".warc": 30.0, ".htm": 10.0, ".xml": 1.6}
_COMPRESSED = (".gz", ".zst", ".bz2", ".parquet")


class SourcePlan(NamedTuple):
    """One source; estimates are None where nothing is known."""

    name: str
    license: str | None
    units: int
    bytes: int
    new: int  # units that the store's last build has not read as they are
    skipped: Mapping[str, int]  # files without a reader, by suffix
    documents: int | None
    kept_share: float | None  # of the sample, after the filters
    passages: int | None
    seconds: float | None
    feature_bytes: Mapping[str, int] | None  # on disk, by feature; of a source that cannot be sampled None
    basis: str  # `sample`, `stated`, or why there is no estimate


class DryRun(NamedTuple):
    """A build that was not done."""

    sources: list[SourcePlan]
    shards: int
    vanished: int  # units that the last build read and that are not there any more
    dimension: int | None
    store: StorePlan | None  # None: the number of passages or the dimension is not known
    exact_bytes: int  # on disk besides: vectors of a second encoder, as far as its dimension is known

    @property
    def passages(self) -> int | None:
        known = [source.passages for source in self.sources if source.passages is not None]
        return sum(known) if known else None

    @property
    def feature_bytes(self) -> Counter[str]:
        """On disk besides, by feature, of the sources that could be sampled."""
        total: Counter[str] = Counter()
        for source in self.sources:
            total.update(source.feature_bytes or {})
        return total


def dry_run(recipe: Recipe, store: Path | None) -> DryRun:
    """Plan a build into `store`, or into a new one.

    Raises
    ------
    NotFoundError
        If a source's place does not exist.
    OverBudgetError
        If the index would not fit the recipe's `index.ram_bytes`.
    """
    encoder, dimension = _encoder(recipe)
    known = {} if store is None else known_units(store)
    found = {source.name: inventory(source) for source in recipe.rooted_sources()}
    sources = [
        _plan_source(recipe, source, found[source.name].units, found[source.name].skipped, known, encoder)
        for source in recipe.rooted_sources()
    ]
    here = {(name, unit.name) for name, inventory in found.items() for unit in inventory.units}
    shards = sum(
        max(
            *(1, source.bytes // recipe.shard.characters),
            (source.documents or 0) // recipe.shard.documents,
        )
        for source in sources
    )
    plan = DryRun(sources, shards, len(known.keys() - here), dimension, None, 0)
    if not plan.passages or dimension is None:
        return plan
    second = recipe.exact_encoder
    exact_bytes = plan.passages * _dimension_of(second) * 2 if second is not None else 0
    return plan._replace(
        store=plan_store(plan.passages, dimension, "cosine", recipe.index), exact_bytes=exact_bytes
    )


def _encoder(recipe: Recipe) -> tuple[Encoder | None, int | None]:
    """The encoder, or what the recipe says of it where it cannot be loaded here; and its vectors' dimension."""
    try:
        encoder = load_encoder(recipe.encoder, fetch=False)
    except CompendiaError:
        return None, recipe.encoder.dimension
    return encoder, encoder.fingerprint.dimension


def _dimension_of(config: EncoderConfig) -> int:
    """0 where it is not known."""
    if config.dimension is not None:
        return config.dimension
    try:
        return load_encoder(config, fetch=False).fingerprint.dimension
    except CompendiaError:
        return 0


class _Sample(NamedTuple):
    """What the first documents of a source came to."""

    documents: int
    bytes: int  # of input; 0: not known
    kept: int
    passages: int
    seconds: float
    features: Sequence[FeatureCost]


def _plan_source(
    recipe: Recipe,
    source: SourceConfig,
    units: Sequence[Unit],
    skipped: Mapping[str, Skipped],
    known: Mapping[tuple[str, str], str],
    encoder: Encoder | None,
) -> SourcePlan:
    stated = source.expected
    size = sum(unit.bytes for unit in units)
    sample, why = _try_sample(recipe, source, units, encoder)
    documents = stated.documents if stated else None
    if sample and sample.documents and size and sample.bytes:
        documents = max(sample.documents, round(size / sample.bytes * sample.documents))
    elif sample and documents is None and sample.documents < _SAMPLE_DOCUMENTS:
        documents = sample.documents
    if documents is not None and source.limit is not None:
        documents = min(documents, source.limit)
    kept = passages = seconds = feature_bytes = None
    basis = why
    if sample and sample.documents and documents is not None:
        share = documents / sample.documents
        kept, basis = sample.kept / sample.documents, "sample"
        passages, seconds = round(sample.passages * share), sample.seconds * share
        sizes = ((cost.name, round(cost.bytes * passages)) for cost in sample.features)
        feature_bytes = {name: size for name, size in sizes if size}
    elif stated and (stated.passages or stated.words):
        passages = stated.passages or round((stated.words or 0) / _WORDS_PER_PASSAGE)
        basis = "stated"
    elif sample and sample.documents:
        basis = "how much it holds is known when it is read"
    return SourcePlan(
        source.name,
        source.license,
        len(units),
        size,
        sum(known.get((source.name, unit.name)) != unit.identity for unit in units),
        {suffix or "none": files for suffix, (files, _) in skipped.items()},
        documents,
        kept,
        passages,
        seconds,
        feature_bytes,
        basis,
    )


def _try_sample(
    recipe: Recipe, source: SourceConfig, units: Sequence[Unit], encoder: Encoder | None
) -> tuple[_Sample | None, str]:
    """The sample, or why there is none."""
    if encoder is None:
        return None, f"the encoder {recipe.encoder.model} cannot be loaded here"
    try:
        return _take_sample(recipe, source, units, encoder), "nothing in it can be read"
    except CompendiaError as error:  # no network, a package that is missing
        return None, str(error).splitlines()[0]


def _take_sample(recipe: Recipe, source: SourceConfig, units: Sequence[Unit], encoder: Encoder) -> _Sample:
    """The first documents of some units, spread over all of them, through every stage."""
    started = time.perf_counter()
    step = max(1, len(units) // _SAMPLE_UNITS)
    chosen = units[::step][:_SAMPLE_UNITS]
    documents: list[Document] = []
    read_bytes = 0.0
    for unit in chosen:
        share = _SAMPLE_DOCUMENTS // len(chosen)
        items = [*islice(read(source, unit), share + 1)]
        here = [item for item in items[:share] if isinstance(item, Document)]
        documents += here
        if len(items) <= share:
            read_bytes += unit.bytes
        else:
            read_bytes += _input_bytes(unit, here)
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
    return _Sample(
        len(documents), round(read_bytes), len(kept), len(inputs), around + embedding + making, costs
    )


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
