from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.duplicates import bands, candidate_pairs
from pipelines.executors import open_executor


def save(folder: Path, *parts: list[list[int]]) -> list[Path]:
    files = []
    for number, part in enumerate(parts):
        files.append(folder / f"{number}.npy")
        np.save(files[-1], np.asfortranarray(np.array(part, dtype=np.uint64).reshape(len(part), -1)))
    return files


def found(files: list[Path], work: Path, **options: int) -> list[list[int]]:
    with open_executor("serial") as executor:
        candidates = candidate_pairs(files, work, executor, **options)
    return [pair for block in candidates.blocks() for pair in candidates.pairs(block).tolist()]


def test_members_of_a_group_are_paired_with_its_first_and_with_the_one_before(tmp_path):
    #        band 0: 0 2 3 5 and 1 4;  band 1: 0 2 (again), 4 5
    files = save(tmp_path, [[7, 1], [8, 2], [7, 1]], [[7, 3], [8, 4], [7, 4]])

    assert found(files, tmp_path / "work") == [[0, 2], [0, 3], [2, 3], [1, 4], [0, 5], [3, 5], [4, 5]]


def test_pairs_among_known_documents_are_left_out(tmp_path):
    files = save(tmp_path, [[7], [7], [7], [7]])

    assert found(files, tmp_path / "work", first_new=2) == [[0, 2], [1, 2], [0, 3], [2, 3]]


@pytest.mark.parametrize("parts", [(), ([],), ([[5, 6]],), ([[5, 6], [6, 5]],)])
def test_nothing_to_pair(tmp_path, parts):
    files = [*save(tmp_path, *[part for part in parts if part])]

    assert found(files, tmp_path / "work") == []


def random_files(folder: Path, rows: int) -> list[Path]:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 63, 400, dtype=np.uint64) * np.uint64(2)
    return save(folder, *(generator.choice(hashes, (rows, 3)).tolist() for _ in range(3)))


def test_pairs_are_the_same_whatever_fits_in_ram_and_whoever_works(tmp_path, monkeypatch):
    files = random_files(tmp_path, 300)
    whole = found(files, tmp_path / "work")
    with open_executor("process", 2) as executor:
        candidates = candidate_pairs(files, tmp_path / "other", executor)
    in_processes = [pair for block in candidates.blocks() for pair in candidates.pairs(block).tolist()]

    monkeypatch.setattr(bands, "_PART_DOCUMENTS", 64)
    monkeypatch.setattr(bands, "_BLOCK_DOCUMENTS", 100)
    in_parts = found(files, tmp_path / "work")  # where the first run left its files

    assert len(whole) > 1000
    assert in_processes == whole
    assert in_parts == whole
    assert [pair[1] for pair in whole] == sorted(pair[1] for pair in whole)


def test_pairs_connect_what_shares_a_band_and_nothing_else(tmp_path):
    files = random_files(tmp_path, 100)
    signatures = np.concatenate([np.load(file) for file in files])

    pairs = found(files, tmp_path / "work")

    assert all((signatures[earlier] == signatures[later]).any() for earlier, later in pairs)
    for band in signatures.T:
        for value in np.unique(band):
            first, *others = np.flatnonzero(band == value).tolist()
            assert all([first, other] in pairs for other in others)


def test_a_band_that_a_lost_worker_left_half_done_is_done_anew(tmp_path):
    files = random_files(tmp_path, 50)
    whole = found(files, tmp_path / "work")

    bands._link_band(bands._Band(1, tuple(files), tmp_path / "work", 0))
    candidates = bands.Candidates(tmp_path / "work", 150)

    assert candidates.pairs(0).tolist() == whole


def test_the_pairs_of_a_large_group_grow_with_its_members(tmp_path):
    files = save(tmp_path, [[7, 8]] * 50_000)

    assert len(found(files, tmp_path / "work")) == 2 * 50_000 - 3
