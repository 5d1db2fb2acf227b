from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore.encoders.sparse import SparseVectors
from datastore.encoders.sparse.vectors import from_rows
from datastore.index import sparse
from datastore.index.sparse import forward, postings
from datastore.index.sparse.postings import quantised, save_postings

CONFIG = sparse.Config(encoder={"model": "hashing"})


def rows_of(*rows):
    """Vectors of (terms, weights)."""
    return from_rows([(np.array(terms, dtype=np.int64), np.array(weights)) for terms, weights in rows])


def random_vectors(rows, seed=0, dimension=200, most=12):
    """Weights above 0, some texts without any."""
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(rows):
        terms = np.sort(generator.choice(dimension, generator.integers(0, most), replace=False))
        drawn.append((terms, generator.gamma(2.0, 0.5, len(terms)) + 0.01))
    return from_rows(drawn)


def dense(vectors, dimension=200):
    matrix = np.zeros((vectors.rows, dimension))
    matrix[np.repeat(np.arange(vectors.rows), vectors.counts()), vectors.terms] = vectors.weights
    return matrix


def opened(folder, *pieces):
    folder.mkdir(parents=True)
    save_postings(folder, map(quantised, pieces))
    return sparse.open_part(folder, sum(piece.rows for piece in pieces), CONFIG)


def stored(part):
    """What the files of a part hold, as SparseVectors."""
    codes = postings.joined(list(part.by_passage()))
    weights = codes.codes * np.repeat(codes.scales, np.diff(codes.offsets))
    return SparseVectors(codes.offsets, codes.terms.astype(np.int32), weights.astype(np.float32))


