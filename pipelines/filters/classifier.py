"""Any text classifier of the Hugging Face hub, or in a folder: FineWeb-Edu's, a toxicity or a domain classifier.

Penedo et al., "The FineWeb Datasets" (2024): HuggingFaceFW/fineweb-edu-classifier gives one number from about 0 to 5,
and FineWeb-Edu keeps what rounds to 3 or more: `min_score: 2.5`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from datastore.errors import NotFoundError, UsageError, nearest
from datastore.quiet import quiet_transformers
from datastore.weights import weights_revision

from .batch import TextBatch
from .rule import Rule

if TYPE_CHECKING:
    import torch


class ClassifierFilter(BaseModel):
    """Drop what a classifier scores outside [min_score, max_score] (`classifier`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="A name on the Hugging Face hub or a folder, of a sequence classifier")
    revision: str | None = Field(default=None, description="Commit, tag or branch of the model on the hub")
    label: str | None = Field(
        default=None,
        description="The class whose probability is the score; None: the number that a model of one output gives",
    )
    max_tokens: int = Field(default=512, gt=2, description="Tokens the model reads, special ones included")
    batch_size: int = Field(default=16, ge=1)
    device: str | None = Field(default=None, description="`cpu`, `cuda:0` …; None: a GPU where there is one")
    min_score: float | None = None
    max_score: float | None = None

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """What the model says of the beginning of each text, to four decimals.

        Raises
        ------
        NotFoundError
            If the model is neither a folder nor to be had from the hub.
        UsageError
            If the model has several classes and `label` names none of them.
        """
        loaded = _load(self.model, self.revision, self.device)
        return {"classifier_score": _predict(loaded, batch.texts, self).round(4)}

    def rules(self) -> tuple[Rule, ...]:
        least = -np.inf if self.min_score is None else self.min_score
        most = np.inf if self.max_score is None else self.max_score
        return (Rule("classifier", "classifier_score", least, most),)

    def content_hash(self) -> str:
        """The commit of the model, or for a folder a hash of its weights: where it is equal, so are the scores."""
        return _load(self.model, self.revision, self.device).revision


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    revision: str


@lru_cache(maxsize=1)
def _load(name: str, revision: str | None, device: str | None) -> _Loaded:
    import torch
    import transformers

    try:
        with quiet_transformers():
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                name, revision=revision or "main", trust_remote_code=False, use_safetensors=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"cannot load the classifier {name!r}: {str(error).splitlines()[0]}",
            hint="set filters.classifier.model to the hub name or the folder of a sequence classifier",
        ) from error
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"), torch.float32).eval()
    commit = getattr(model.config, "_commit_hash", None)
    return _Loaded(model, tokenizer, weights_revision(name, "*.safetensors", commit))


def _predict(loaded: _Loaded, texts: Sequence[str], config: ClassifierFilter) -> NDArray[np.float64]:
    """(n,) scores. Texts of similar length run together, in an order that depends on `texts` alone."""
    import torch

    score_of = _score_of(loaded.model.config, config)
    scores = np.empty(len(texts), dtype=np.float64)
    order = np.argsort([-len(text) for text in texts], kind="stable")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # sums depend on how they are shared out; executors run shards side by side
        with torch.inference_mode():
            for start in range(0, len(order), config.batch_size):
                rows = order[start : start + config.batch_size]
                inputs = loaded.tokenizer(
                    [texts[row] for row in rows],
                    truncation=True,
                    max_length=config.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(loaded.model.device)
                scores[rows] = score_of(loaded.model(**inputs).logits).double().cpu().numpy()
    finally:
        torch.set_num_threads(threads)
    return scores


def _score_of(model: Any, config: ClassifierFilter) -> Callable[[torch.Tensor], torch.Tensor]:
    """(n, classes) logits to (n,) scores, for the `config` of a model."""
    if model.num_labels == 1 and config.label is None:
        return lambda logits: logits[:, 0]
    classes = {str(label): number for label, number in sorted(model.label2id.items(), key=itemgetter(1))}
    if config.label not in classes:
        raise UsageError(
            f"the classifier {config.model} has the classes {', '.join(classes)}; label is {config.label!r}",
            hint=f"filters.classifier.label: {nearest(config.label or '', classes)}",
        )
    column = classes[config.label]
    if model.problem_type == "multi_label_classification" or model.num_labels == 1:
        return lambda logits: logits[:, column].sigmoid()
    return lambda logits: logits.softmax(dim=1)[:, column]
