"""Product-quantised codes that keep the same share of every vector."""

from __future__ import annotations

import json

import faiss
import numpy as np
import pytest

from datastore.index.dense import Vectors, ivf_pq
from datastore.index.dense.codebooks import load_codebooks, train_codebooks
from datastore.index.dense.exact import ExactIndex
from datastore.index.dense.score_aware import score_aware_codes, share_kept

DIMENSION, SUBQUANTIZERS = 48, 12


def clustered(rows: int, lengths: tuple[float, float]) -> np.ndarray:
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, DIMENSION))
    vectors = centres[random.integers(20, size=rows)] + 0.8 * random.standard_normal((rows, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors * random.uniform(*lengths, (rows, 1))).astype(np.float32)


def trained(rows: np.ndarray, bits: int) -> faiss.ProductQuantizer:
    quantizer = faiss.ProductQuantizer(DIMENSION, SUBQUANTIZERS, bits)
    load_codebooks(quantizer, train_codebooks(rows, SUBQUANTIZERS, bits, seed=0))
    return quantizer


def shares(quantizer: faiss.ProductQuantizer, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """<x, code of x> / <x, x> of each row."""
    return np.einsum("ij,ij->i", rows, quantizer.decode(codes)) / np.einsum("ij,ij->i", rows, rows)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("lengths", [(1, 1), (0.5, 4)])
def test_codes_keep_the_same_share_of_every_vector(bits, lengths):
    rows = clustered(3_000, lengths)
    quantizer = trained(rows, bits)
    share = share_kept(quantizer, rows)

    plain = shares(quantizer, rows, quantizer.compute_codes(rows))
    even = shares(quantizer, rows, score_aware_codes(quantizer, rows, share))

    assert share == pytest.approx(np.average(plain, weights=np.einsum("ij,ij->i", rows, rows)), abs=1e-5)
    assert (np.abs(even - share) <= np.abs(plain - share) + 1e-6).all()
    assert np.sqrt(np.mean((even - share) ** 2)) < 0.75 * np.sqrt(np.mean((plain - share) ** 2))


def test_a_code_is_that_of_the_vector_whatever_else_is_coded():
    rows = clustered(500, (1, 1))
    quantizer = trained(rows, 4)
    together = score_aware_codes(quantizer, rows, 0.8)
    alone = np.concatenate([score_aware_codes(quantizer, row[None], 0.8) for row in rows])
    assert (together == alone).all()


def test_vectors_of_length_zero_have_the_code_that_is_nearest_to_them():
    rows = np.concatenate([clustered(300, (1, 1)), np.zeros((2, DIMENSION), dtype=np.float32)])
    quantizer = trained(rows, 4)
    assert (score_aware_codes(quantizer, rows, 0.8)[-2:] == quantizer.compute_codes(rows[-2:])).all()
    assert share_kept(quantizer, rows[-2:]) == 1.0


def test_sixty_candidates_of_a_bit_a_dimension_hold_what_took_a_hundred(tmp_path, test_data):
    vectors = np.load(test_data / "vectors" / "passages.f16.npy", mmap_mode="r")[:10_000]
    queries = np.load(test_data / "vectors" / "queries.f16.npy")[:200].astype(np.float32)
    parts = Vectors([vectors], "cosine", 384)
    expected = ExactIndex(parts).search(queries, 10).ordinals

    found = {}
    for name, codec in (
        ("residuals", ivf_pq.PqCodec(96, 4)),
        ("vectors", ivf_pq.PqCodec(96, 4, residual=False)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        ivf_pq.build_lists(parts, folder, codec, lists=64, seed=0)
        index = ivf_pq.open_index(folder)
        found[name] = {
            count: np.mean(
                [
                    np.isin(a, b).mean()
                    for a, b in zip(expected, index.search(queries, count, effort=64)[0], strict=True)
                ]
            )
            for count in (60, 100)
        }

    assert found["vectors"][60] >= 0.98
    assert found["vectors"][60] >= found["residuals"][100]


def test_an_index_that_says_nothing_of_it_holds_codes_of_residuals(tmp_path):
    parts = Vectors([clustered(2_000, (1, 1)).astype(np.float16)], "cosine", DIMENSION)
    ivf_pq.build_lists(parts, tmp_path, ivf_pq.PqCodec(24, 4), lists=16, seed=0)
    expected = ivf_pq.open_index(tmp_path).search(clustered(20, (1, 1)), 15, effort=16)

    header = json.loads((tmp_path / "ivf.json").read_text())
    assert header["codec"].pop("residual") is True
    (tmp_path / "ivf.json").write_text(json.dumps(header))

    found = ivf_pq.open_index(tmp_path).search(clustered(20, (1, 1)), 15, effort=16)
    assert (found.ordinals == expected.ordinals).all()
    assert (found.scores == expected.scores).all()
