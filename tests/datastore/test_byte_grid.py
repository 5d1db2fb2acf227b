"""Vectors as bytes on one grid: distances of codes are distances of vectors, and what the grid loses is little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore.index.dense.byte_grid import ByteGrid, fit


def test_codes_count_steps_from_the_centre_and_stop_at_a_byte():
    grid = ByteGrid(np.array([1.0, -1.0], dtype=np.float32), 10.0)
    vectors = np.array([[1.0, -1.0], [1.26, -1.26], [99.0, -99.0]], dtype=np.float32)

    # 0.26 is 2.6 steps: 3 of them, rounded.
    np.testing.assert_array_equal(np.floor(grid.codes(vectors)), [[128, 128], [131, 125], [255, 0]])


@given(
    seed=st.integers(0, 1000), scale=st.sampled_from([1e-12, 0.05, 1.0, 1e12]), dimension=st.integers(1, 40)
)
def test_squared_distances_of_codes_are_those_of_vectors(seed, scale, dimension):
    generator = np.random.default_rng(seed)
    vectors = (generator.standard_normal((200, dimension)) * scale + 3 * scale).astype(np.float32)
    grid = fit(vectors)

    codes = np.floor(grid.codes(vectors))
    distances = np.linalg.norm(codes[:100] - codes[100:], axis=1) / grid.scale

    assert codes.min() >= 0
    assert codes.max() <= 255
    # Each number is off by half a step at most, unless it is cut off.
    expected = np.linalg.norm(vectors[:100].astype(np.float64) - vectors[100:], axis=1)
    np.testing.assert_allclose(distances, expected, atol=0.1 * scale * np.sqrt(dimension))


def test_a_number_far_out_is_cut_off_rather_than_that_all_others_are_coarse():
    sample = np.random.default_rng(0).standard_normal((4_000, 64)).astype(np.float32)
    sample[0, 0] = 40.0
    grid = fit(sample)

    # At a reach of 40 a step is .31 and costs .31² / 12 = .0083; at 40 / √8 a step is .11 and costs .001, and the one number
    # that is cut off adds 26² / 256,000 = .0026; reaches between cost more or as much.
    assert 40 / 8**0.5 - 0.1 < 127 / grid.scale < 40 / 2**0.5 + 0.1
    back = (np.floor(grid.codes(sample)) - 128) / grid.scale + grid.centre
    assert np.mean((back - sample) ** 2) < 0.6 * 0.0083


@pytest.mark.parametrize("rows", [1, 3])
def test_equal_vectors_have_equal_codes(rows):
    vectors = np.full((rows, 4), 7.0, dtype=np.float32)

    np.testing.assert_array_equal(np.floor(fit(vectors).codes(vectors)), np.full((rows, 4), 128))
