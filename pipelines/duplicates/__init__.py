"""Near-duplicates of a whole corpus: signatures of each shard, pairs from their bands, true similarity, groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..executors import Executor
from .bands import Candidates, candidate_pairs
from .groups import choose, clusters, components
from .minhash import NearDuplicates, signatures
from .verify import Corpus, Texts, compare, verified_pairs

__all__ = [
    "Candidates",
    "Corpus",
    "NearDuplicates",
    "Texts",
    "candidate_pairs",
    "choose",
    "clusters",
    "compare",
    "components",
    "near_duplicates",
    "signatures",
    "verified_pairs",
]


def near_duplicates(
    files: Sequence[Path],
    texts: Texts,
    priority: NDArray[np.integer],
    length: NDArray[np.integer],
    config: NearDuplicates,
    *,
    work: Path,
    executor: Executor,
    first_new: int = 0,
) -> NDArray[np.int64]:
    """(n,) the cluster of each document, named by its centre: the best (see `choose`) of those it is similar to.

    Clusters depend on no filter: `choose(clusters, …, among=…)` decides among the documents that passed. `files` hold
    the `signatures` of the documents in order, as .npy; `length` is in characters. Documents before `first_new` are in
    a store already and have the best priority: they are compared with new ones, not with each other. `work` is
    emptied first; it can be removed afterwards.
    """
    candidates = candidate_pairs(files, work, executor, first_new=first_new)
    np.save(work / "length.npy", length)
    corpus = Corpus(texts, work / "length.npy", config)
    verified = verified_pairs(candidates, corpus, executor)
    return clusters(
        components(verified, candidates.documents),
        priority,
        length,
        verified,
        partial(compare, corpus=corpus, executor=executor),
        first_new,
    )
