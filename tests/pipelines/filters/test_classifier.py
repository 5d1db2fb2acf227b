from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from datastore import NotFoundError, UsageError
from pipelines.filters.batch import TextBatch
from pipelines.filters.classifier import ClassifierFilter

WORDS = [
    "the",
    "tide",
    "rises",
    "with",
    "moon",
    "and",
    "buy",
    "cheap",
    "pills",
    "now",
    "river",
    "stone",
    "light",
    "of",
    "a",
]
TEXTS = [
    "the tide rises with the moon",
    "buy cheap pills now",
    "",
    "river stone light of a moon " * 40,
    "the",
]


def save_model(folder, **settings):
    """A BERT of a few random weights and a vocabulary of words, as a model on the hub is laid out."""
    folder.mkdir()
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=True)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
        **settings,
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "regression", num_labels=1)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return save_model(
        tmp_path_factory.mktemp("models") / "classes",
        id2label={0: "spam", 1: "news", 2: "book"},
        label2id={"spam": 0, "news": 1, "book": 2},
    )


def logits(folder, texts, max_tokens):
    """What transformers says, one text at a time."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return torch.cat(
            [
                model(**tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")).logits
                for text in texts
            ]
        )


def score(texts, **settings):
    return ClassifierFilter(device="cpu", **settings).scores(TextBatch(texts))["classifier_score"]


def test_a_regression_s_number_is_the_score_whatever_the_batch(regression):
    expected = logits(regression, TEXTS, 64)[:, 0].double().numpy().round(4)

    for size in (1, 2, 16):
        assert np.abs(score(TEXTS, model=regression, max_tokens=64, batch_size=size) - expected).max() < 2e-4
    assert score(TEXTS, model=regression, max_tokens=64, batch_size=1).tolist() == expected.tolist()
    assert np.ptp(expected) > 0.1


def test_only_the_beginning_of_a_text_is_read(regression):
    assert score(TEXTS[3:4], model=regression, max_tokens=8)[0] == pytest.approx(
        logits(regression, TEXTS[3:4], 8)[0, 0].item(), abs=1e-4
    )
    assert score(TEXTS[3:4], model=regression, max_tokens=8) != score(
        TEXTS[3:4], model=regression, max_tokens=64
    )


def test_a_class_s_probability_is_the_score(classes):
    probabilities = logits(classes, TEXTS, 64).softmax(dim=1).double().numpy()

    for column, label in enumerate(("spam", "news", "book")):
        given = score(TEXTS, model=classes, label=label, max_tokens=64, batch_size=1)
        assert given.tolist() == probabilities[:, column].round(4).tolist()


def test_independent_classes_have_independent_probabilities(tmp_path):
    folder = save_model(
        tmp_path / "several",
        problem_type="multi_label_classification",
        id2label={0: "a", 1: "b"},
        label2id={"a": 0, "b": 1},
    )
    expected = logits(folder, TEXTS, 64).sigmoid()[:, 1].double().numpy().round(4)

    given = score(TEXTS, model=folder, label="b", max_tokens=64, batch_size=1)

    assert given.tolist() == expected.tolist()


def test_bounds_decide_anew_from_the_same_scores():
    scores = {"classifier_score": np.array([2.4999, 2.5, 3.0])}

    assert ClassifierFilter(model="m").rules()[0].drops(scores).tolist() == [False, False, False]
    assert ClassifierFilter(model="m", min_score=2.5).rules()[0].drops(scores).tolist() == [
        True,
        False,
        False,
    ]
    assert ClassifierFilter(model="m", max_score=2.5).rules()[0].drops(scores).tolist() == [
        False,
        False,
        True,
    ]


def test_the_content_hash_is_that_of_the_weights(regression, classes):
    names = [ClassifierFilter(model=model, device="cpu").content_hash() for model in (regression, classes)]

    assert names[0] != names[1]
    assert all(name.startswith("xxh3:") for name in names)


def test_a_model_or_a_class_that_is_not_there_is_named(tmp_path, classes):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(NotFoundError, match="cannot load the classifier"):
        score(TEXTS, model=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="spam, news, book") as raised:
        score(TEXTS, model=classes, label="books", max_tokens=64)
    assert '"book"' in str(raised.value)
    with pytest.raises(UsageError, match="label is None"):
        score(TEXTS, model=classes, max_tokens=64)
