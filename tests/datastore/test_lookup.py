from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datastore.lookup import hash_ids, positions_of, write_lookup

HASHES = st.lists(st.integers(0, 9), max_size=30)


@given(HASHES, HASHES)
def test_every_position_of_a_hash_is_found(stored, asked):
    """Different ids may share a hash, so one may have several positions."""
    order = np.argsort(np.array(stored, dtype=np.uint64), kind="stable")
    table = np.stack([np.array(stored, dtype=np.uint64)[order], order.astype(np.uint64)])

    numbers, positions = positions_of(table, np.array(asked, dtype=np.uint64))

    assert sorted(zip(numbers.tolist(), positions.tolist(), strict=True)) == [
        (number, position)
        for number, hash_ in enumerate(asked)
        for position, known in enumerate(stored)
        if known == hash_
    ]


def test_ids_are_found_in_what_was_written(tmp_path):
    write_lookup(tmp_path / "ids.npy", ["b", "a", "ü", "a"])

    numbers, positions = positions_of(np.load(tmp_path / "ids.npy"), hash_ids(["a", "none", "ü"]))

    assert sorted(zip(numbers.tolist(), positions.tolist(), strict=True)) == [(0, 1), (0, 3), (2, 2)]
