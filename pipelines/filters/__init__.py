"""Filters: one file a family. A family scores documents, and its rules say which scores are too low or too high."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from datastore import CompendiaError

from .batch import TextBatch
from .c4 import C4Filter
from .classifier import ClassifierFilter
from .fineweb_quality import FineWebQualityFilter
from .gopher_quality import GopherQualityFilter
from .gopher_repetition import GopherRepetitionFilter
from .language import LanguageFilter
from .length import LengthFilter
from .pii import PiiFilter
from .presets import preset
from .quality import QualityFilter
from .rule import Rule, Scores
from .url import UrlFilter

Result = TypeVar("Result")
_URL_FILES = ("domains", "urls", "hard_words", "soft_words", "substrings")
# Known by their content, wherever they lie.
_FILES = {*(("url", name) for name in _URL_FILES), ("quality", "model")}

__all__ = [
    "Filters",
    "Rule",
    "Scored",
    "Scores",
    "TextBatch",
    "families",
    "rules",
    "score_settings",
    "score_texts",
]


class Filters(BaseModel):
    """The filter section of a recipe: the families that are asked for, in the order in which they decide.

    In every family, fields that start with min_ or max_ are thresholds: they can be changed and decided anew from kept
    scores. Any other field changes the scores or the text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str | None = Field(
        default=None, description="A named set of published rules; families that are given here change it"
    )
    url: UrlFilter | None = None
    language: LanguageFilter | None = None
    gopher_repetition: GopherRepetitionFilter | None = None
    gopher_quality: GopherQualityFilter | None = None
    c4: C4Filter | None = None
    fineweb_quality: FineWebQualityFilter | None = None
    quality: QualityFilter | None = None
    classifier: ClassifierFilter | None = None
    length: LengthFilter | None = LengthFilter()
    pii: PiiFilter | None = None

    @model_validator(mode="before")
    @classmethod
    def _on_top_of_the_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("preset"):
            return data
        merged = preset(str(data["preset"]))
        for name, own in data.items():
            both = isinstance(own, dict) and isinstance(merged.get(name), dict)
            merged[name] = {**merged[name], **own} if both else own
        return merged

    def rooted(self, root: Path) -> Filters:
        """With the files of lists and models where they lie, seen from `root`."""
        changed: dict[str, Any] = {}
        if self.url is not None:
            lists = {
                name: str(root / path)
                for name, path in self.url.model_dump().items()
                if name in _URL_FILES and path is not None
            }
            changed["url"] = self.url.model_copy(update=lists)
        if self.quality is not None:
            changed["quality"] = self.quality.model_copy(update={"model": str(root / self.quality.model)})
        return self.model_copy(update=changed)


class Scored(NamedTuple):
    """Some documents after all families."""

    scores: Scores
    texts: Sequence[str]  # as edited; the given list itself where nothing edits
    labels: dict[str, list[str]]  # by name, one value a document: what a family says of it for its metadata
    failures: list[str | None]  # what a family raised for a document; its scores are NaN then


def families(filters: Filters) -> Iterator[tuple[str, Any]]:
    """Name and config of each family that is asked for, in order."""
    for name in type(filters).model_fields:
        family = getattr(filters, name)
        if isinstance(family, BaseModel):
            yield name, family


def rules(filters: Filters) -> list[Rule]:
    """All rules, in the order in which they decide."""
    return [rule for _, family in families(filters) for rule in family.rules()]


def score_settings(filters: Filters) -> dict[str, Any]:
    """All that scores and edited texts depend on: thresholds are left out, files count by their content."""
    return {
        name: {
            **{
                key: value
                for key, value in family.model_dump(mode="json").items()
                if not key.startswith(("min_", "max_")) and (name, key) not in _FILES
            },
            "content": family.content_hash() if hasattr(family, "content_hash") else None,
        }
        for name, family in families(filters)
    }


def score_texts(texts: Sequence[str], metadata: Sequence[str], filters: Filters) -> Scored:
    """Score documents, given as normalised texts and metadata in JSON, by every family, and edit them.

    A family that raises loses the documents that make it raise, not the others.
    """
    failures: list[str | None] = [None] * len(texts)
    found: dict[str, NDArray[np.float64]] = {}
    labels: dict[str, list[str]] = {}
    batch = TextBatch(texts, [json.loads(record) for record in metadata])
    for name, family in families(filters):
        parts = _guarded(family.scores, batch, name, failures)
        for column in {rule.score for rule in family.rules()}.union(*(part for part in parts if part)):
            values = [np.nan if part is None else part[column] for part in parts]
            found[column] = np.concatenate([np.atleast_1d(value) for value in values])
        if hasattr(family, "labels"):
            found_labels = _guarded(family.labels, batch, name, failures)
            labels[name] = [label for part in found_labels for label in (part if part is not None else [""])]
        if hasattr(family, "edit"):
            edits = _guarded(family.edit, batch, name, failures)
            edited = [
                text
                for i, part in enumerate(edits)
                for text in (part if part is not None else [batch.texts[i]])
            ]
            if edited != [*batch.texts]:
                batch = TextBatch(edited, batch.metadata)
    return Scored(found, batch.texts, labels, failures)


def _guarded(
    function: Callable[[TextBatch], Result], batch: TextBatch, name: str, failures: list[str | None]
) -> list[Result | None]:
    """The function's result for the whole batch; where it raises, its results document by document.

    None stands for a document that makes it raise; what it raised is in `failures` then.
    """
    try:
        return [function(batch)]
    except CompendiaError:
        raise  # a package or a model is missing: not the document's fault
    except Exception:  # noqa: BLE001 (whatever one document makes a filter raise, the others are scored)
        parts: list[Result | None] = []
        for i, (text, record) in enumerate(zip(batch.texts, batch.metadata, strict=True)):
            try:
                parts.append(function(TextBatch([text], [record])))
            except Exception as error:  # noqa: BLE001 (as above)
                parts.append(None)
                failures[i] = f"{name}: {type(error).__name__}: {error}"
        return parts
