"""A scan in blocks keeps what one look at all scores keeps."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datastore.hits import merge_best


@given(
    queries=st.integers(1, 4),
    rows=st.integers(0, 60),
    k=st.integers(1, 12),
    block=st.integers(1, 25),
    levels=st.sampled_from([1, 2, 5, 1_000]),
    rising=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_merged_are_the_best_of_all(queries, rows, k, block, levels, rising, seed):
    """Few levels make ties; rising scores put the best into the last block."""
    scores = np.random.default_rng(seed).integers(0, levels, (queries, rows)).astype(np.float32)
    if rising:
        scores.sort(axis=1)
    ordinals = np.arange(rows) * 3 + 1
    best = np.empty((queries, 0), dtype=np.int64), np.empty((queries, 0), dtype=np.float32)
    for start in range(0, max(rows, 1), block):  # a block of no rows pads, too
        best = merge_best(best, ordinals[start : start + block], scores[:, start : start + block], k)
    expected = [sorted(zip(-line, ordinals.tolist(), strict=True))[:k] for line in scores]
    found, found_scores = best
    assert found.tolist() == [[row for _, row in line] + [-1] * (k - len(line)) for line in expected]
    assert found_scores.tolist() == [
        [-negated for negated, _ in line] + [-np.inf] * (k - len(line)) for line in expected
    ]
