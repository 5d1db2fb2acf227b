"""An evaluation as data: which questions, which model, which arms. A YAML file, then the environment, then `--set`."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from datastore.settings import override, override_from, read_yaml, validated

from ..engines import EngineConfig
from ..tasks.reading import on_hub
from ..tasks.task import Position, Source

ENVIRONMENT_PREFIX = "COMPENDIA_EVAL__"
TEMPLATE_FIELDS = ("text", "title", "source", "rank")
_EXAMPLE = "options.k=5"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Options(_Frozen):
    """How passages are chosen and shown."""

    k: int = Field(default=3, ge=1, description="Passages in a prompt")
    order: Literal["best-last", "best-first"] = Field(
        default="best-last",
        description="`best-last`: the best stands nearest to the question, as in CompactDS",
    )
    template: str = Field(default="{text}", description="Of one passage: {text}, {title}, {source}, {rank}")
    characters: int | None = Field(
        default=None, ge=1, description="Of a passage's text; the rest is cut off, and counted. None: all"
    )
    position: Position = Field(
        default="first",
        description="`first`: before everything, as in CompactDS; `question`: right before the question, so that "
        "prompts of a subject share their examples as a prefix",
    )
    keep: tuple[str, ...] = Field(default=(), description="Sources to take passages from; empty: all")
    leave_out: tuple[str, ...] = Field(default=(), description="Sources to take no passage from")
    query: Literal["full", "question"] = Field(
        default="full",
        description="What is searched for, and what no passage may give away; `full`: the question with its options, "
        "as in CompactDS",
    )
    decontaminate: bool = Field(
        default=True,
        description="Leave out passages that give the query away (13 words in a row, or all but a few of its words "
        "in order), for the next best ones",
    )

    @field_validator("template")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
        fields = [str(name) for _, name, _, _ in parts]
        if any(form or conversion for _, _, form, conversion in parts):
            raise ValueError(
                f"{template!r}: a field is shown as it is: options.characters cuts, and counts what it cuts"
            )
        if unknown := sorted(set(fields) - set(TEMPLATE_FIELDS)):
            raise ValueError(f"there is no {{{unknown[0]}}}, only {', '.join(TEMPLATE_FIELDS)}")
        if "text" not in fields:
            raise ValueError("a passage without its {text} says nothing")
        return template

    def with_changes(self, changes: Options) -> Options:
        """These, with what `changes` was given expressly."""
        return self.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})


class _ArmConfig(_Frozen):
    name: str = Field(default="", description="In tables and files; default: what the arm is")
    options: Options = Field(default=Options(), description="Where they differ from the evaluation's")


class _Ranking(_ArmConfig):
    """An arm whose passages are ranked, so that there can be more or fewer of them."""

    ks: tuple[int, ...] = Field(default=(), description="An arm more for each of these k")
    leave_one_out: bool = Field(
        default=False, description="An arm more without each source that passages can come from"
    )


class NoneArm(_ArmConfig):
    """The question alone."""

    kind: Literal["none"]


class RetrieverArm(_Ranking):
    """What a chain finds in the store."""

    kind: Literal["retriever"]
    retriever: str = Field(description="`dense`, `rrf(dense, bm25) >> rerank`")


class FileArm(_Ranking):
    """Passages from a file."""

    kind: Literal["file"]
    path: Path = Field(
        description="JSON Lines, also .gz: `id` of the question and `ctxs` or `hits`, best first, with id, text, source "
        "and score; retrieval results of CompactDS and what `compendia search --queries --text` writes are such files"
    )
    score: str | None = Field(
        default=None,
        description="Field of a passage that puts them in order, highest first, such as CompactDS's `grit score`; None: "
        "they are in order",
    )


class GoldArm(_ArmConfig):
    """The passages that hold the answer, where the data have them: what perfect retrieval would give."""

    kind: Literal["gold"]


class WrongArm(_ArmConfig):
    """Passages of another question: what any text of the kind gives, relevant or not."""

    kind: Literal["wrong"]
    of: str = Field(default="gold", description="`gold`, or the name of an arm before this one")


class OracleArm(_ArmConfig):
    """Of what a chain finds, the passages that make the right answer likeliest to the model that is asked."""

    kind: Literal["oracle"]
    retriever: str
    candidates: int = Field(default=100, ge=1, description="Passages of the chain that are ranked anew")


ArmConfig = Annotated[
    NoneArm | RetrieverArm | FileArm | GoldArm | WrongArm | OracleArm, Field(discriminator="kind")
]


class Evaluation(_Frozen):
    """Everything that decides what is asked, of which model, with which passages. Inert: nothing is loaded."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    task: str
    root: Path = Field(
        default=Path(), description="Folder that `data`, `corpus` and the arms' files start from"
    )
    data: str = Field(description="The task's folder or file, or `hf:<dataset>[:<config>]:<split>`")
    engine: EngineConfig = EngineConfig()
    store: Path | None = Field(default=None, description="A store that is there")
    corpus: dict[str, Any] | None = Field(
        default=None, description="Or a recipe: its store is built once, and kept in the user's cache"
    )
    arms: tuple[ArmConfig, ...] = Field(
        min_length=1, description="The first is what the others are compared with"
    )
    options: Options = Options()
    limit: int | None = Field(default=None, ge=1, description="Questions, drawn with the seed; None: all")
    limit_per_subject: int | None = Field(
        default=None, ge=1, description="And at most this many of a subject"
    )
    shots: int | None = Field(
        default=None, ge=0, description="Examples before the question; None: all that the task has"
    )
    seed: int = Field(default=0, ge=0, description="Of the draw, the wrong passages and the intervals")
    batch: int = Field(
        default=64,
        ge=1,
        description="Questions asked at a time: what is in RAM, and what a kill loses at most",
    )
    max_failed: int = Field(
        default=0, ge=0, description="Questions that a server may fail on; they are left out of every arm"
    )
    cache: Path | None = Field(
        default=None, description="Folder of answers that other runs may use again; None: the run's own"
    )
    out: Path | None = Field(default=None, description="Folder of the run; default: runs/<name>")

    def rooted(self, path: Path) -> Path:
        return self.root.expanduser() / path

    @property
    def data_source(self) -> Source:
        return self.data if on_hub(self.data) else self.rooted(Path(self.data))

    @property
    def folder(self) -> Path:
        return self.out or Path("runs") / self.name


def load_evaluation(
    path: Path, settings: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Evaluation:
    """An evaluation from a YAML file, overridden by `COMPENDIA_EVAL__A__B=c` variables and `a.b=c` settings.

    Raises
    ------
    NotFoundError
        If the file is not there.
    UsageError
        If it is not YAML, has an unknown key (the nearest known one is named), or a value that cannot be.
    """
    data = read_yaml(path, what="evaluation", hint="configs/eval/ holds complete ones")
    given = os.environ if environment is None else environment
    override_from(data, given, ENVIRONMENT_PREFIX, example=_EXAMPLE)
    override(data, settings, example=_EXAMPLE)
    return validated(Evaluation, data, str(path))