def expected(matrix, query, k, mask=None):
    """The k best by plain products; score descending, then row."""
    scores = matrix @ query
    allowed = (scores > 0) if mask is None else (scores > 0) & mask
    rows = [row for row in np.lexsort((np.arange(len(scores)), -scores)) if allowed[row]][:k]
    return rows, scores[rows]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of few passages, so that a segment has several."""
    monkeypatch.setattr(postings, "BLOCK_ROWS", 16)
    monkeypatch.setitem(sparse.search.__globals__, "BLOCK_ROWS", 16)


def test_products_by_hand(tmp_path):
    part = opened(tmp_path / "p", rows_of(([3, 7], [2.0, 1.0]), ([7], [0.5]), ([], [])))
    query = rows_of(([3, 7, 9], [1.0, 4.0, 5.0]))

    found = sparse.search([part], np.array([0, 3]), query, 4, None)

    # 2 * 1 + 1 * 4 = 6; .5 * 4 = 2. Weights are kept to a 510th of a passage's greatest.
    assert found.rows.tolist() == [[0, 1, -1, -1]]
    np.testing.assert_allclose(found.scores[0, :2], [6.0, 2.0], atol=4 * 2 / 510)
    assert found.route == "exact"


@pytest.mark.parametrize("masked", [False, True])
def test_search_is_the_plain_product_over_segments_and_blocks(tmp_path, small_blocks, masked):
    pieces = [random_vectors(rows, seed) for seed, rows in enumerate((40, 1, 25))]
    parts = [opened(tmp_path / str(i), piece) for i, piece in enumerate(pieces)]
    queries = random_vectors(30, seed=9)
    mask = np.random.default_rng(3).random(66) < 0.4 if masked else None
    matrix = np.concatenate([dense(stored(part)) for part in parts])

    found = sparse.search(parts, np.array([0, 40, 41, 66]), queries, 7, mask)

    for query, rows, scores in zip(dense(queries), found.rows, found.scores, strict=True):
        wanted, values = expected(matrix, query, 7, mask)
        assert rows[rows >= 0].tolist() == wanted
        np.testing.assert_allclose(scores[rows >= 0], values, rtol=1e-6)
    for given_, kept in zip(pieces, parts, strict=True):
        greatest = dense(given_).max(axis=1, keepdims=True)
        assert (abs(dense(stored(kept)) - dense(given_)) <= greatest / 510 + 1e-6).all()


def test_ties_are_in_the_order_of_rows_also_where_k_cuts_them(tmp_path):
    parts = [opened(tmp_path / str(i), rows_of(*[([5], [1.0])] * 3)) for i in range(3)]
    query = rows_of(([5], [2.0]))

    for k in range(1, 11):
        found = sparse.search(parts, np.array([0, 3, 6, 9]), query, k, None)
        assert found.rows[0].tolist() == [*range(9), -1][:k]


WORDS = st.lists(st.sampled_from(["tide", "moon", "bread", "the", "é"]), max_size=6).map(" ".join)


@settings(max_examples=25)
@given(st.lists(st.tuples(WORDS, st.booleans()), max_size=30), st.integers(0, 30))
def test_merging_rows_of_segments_gives_what_writing_them_gives(tmp_path_factory, texts, cut):
    folder = tmp_path_factory.mktemp("merge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "BLOCK_ROWS", 4)
        patch.setattr(sparse, "BLOCK_ROWS", 4)
        parts = []
        for name, own in (("a", texts[:cut]), ("b", texts[cut:])):
            (folder / name).mkdir()
            sparse.write(folder / name, [text for text, _ in own], CONFIG)
            live = np.flatnonzero([kept for _, kept in own]).astype(np.int64)
            parts.append((folder / name, len(own), live))
        for name in ("merged", "whole"):
            (folder / name).mkdir()
        sparse.merge(folder / "merged", parts, CONFIG)
        sparse.write(folder / "whole", [text for text, kept in texts if kept], CONFIG)
    for file in (folder / "whole").iterdir():
        assert file.read_bytes() == (folder / "merged" / file.name).read_bytes(), file.name
    shutil.rmtree(folder)


def test_damaged_files_are_refused_or_raise(tmp_path):
    folder = tmp_path / "p"
    part = opened(folder, random_vectors(20))

    for name, bad, message in (
        ("starts", part.starts[::-1].copy(), "does not ascend"),
        ("weights", part.weights[:-1], "expected weights.npy"),
        ("scales", part.scales.astype(np.float64), "expected scales.npy"),
        ("blocks", np.array([0, 10**9]), "does not ascend"),
    ):
        before = np.array(np.load(folder / f"{name}.npy"))
        np.save(folder / f"{name}.npy", bad)
        with pytest.raises(ValueError, match=message):
            sparse.open_part(folder, 20, CONFIG)
        np.save(folder / f"{name}.npy", before)
    np.save(folder / "positions.npy", np.full(len(part.positions), 60_000, dtype=np.uint16))
    damaged = sparse.open_part(folder, 20, CONFIG)
    with pytest.raises(IndexError):
        sparse.search([damaged], np.array([0, 20]), random_vectors(5, seed=1), 3, None)
    with pytest.raises(ValueError, match="damaged"):
        list(damaged.by_passage())


def test_a_seismic_index_only_where_it_is_asked_for():
    asked = CONFIG.model_copy(update={"index": "seismic"})

    assert sparse.index_parameters(CONFIG, 10**6) is None
    assert sparse.index_parameters(CONFIG.model_copy(update={"index": "exact"}), 10**6) is None
    assert [sparse.index_parameters(asked, rows)["n_postings"] for rows in (10, 10**6, 10**7)] == [
        800,
        4_000,
        8_000,
    ]


@pytest.fixture
def seismic(tmp_path, monkeypatch):
    """Two segments, an index over both, and what it takes to open it."""
    pytest.importorskip("seismic")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    parts = [opened(tmp_path / f"p{i}", random_vectors(300, seed=i)) for i in range(2)]
    folder = tmp_path / "index"
    folder.mkdir()
    parameters = sparse.index_parameters(CONFIG.model_copy(update={"index": "seismic"}), 600)
    sparse.build_index(folder, SimpleNamespace(parts=parts), CONFIG, parameters)

    def index():
        opened_index = sparse.open_index(folder, 600, CONFIG, parameters)
        return SimpleNamespace(index=opened_index, segments=(0, 1), rows=np.arange(600))

    return SimpleNamespace(parts=parts, folder=folder, open=index)


def test_what_seismic_proposes_is_scored_as_exactly_as_all(tmp_path, seismic):
    """Through an index over two of three segments: scores to the bit, recall, and a filter."""
    parts = [*seismic.parts, opened(tmp_path / "tail", random_vectors(50, seed=7))]
    firsts = np.array([0, 300, 600, 650])
    queries = random_vectors(100, seed=11)
    one = seismic.open()
    for mask in (None, np.arange(650) % 3 > 0, np.arange(650) == 5):
        exact = sparse.search(parts, firsts, queries, 5, mask)
        found = sparse.search(parts, firsts, queries, 5, mask, [one])
        hits = 0
        for i in range(queries.rows):
            known = dict(zip(exact.rows[i].tolist(), exact.scores[i].tolist(), strict=True))
            for row, score in zip(found.rows[i].tolist(), found.scores[i].tolist(), strict=True):
                assert known.get(row, score) == score
                hits += row >= 0 and row in known
        assert hits >= 0.98 * np.count_nonzero(exact.rows >= 0)
        assert found.route.startswith("exact" if mask is not None and mask.sum() == 1 else "index")


def test_a_file_of_seismic_that_another_has_written_is_not_opened(seismic, monkeypatch, tmp_path):
    assert seismic.open().index.usable
    file = next(seismic.folder.glob("*.seismic"))
    original = file.read_bytes()
    file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    assert not seismic.open().index.usable
    file.write_bytes(original)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "of another"))
    stranger = seismic.open()
    assert not stranger.index.usable

    queries = random_vectors(10, seed=5)
    found = sparse.search(seismic.parts, np.array([0, 300, 600]), queries, 5, None, [stranger])

    assert found.route == "exact"
    assert (found.rows[:, 0] >= 0).sum() == np.count_nonzero(queries.counts())


def test_a_script_beside_the_user_that_is_called_as_a_package_is_not_run(tmp_path, monkeypatch):
    pytest.importorskip("seismic")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "index"
    folder.mkdir()
    parameters = sparse.index_parameters(CONFIG.model_copy(update={"index": "seismic"}), 50)
    part = opened(tmp_path / "part", random_vectors(50, seed=1))
    forward.build(folder, part.by_passage(), parameters)
    assert list(folder.glob("*.seismic"))


def test_weights_by_passage_that_are_damaged_are_refused(seismic):
    offsets = np.load(seismic.folder / "offsets.npy")
    np.save(seismic.folder / "offsets.npy", offsets + 1)

    with pytest.raises(ValueError, match="does not go from 0"):
        seismic.open()
    assert forward.Index is sparse.Index
