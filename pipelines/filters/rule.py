"""What a filter family is made of: scores of texts, and rules with bounds for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = Mapping[str, NDArray[np.float64]]
"""By name of the score, one value a document; NaN: the score does not apply to it, and no rule drops it."""


class Rule(NamedTuple):
    """A document whose score lies outside [minimum, maximum] is dropped for `reason`.

    Bounds are all that a changed threshold changes: so a rule can be decided anew from kept scores.
    """

    reason: str  # short and countable: `gopher_short_document`
    score: str
    minimum: float = -np.inf
    maximum: float = np.inf

    def drops(self, scores: Scores) -> NDArray[np.bool_]:
        """(n,) whether each document is dropped."""
        values = scores[self.score]
        return np.asarray((values < self.minimum) | (values > self.maximum))
