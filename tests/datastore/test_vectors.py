from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from datastore.index.dense.vectors import Vectors, release_pages


def mapped_kilobytes(file: Path) -> int:
    """What of a file this process has mapped and resident."""
    found = 0
    lines = Path("/proc/self/smaps").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.endswith(str(file)):
            found += next(int(m[1]) for m in (re.match(r"Rss:\s+(\d+)", one) for one in lines[number:]) if m)
    return found


def test_a_build_does_not_keep_what_it_has_read(tmp_path):
    file = tmp_path / "vectors.npy"
    given = np.random.default_rng(0).standard_normal((40_000, 64)).astype(np.float16)
    np.save(file, given)
    part = np.load(file, mmap_mode="r")
    vectors = Vectors([part], "cosine", 64, release=True)

    for _ in range(2):
        read = np.concatenate([*vectors.blocks(4_096)])
        assert np.array_equal(read, given.astype(np.float32))
        assert mapped_kilobytes(file) < 1_000
    taken = vectors.take(np.arange(0, 40_000, 7))

    assert np.array_equal(taken, given[::7].astype(np.float32))
    assert mapped_kilobytes(file) < 1_000
    assert np.array_equal(np.concatenate([*Vectors([part], "cosine", 64).blocks()]), read)
    assert mapped_kilobytes(file) > 4_000


def test_pages_of_what_is_no_map_are_left_alone():
    array = np.ones((3, 2), dtype=np.float32)

    release_pages(array)

    assert array.tolist() == [[1, 1]] * 3
