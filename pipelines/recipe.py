"""The recipe: all that decides what a store holds. A YAML file, then the environment, then `--set`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    field_validator,
)

from datastore import EncoderConfig, UsageError
from datastore.decontamination import DecontaminationConfig
from datastore.files import content_key
from datastore.index.config import IndexConfig
from datastore.kinds import check_names, parse_config
from datastore.kinds import rooted as rooted_feature
from datastore.settings import override, override_from, read_yaml, validated

from .duplicates.minhash import NearDuplicates
from .filters import Filters
from .sources import SourceConfig
from .sources.places import rooted

ENVIRONMENT_PREFIX = "COMPENDIA__"
_EXAMPLE = "sources.wikipedia.limit=100"


class DecontaminateConfig(DecontaminationConfig):
    """Which questions no passage may give away, and when it does."""

    questions: tuple[str, ...] = Field(
        min_length=1,
        description="JSON Lines of questions, each as `PATH` or, where a task has a format, `TASK=PATH`; relative ones "
        "start from `root`, as sources do",
    )


class ChunkConfig(BaseModel):
    """How documents become passages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["passages", "document"] = Field(
        default="passages",
        description="`passages`: cut at sentence ends so that the encoder reads every token; `document`: one passage "
        "a document, of which the encoder reads the beginning (the protocol of published BEIR figures)",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=8,
        description="Tokens of a passage with its title, in the encoder's count; None: all it reads",
    )
    with_title: bool = Field(
        default=True, description="Put the document's title before each passage it embeds"
    )


FeatureConfig = Annotated[
    Any,
    PlainValidator(parse_config, json_schema_input_type=str | dict[str, Any]),
    PlainSerializer(lambda config: config.model_dump(mode="json")),
]


class ShardConfig(BaseModel):
    """The unit of parallel work and of resuming: at most this much text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int = Field(default=2_000, ge=1)
    characters: int = Field(default=2_000_000, ge=1)


class Recipe(BaseModel):
    """Everything that decides what a store holds. Inert: nothing is loaded, opened or created."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    out: Path | None = Field(default=None, description="Folder of the store; `--out` wins")
    root: Path = Field(
        default=Path(), description="Folder that relative paths start from: of sources, models, questions"
    )
    sources: tuple[SourceConfig, ...] = Field(
        min_length=1, description="Earlier sources win among duplicates"
    )
    filters: Filters = Filters()
    deduplicate: Literal["near", "exact", "none"] = Field(
        default="exact",
        description="`exact`: of documents that differ in case and white space only, the first is kept; `near`: and of "
        "documents that are nearly the same, that of the first source, the longest, the first",
    )
    near_duplicates: NearDuplicates = NearDuplicates()
    max_failure_share: float = Field(
        default=0.2, ge=0, le=1, description="A source of which more cannot be read stops the build"
    )
    decontaminate: DecontaminateConfig | None = Field(
        default=None, description="Leave out passages that give away evaluation questions"
    )
    chunk: ChunkConfig = ChunkConfig()
    encoder: EncoderConfig = EncoderConfig()
    exact_encoder: EncoderConfig | None = Field(
        default=None,
        description="A second, stronger encoder: its vectors, on disk, decide about what the first one's index finds",
    )
    index: IndexConfig = IndexConfig()
    features: tuple[FeatureConfig, ...] = Field(
        default_factory=lambda: (parse_config("bm25"),),
        description="What the store can be searched by beside dense vectors: kinds of `compendia index add`, by name or "
        "with their options",
    )
    shard: ShardConfig = ShardConfig()

    @field_validator("sources")
    @classmethod
    def _unique_names(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"source names must differ, got {', '.join(names)}")
        return sources

    @field_validator("features")
    @classmethod
    def _unique_features(cls, features: tuple[Any, ...]) -> tuple[Any, ...]:
        check_names(features)
        return features

    @property
    def near(self) -> NearDuplicates | None:
        """What counts as nearly the same; None where only exact copies, or none, are looked for."""
        return self.near_duplicates if self.deduplicate == "near" else None

    def filters_of(self, source: str) -> Filters:
        """The filters that decide about a source, with their files seen from the recipe's root."""
        own = next(one.filters for one in self.sources if one.name == source)
        return (own or self.filters).rooted(self.root.expanduser().absolute())

    def rooted_features(self) -> tuple[Any, ...]:
        """The features, with their files where they lie."""
        return tuple(rooted_feature(one, self.root) for one in self.features)

    def rooted_sources(self) -> tuple[SourceConfig, ...]:
        """The sources with the places they are read from."""
        return tuple(
            source.model_copy(update={"path": rooted(source.path, self.root)})
            if source.kind == "files"
            else source
            for source in self.sources
        )

    def content(self) -> dict[str, Any]:
        """The recipe as plain data, without where the input lies and where the store goes."""
        return self.model_dump(mode="json", exclude={"out", "root"})

    def hash(self) -> str:
        return content_key(self.content())


def load_recipe(
    path: Path, settings: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Recipe:
    """A recipe from a YAML file, overridden by `COMPENDIA__A__B=c` variables and `a.b=c` settings.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If it is not YAML, has an unknown key (the nearest known one is named), or a value that cannot be.
    """
    data = read_yaml(path, what="recipe", hint="configs/ holds complete ones")
    return make_recipe(data, settings, environment, origin=str(path))


def make_recipe(
    data: dict[str, Any],
    settings: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    origin: str = "recipe",
) -> Recipe:
    """A recipe from plain data with the same overrides and errors as `load_recipe`."""
    given = os.environ if environment is None else environment
    override_from(data, given, ENVIRONMENT_PREFIX, example=_EXAMPLE)
    for setting in settings:
        _check_place(setting.partition("=")[0])
    override(data, settings, example=_EXAMPLE)
    return validated(Recipe, data, origin)


def _check_place(key: str) -> None:
    """Refuse `deduplicate.min_jaccard`, which goes into a value, with the key that ends like it."""
    parent, _, last = key.rpartition(".")
    leaves = dict(_leaves(Recipe))
    if parent not in leaves or get_origin(leaves[parent]) in (dict, tuple) or leaves[parent] is Any:
        return
    alike = [known for known in leaves if known.rpartition(".")[2] == last]
    if alike:
        meant = ", ".join(f'"{known}"' for known in alike)
        raise UsageError(f"unknown key {key!r}: {parent} is a value", hint=f"did you mean {meant}?")


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of values with their types; lists of models are values."""
    for name, field in model.model_fields.items():
        inner = [field.annotation, *get_args(field.annotation)]
        models = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
        if models and get_origin(field.annotation) is not tuple:
            yield from _leaves(models[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.annotation
