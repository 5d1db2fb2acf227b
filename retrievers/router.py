"""Weights of arms chosen for each query by a small model that was trained once and is frozen in `router.json`.

The model is linear: what is known of a query (its words, and how each arm's scores fall) gives every arm a number, and
the weights are the softmax of those. How it was trained, and what it is worth, is in docs/design/router.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from datastore import Hits, UsageError
from datastore.text import words

from .fusion import Fusion
from .fusion.base import Shares
from .fusion.scores import gap
from .fusion.weighted import WeightedFusion, weigh, weighted
from .protocol import Chain
from .selectors import Selection

SCALE = "min_max"
LEAST = 0.05  # an arm of less weight than this is left out
_DEPTH = 100  # hits of an arm that features look at, so that they do not change with k
_TOP = 10

QUERY_FEATURES = ("constant", "words", "digits", "names", "long words", "question")
ARM_FEATURES = ("gap", "drop", "found", "shared top", "shared")
_QUESTIONS = frozenset(
    {"are", "can", "did", "do", "does", "how", "is", "was", "what", "when", "where", "which", "who", "why"}
)


class Model(NamedTuple):
    """Of the weights of `arms`, kinds of retrievers in the order that the features have."""

    arms: tuple[str, ...]
    means: NDArray[np.float64]  # (features,)
    deviations: NDArray[np.float64]  # (features,)
    coefficients: NDArray[np.float64]  # (arms, features)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        numbers = (np.array(data[name], dtype=np.float64) for name in ("means", "deviations", "coefficients"))
        return cls(tuple(data["arms"]), *numbers)

    def weights(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(nq, arms) from (nq, features); sums to 1."""
        logits = (features - self.means) / self.deviations @ self.coefficients.T
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@cache
def trained_model() -> Model:
    """The model of the package."""
    text = files("retrievers").joinpath("router.json").read_text(encoding="utf-8")
    return Model.from_json(json.loads(text))


@dataclass(frozen=True, repr=False)
class Router(Fusion):
    """Weighted fusion, min-max, whose weights are each query's own; an arm that would count almost nothing is left out.

    Arms of other kinds than the model was trained for, and `trained=False`, get the weights of `weighted`: that is the same
    ranking then.
    """

    depth: int = WeightedFusion.depth
    trained: bool = True

    name: ClassVar[str] = "router"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.trained, bool):
            raise UsageError(f"trained must be True or False, got {self.trained!r}")

    def __call__(self, *arms: Chain, trained: bool = trained, depth: int = depth) -> Router:
        """A chain of these arms (none: dense and bm25); a parameter that is not given has its default."""
        return Router(arms or Fusion.arms, depth, trained)

    def shares(self, queries: Sequence[str], found: Sequence[Hits]) -> Shares:
        return weigh([hits.scores for hits in found], self.weigh(queries, found), SCALE)

    def weigh(self, queries: Sequence[str], found: Sequence[Hits]) -> NDArray[np.float64]:
        """(nq, arms): what each arm counts for in each query; sums to 1."""
        kinds = [kind(arm) for arm in self.arms]
        model = trained_model() if self.trained else None
        if model is None or sorted(kinds) != sorted(model.arms):
            return weighted(*self.arms).weigh(queries, found)
        order = [kinds.index(name) for name in model.arms]
        weights = np.zeros((len(queries), len(kinds)))
        weights[:, order] = model.weights(features(queries, [found[arm] for arm in order]))
        weights[weights < LEAST] = 0
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def kind(arm: Chain) -> str:
    """The name of a retriever, whatever its parameters; "" of one with selectors, whose scores are another thing."""
    return "" if isinstance(arm, Selection) else str(arm).partition("(")[0]


def features(queries: Sequence[str], found: Sequence[Hits]) -> NDArray[np.float64]:
    """(nq, features): those of the query, then those of each arm; see `QUERY_FEATURES` and `ARM_FEATURES`."""
    rows = [hits.rows[:, :_DEPTH] for hits in found]
    columns = [np.array([_of_query(query) for query in queries]).reshape(len(queries), len(QUERY_FEATURES))]
    for arm, hits in enumerate(found):
        scores = hits.scores[:, :_DEPTH]
        others = [other for number, other in enumerate(rows) if number != arm]
        columns.append(
            np.stack(
                [
                    gap(scores),
                    gap(scores[:, :2]),
                    (rows[arm] >= 0).mean(axis=1) if rows[arm].shape[1] else np.zeros(len(queries)),
                    _shared(rows[arm][:, :_TOP], [other[:, :_TOP] for other in others]),
                    _shared(rows[arm][:, :_TOP], others),
                ],
                axis=1,
            )
        )
    return np.concatenate(columns, axis=1)


def _of_query(query: str) -> list[float]:
    """How long it is, and the shares of its words that have a digit, look like names, are long; whether it asks."""
    found = words(query)
    count = max(len(found), 1)
    asks = query.rstrip().endswith("?") or (bool(found) and found[0].lower() in _QUESTIONS)
    return [
        1.0,
        float(np.log2(1 + len(found))),
        sum(any(map(str.isdigit, word)) for word in found) / count,
        sum(word[:1].isupper() for word in found[1:]) / count,
        sum(len(word) > 8 for word in found) / count,
        float(asks),
    ]


def _shared(rows: NDArray[np.int64], others: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """(nq,) share of each line of (nq, m) rows that is also among those of another arm."""
    if not others or not rows.shape[1]:
        return np.zeros(len(rows))
    pool = np.concatenate(others, axis=1)
    found = (rows[:, :, None] == pool[:, None, :]).any(axis=2) & (rows >= 0)
    return np.asarray(found.sum(axis=1) / np.maximum((rows >= 0).sum(axis=1), 1))


router = Router()
