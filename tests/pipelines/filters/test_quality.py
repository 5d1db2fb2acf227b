from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import UsageError
from pipelines.filters.batch import TextBatch
from pipelines.filters.quality import CELLS, QualityFilter, QualityModel, features, load, probabilities, save
from pipelines.quality_training import auc, cut_pieces, read_texts, train

GOOD = "The moon pulls the sea, and so the tide is defined as the rise of the water under it."
BAD = "Click here to buy cheap pills now!!! Sign up, you will love it, best price of the web."


def varied(text, count):
    """Texts of the same words in other orders, long enough to be pieces."""
    words = text.split()
    return [" ".join(np.random.default_rng(i).permutation(words * 3)) for i in range(count)]


@pytest.fixture(scope="module")
def trained():
    return train({"good": varied(GOOD, 40)}, {"bad": varied(BAD, 40)})


@pytest.fixture
def model_file(tmp_path, trained):
    save(trained.model, tmp_path / "m" / "model.safetensors")
    return str(tmp_path / "m" / "model.safetensors")


def cells_of(text):
    cells, rows, counts = features([text])
    assert len(cells) == len(rows) == counts[0]
    assert not rows.any()
    return sorted(cells)


def test_features_are_words_marks_and_pairs_without_case_and_typesetting():
    assert len(cells_of("")) == 0
    assert len(cells_of(" \n\t")) == 0
    assert len(cells_of("tide")) == 1
    assert len(cells_of("The tide, twice")) == 4 + 3
    assert cells_of("the\ntide ,TWICE") == cells_of("The tide, twice")
    assert cells_of("\u201cdon\u2019t\u201d \u2013 so") == cells_of('"don\'t" - so')
    assert cells_of("tide the") != cells_of("the tide")
    assert set(cells_of("the tide")) & set(cells_of("tide the")) >= {*cells_of("the"), *cells_of("tide")}
    assert len(cells_of("flutlicht_2 münchen été")) == 3 + 2


@given(st.lists(st.text(alphabet="ab é.\n\u2019山", max_size=12), max_size=8))
def test_a_text_has_the_features_it_has_alone(texts):
    cells, rows, counts = features(texts)

    assert ((cells >= 0) & (cells < CELLS)).all()
    for row, text in enumerate(texts):
        assert cells[rows == row].tolist() == features([text]).cells.tolist()
        assert counts[row] == (rows == row).sum()


def test_different_words_have_different_cells():
    words = [f"w{i}" for i in range(2_000)]

    cells = features(words).cells

    assert len(set(cells.tolist())) > 1_975  # of 262,144 cells; 2,000**2 / 2 / CELLS = 7.6 meet by chance


def test_a_score_is_the_probability_of_the_mean_weight():
    weights = np.zeros(CELLS, dtype=np.float32)
    sea, salt, pair = (features([text]).cells for text in ("sea", "salt", "sea salt"))
    weights[sea], weights[salt] = 3.0, -1.0
    weights[np.setdiff1d(pair, np.concatenate([sea, salt]))] = 4.0
    model = QualityModel(weights, 0.5, {})

    found = probabilities(model, ["Sea", "sea salt", "", "salt"])

    assert found == pytest.approx(1 / (1 + np.exp(-np.array([3.5, 2.5, 0.5, -0.5]))), abs=1e-12)


def test_scores_do_not_depend_on_the_batch(model_file):
    texts = [*varied(GOOD, 5), "", *varied(BAD, 5), GOOD * 5_000, "x"]
    config = QualityFilter(model=model_file)

    together = config.scores(TextBatch(texts))["quality_score"]

    assert [config.scores(TextBatch([text]))["quality_score"][0] for text in texts] == together.tolist()
    assert np.array_equal(together, together.round(4))
    assert together[:5].min() > 0.5 > together[6:11].max()


def test_only_the_beginning_of_a_long_text_is_looked_at(model_file):
    config = QualityFilter(model=model_file, characters=100)
    text = GOOD * 2 + BAD * 50

    assert config.scores(TextBatch([text])) == config.scores(TextBatch([text[:100]]))


def test_a_changed_threshold_decides_anew_from_the_same_scores():
    scores = {"quality_score": np.array([0.4999, 0.5, 0.7])}

    assert QualityFilter(model="m").rules()[0].drops(scores).tolist() == [True, False, False]
    assert QualityFilter(model="m", min_score=0.6).rules()[0].drops(scores).tolist() == [True, True, False]


def test_a_model_is_read_as_it_was_written(tmp_path, trained, model_file):
    loaded = load(model_file)
    assert np.array_equal(loaded.weights, trained.model.weights)
    assert (loaded.bias, loaded.trained_on) == (trained.model.bias, trained.model.trained_on)

    before = QualityFilter(model=model_file).content_hash()
    save(trained.model._replace(bias=trained.model.bias + 1e-9), tmp_path / "m" / "model.safetensors")
    assert QualityFilter(model=model_file).content_hash() != before


