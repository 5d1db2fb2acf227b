"""What a build would do, before it does it: what is to be read, how much comes of it, and what that costs.

Counts of passages and seconds come from a sample of each source that is read, scored, cut and embedded for real; of a
source that cannot be sampled here they come from what its publisher states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from datastore import CompendiaError, Encoder, EncoderConfig, UsageError
from datastore.decontamination import Question
from datastore.encoders import load_encoder
from datastore.planning.sizing import StorePlan, plan_store

from .check import faults, question_fault
from .corpus import known_units
from .dry_run_sample import Sample, take_sample
from .recipe import Recipe
from .sources import SourceConfig, Unit, inventory
from .sources.files import Skipped
from .target import check_target

_WORDS_PER_PASSAGE = 200  # of a source that cannot be sampled and states no passages (CompactDS has 205)


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
    faults: list[str]  # what the build would stop at before it reads
    not_subtracted: list[str]  # what drops documents or passages and is not in the estimates

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


def dry_run(
    recipe: Recipe, store: Path | None, questions: Iterable[Question] = (), *, replace: bool = False
) -> DryRun:
    """Plan a build into `store`, or into a new one; `questions` and `replace` as of `build`.

    Raises
    ------
    NotFoundError
        If a source's place does not exist.
    OverBudgetError
        If the index would not fit the recipe's `index.ram_bytes`.
    """
    found_faults = [*faults(recipe, fetch=False)]
    if (fault := question_fault(questions)) is not None:
        found_faults.append(fault)
    if store is not None:
        try:
            check_target(store.expanduser().resolve(), recipe, replace=replace)
        except CompendiaError as error:
            found_faults.append(error)
    encoder, dimension, why = _encoder(recipe)
    known = {} if store is None else known_units(store)
    found = {source.name: inventory(source) for source in recipe.rooted_sources()}
    sources = [
        _plan_source(
            recipe, source, found[source.name].units, found[source.name].skipped, known, encoder or why
        )
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
    plan = DryRun(
        sources,
        shards,
        len(known.keys() - here),
        dimension,
        None,
        0,
        [*map(str, found_faults)],
        _not_subtracted(recipe),
    )
    if not plan.passages or dimension is None:
        return plan
    second = recipe.exact_encoder
    exact_bytes = plan.passages * _dimension_of(second) * 2 if second is not None else 0
    return plan._replace(
        store=plan_store(plan.passages, dimension, "cosine", recipe.index), exact_bytes=exact_bytes
    )


def _encoder(recipe: Recipe) -> tuple[Encoder | None, int | None, str]:
    """The encoder, its vectors' dimension or what the recipe says of it, and why it cannot be loaded here."""
    try:
        encoder = load_encoder(recipe.encoder, fetch=False)
    except UsageError as error:
        return None, None, error.message
    except CompendiaError:
        return None, recipe.encoder.dimension, f"the encoder {recipe.encoder.model} cannot be loaded here"
    return encoder, encoder.fingerprint.dimension, ""


def _not_subtracted(recipe: Recipe) -> list[str]:
    """Of all documents together, so that a sample cannot tell."""
    copies = {"exact": ["copies"], "near": ["copies and near-copies"], "none": []}[recipe.deduplicate]
    return [*copies, *(["passages that give away questions"] if recipe.decontaminate else [])]


def _dimension_of(config: EncoderConfig) -> int:
    """0 where it is not known."""
    if config.dimension is not None:
        return config.dimension
    try:
        return load_encoder(config, fetch=False).fingerprint.dimension
    except CompendiaError:
        return 0


def _plan_source(
    recipe: Recipe,
    source: SourceConfig,
    units: Sequence[Unit],
    skipped: Mapping[str, Skipped],
    known: Mapping[tuple[str, str], str],
    encoder: Encoder | str,
) -> SourcePlan:
    stated = source.expected
    size = sum(unit.bytes for unit in units)
    sample, why = _try_sample(recipe, source, units, encoder)
    documents = stated.documents if stated else None
    if sample and sample.one_each:
        documents = round(len(units) / sample.units * sample.documents)
    elif sample and sample.documents and size and sample.bytes:
        documents = max(sample.documents, round(size / sample.bytes * sample.documents))
    elif sample and documents is None and sample.is_all:
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
    recipe: Recipe, source: SourceConfig, units: Sequence[Unit], encoder: Encoder | str
) -> tuple[Sample | None, str]:
    """The sample, or why there is none; in place of an encoder may stand why that is not here."""
    if isinstance(encoder, str):
        return None, encoder
    try:
        return take_sample(recipe, source, units, encoder), "nothing in it can be read"
    except CompendiaError as error:  # no network, a package that is missing
        return None, str(error).splitlines()[0]
