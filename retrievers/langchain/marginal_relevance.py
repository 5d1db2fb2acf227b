"""Few of many candidates: near to the query, and far from each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datastore.index.dense import Metric


def maximal_marginal_relevance(
    scores: NDArray[np.float32],
    vectors: NDArray[np.float32],
    k: int,
    lambda_mult: float,
    metric: Metric = "cosine",
) -> list[int]:
    """At most k of n candidates, in the order in which they are chosen: first the one of the highest score, then each
    time the one of the highest lambda_mult * score - (1 - lambda_mult) * similarity to the nearest chosen one
    (Carbonell and Goldstein, SIGIR 1998). Ties go to the earlier candidate.

    `scores` are (n,) similarities to the query, `vectors` (n, d) as the metric compares them: at length one for cosine.
    """
    chosen: list[int] = []
    gains = scores.astype(np.float64)
    nearest = np.full(len(scores), -np.inf)
    while len(chosen) < min(k, len(scores)):
        best = int(gains.argmax())
        chosen.append(best)
        similar = (
            -np.square(vectors - vectors[best]).sum(axis=1) if metric == "l2" else vectors @ vectors[best]
        )
        nearest = np.maximum(nearest, similar)
        gains = lambda_mult * scores - (1 - lambda_mult) * nearest
        gains[chosen] = -np.inf
    return chosen