def test_a_file_that_is_no_model_is_named(tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "text").write_text("no model")
    save_file({"weights": np.zeros(3)}, tmp_path / "other")
    save(QualityModel(np.zeros(3, dtype=np.float32), 0.0, {}), tmp_path / "small")
    for name, message in (
        ("none", "No such file"),
        ("text", "no quality model"),
        ("other", "format"),
        ("small", "format"),
    ):
        with pytest.raises(UsageError, match=message):
            QualityFilter(model=str(tmp_path / name)).scores(TextBatch(["a"]))


def test_the_same_samples_and_seed_give_the_same_model(trained):
    again = train({"good": varied(GOOD, 40)}, {"bad": varied(BAD, 40)})
    other = train({"good": varied(GOOD, 40)}, {"bad": varied(BAD, 40)}, seed=1)

    assert np.array_equal(again.model.weights, trained.model.weights)
    assert again.model.bias == trained.model.bias
    assert not np.array_equal(other.model.weights, trained.model.weights)
    assert trained.held_out_auc == 1.0


def test_a_source_weighs_as_much_as_the_others_of_its_side():
    """The word that only a source of few texts has counts, though one has twenty times as many."""
    many, few = varied("tide moon sea salt", 200), varied("atom cell energy light", 10)
    model = train(
        {"many": [text * 4 for text in many], "few": [text * 4 for text in few]}, {"bad": varied(BAD, 50)}
    )

    few_score, many_score = probabilities(model.model, [few[0] * 4, many[0] * 4])
    assert few_score > 0.6
    assert many_score > 0.6
    assert model.model.trained_on["positive"] == {"many": 180, "few": 9}


def test_the_fit_is_the_minimum_of_the_penalised_loss():
    """A convex function's: where its gradient, written out here over all texts and features, is zero."""
    from pipelines import quality_training

    texts = varied(GOOD, 30) + varied(BAD, 20) + varied(f"{GOOD} {BAD}", 10)
    labels = np.array([1.0] * 30 + [-1.0] * 25 + [1.0] * 5)
    weights = np.where(labels > 0, 0.5 / 35, 0.5 / 25)
    cells, rows, counts = features(texts)
    used, columns = np.unique(cells, return_inverse=True)
    matrix = np.zeros((len(texts), len(used)))
    np.add.at(matrix, (rows, columns), 30.0 / counts[rows])

    found = quality_training._fit(texts, labels, weights)

    margins = labels * (matrix @ found[used] + found[-1])
    slopes = -weights * labels / (1 + np.exp(margins))
    assert np.abs(matrix.T @ slopes + 5e-5 * found[used]).max() < 1e-6
    assert abs(slopes.sum()) < 1e-6
    assert np.count_nonzero(found[:-1]) == len(used)


def test_pieces_keep_all_words_in_order_and_have_the_lengths_asked_for():
    words = [f"w{i}" for i in range(1_000)]

    pieces = cut_pieces(" ".join(words), np.random.default_rng(0), (30, 60))

    assert all(30 <= len(piece.split()) <= 60 for piece in pieces[:-1])
    kept = " ".join(pieces).split()
    assert kept == words[: len(kept)]
    assert len(words) - len(kept) < 30
    assert cut_pieces("too short", np.random.default_rng(0)) == []


def test_auc_is_the_chance_that_a_positive_is_above_a_negative():
    assert auc(np.array([1.0, 3.0]), np.array([0.0, 2.0])) == 0.75
    assert auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([2.0]), np.array([1.0, 0.0])) == 1.0
    assert np.isnan(auc(np.array([]), np.array([1.0])))


def test_a_source_without_a_piece_is_named():
    with pytest.raises(UsageError, match="empty holds no text"):
        train({"empty": ["a few words"]}, {"bad": varied(BAD, 5)})


def test_other_sources_than_those_of_the_training_are_told_apart(test_data):
    """`benchmarks/quality.py` measures it on more sources, and what the classifier goes by."""

    def texts(name, most):
        with gzip.open(test_data / f"{name}.jsonl.gz") as lines:
            return [json.loads(line)["text"] for line, _ in zip(lines, range(most), strict=False)]

    folder = test_data / "textbooks"
    positive = {
        name: read_texts(folder / f"{name}.jsonl.gz")
        for name in ("principles-economics-3e", "precalculus-2e")
    }
    positive["wikipedia"] = texts("wikipedia/vital_en", 3_000)
    positive["scifact"] = texts("scifact/corpus", 1_000)
    negative = {
        "articles": texts("web_pages/articles181.truth", 181),
        "msmarco": texts("msmarco5k/corpus", 5_000),
    }
    model = train(positive, negative, pieces=1_000).model

    good = texts("textbooks/university-physics-volume-3", 94) + texts("cranfield/corpus", 300)
    assert auc(probabilities(model, good), probabilities(model, texts("c4_sample/test_c4", 99))) > 0.95
