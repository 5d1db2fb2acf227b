"""Kinds of features: what every segment can hold for one more way to search than dense vectors.

A kind of feature is a module `datastore/index/<kind>.py`:

    Config                                       frozen pydantic model with `kind` and `name`
    fingerprint(config, *, fetch) -> dict        JSON data that must be equal for new rows to fit the old ones; without
                                                 `fetch` the network is not used
    write(folder, texts, config, *, threads)     the files of n passages, row i from texts[i], into an empty folder
    merge(folder, parts, config)                 the same from rows of other segments; parts are (folder, rows, positions)
    open_part(folder, rows, config) -> Part      what is searched, memory-mapped; ValueError or OSError where damaged

One that says `needs = "passages"` gets `datastore.segment.Passage` objects in place of texts. A kind that has an index over
segments defines besides:

    index_parameters(config, rows) -> dict | None              what the index is made with; None: so few rows need none
    build_index(folder, covered, config, parameters)           its files, into an empty folder
    open_index(folder, rows, config, parameters) -> Index      ordinals 0..rows-1 over the covered segments in order
    whole_index = True                                         if only one index over everything that is live makes sense
    ram_files = (".npy",)                                      how files are called that an open index has in RAM: the ends

and one whose options name what has to be in the store refuses the rest by `check(config, catalog)`, when it is added; one
whose options name files has `Config.rooted(folder)`, by which they are found from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import IntegrityError, UsageError, nearest
from .manifest import NAME_PATTERN, FeatureEntry
from .segment import Passage
from .settings import validated

KINDS = ("bm25", "graph", "multivector", "sparse", "vectors")


def kind_module(kind: str) -> ModuleType:
    """The module of a kind.

    Raises
    ------
    IntegrityError
        If this code has no such kind.
    """
    if kind not in KINDS:
        raise IntegrityError(
            f"features of kind {kind!r} are unknown to this Compendia", hint="pip install --upgrade compendia"
        )
    return import_module(f".index.{kind}", __package__)


def parse_config(given: str | dict[str, Any] | BaseModel) -> Any:
    """The config of a kind: by its name, as data with `kind`, or ready made.

    Raises
    ------
    UsageError
        If there is no such kind, or it has no such option.
    """
    if isinstance(given, BaseModel):
        return given
    data = {"kind": given} if isinstance(given, str) else dict(given)
    kind = data.get("kind")
    if kind not in KINDS:
        raise UsageError(f"there is no kind of index {kind!r}", hint=nearest(str(kind), KINDS))
    return validated(kind_module(str(kind)).Config, data, str(kind))


def check_names(configs: Sequence[Any]) -> None:
    """Raise UsageError where two features of one store have one name."""
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two indexes are called {name!r}", hint="give one of them another name")


def rooted(config: Any, root: Path) -> Any:
    """The config with the files that it names where they lie, seen from `root`."""
    return config.rooted(root.expanduser().absolute()) if hasattr(config, "rooted") else config


def declare(given: str | dict[str, Any] | BaseModel) -> FeatureEntry:
    """What a manifest says of a feature; may load its encoder."""
    config = rooted(parse_config(given), Path())
    if not re.fullmatch(NAME_PATTERN, config.name) or len(config.name) > 128 or config.name == "dense":
        raise UsageError(
            f"an index cannot be called {config.name!r}",
            hint="letters, digits, _, . and -, a letter or digit first; dense are the store's own vectors",
        )
    return FeatureEntry(
        name=config.name,
        kind=config.kind,
        config=config.model_dump(mode="json"),
        fingerprint=kind_module(config.kind).fingerprint(config, fetch=True),
    )


def config_of(entry: FeatureEntry) -> Any:
    """The config in a manifest, which may come from a stranger."""
    try:
        return kind_module(entry.kind).Config.model_validate(entry.config)
    except ValidationError as error:
        raise IntegrityError(
            f"the manifest's settings of {entry.name} are none: {error.errors()[0]['msg']}",
            hint="pip install --upgrade compendia",
        ) from error


def check_fingerprint(entry: FeatureEntry, *, fetch: bool = True) -> None:
    """That this code and its encoders make what the store has of a feature. Without `fetch` the network is not used.

    Raises
    ------
    IntegrityError
        If they make something else: it says what differs.
    """
    found, expected = kind_module(entry.kind).fingerprint(config_of(entry), fetch=fetch), entry.fingerprint
    if found != expected:
        differences = ", ".join(
            f"{key} {found.get(key)!r} instead of {expected.get(key)!r}"
            for key in sorted(found | expected)
            if found.get(key) != expected.get(key)
        )
        raise IntegrityError(
            f"what made the {entry.name} index of this store is not what is here now: {differences}",
            hint=f"compendia index drop STORE {entry.name}, and add it again",
        )


def write_feature(folder: Path, config: Any, passages: Iterable[Passage], *, threads: int) -> None:
    """The files of a feature of these passages, into an empty folder; may load its encoder."""
    module = kind_module(config.kind)
    given = passages if getattr(module, "needs", "texts") == "passages" else map(text_of, passages)
    module.write(folder, list(given), config, threads=threads)


def text_of(passage: Passage) -> str:
    """What a feature is made from: title and text."""
    return f"{passage.title} {passage.text}" if passage.title else passage.text
