from __future__ import annotations

import numpy as np
import pytest

from datastore import EncoderConfig, NotFoundError, UsageError, machine
from datastore.encoders import Encoder, load_encoder
from datastore.encoders.sentence_transformer import SentenceTransformerEncoder

TEXTS = [
    "A short one.",
    "The heart pumps blood through the vessels of the body.",
    "Ein Satz auf Deutsch, mit Umlauten: äöü.",
    "word " * 120,
    "Photosynthesis turns light into chemical energy.",
    "x",
    *[f"Sentence number {i} about the weather in month {i % 12}, which was rather mild." for i in range(40)],
]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load_encoder(EncoderConfig(model="offline"))


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers(minilm):
    expected = minilm._model.encode(TEXTS, normalize_embeddings=True)

    np.testing.assert_allclose(minilm.encode_passages(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(minilm.encode_queries(TEXTS), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_do_not_depend_on_threads(dtype):
    encoder = load_encoder(EncoderConfig(model="offline", dtype=dtype))
    done: list[int] = []

    one = encoder.encode_passages(TEXTS, threads=1)
    counts = [len(spans) for spans in encoder.token_spans(TEXTS)]
    three = encoder.encode_passages(TEXTS, threads=3, tokens=counts, on_batch=done.append)

    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-6)
    assert (sum(done), len(done)) == (len(TEXTS), 3)


@pytest.mark.slow
@pytest.mark.parametrize("has_it", [True, False])
def test_a_cpu_without_bfloat16_computes_in_float32(monkeypatch, minilm, has_it):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: has_it)

    encoder = SentenceTransformerEncoder(EncoderConfig(model="offline", dtype="bfloat16", device="cpu"))

    assert encoder.fingerprint.dtype == "bfloat16"
    vectors, exact = encoder.encode_passages(TEXTS[:3]), minilm.encode_passages(TEXTS[:3])
    assert np.array_equal(vectors, exact) is not has_it
    assert (vectors * exact).sum(axis=1).min() > 0.999


@pytest.mark.slow
def test_token_spans_cover_the_words(minilm):
    spans, empty = minilm.token_spans(["Unbelievable, isn't it?", ""])

    assert ["Unbelievable, isn't it?"[a:b] for a, b in spans] == [
        "unbelievable"[:0] + "Unbelievable",
        ",",
        "isn",
        "'",
        "t",
        "it",
        "?",
    ]
    assert empty.shape == (0, 2)
    assert minilm.token_budget == 254


@pytest.mark.slow
def test_a_passage_that_is_too_long_is_refused_unless_truncation_is_asked_for(minilm):
    long = "word " * 300

    with pytest.raises(UsageError, match="passage 1 has 300 tokens, the encoder reads 254"):
        minilm.encode_passages(["short", long])

    cut = minilm.encode_passages([long], truncate=True)
    np.testing.assert_allclose(cut, minilm.encode_passages(["word " * 254]), atol=1e-6)


@pytest.mark.slow
def test_the_fingerprint_says_what_matters(minilm):
    fingerprint = minilm.fingerprint

    assert (fingerprint.model, fingerprint.dimension, fingerprint.max_tokens, fingerprint.dtype) == (
        "sentence-transformers/all-MiniLM-L6-v2",
        384,
        256,
        "float32",
    )
    assert fingerprint.pooling == "Transformer > Pooling > Normalize"
    assert fingerprint.revision.startswith("xxh3:")


@pytest.mark.slow
def test_prompts_stand_before_the_text_and_take_from_the_budget():
    plain = load_encoder(EncoderConfig(model="offline"))
    prompted = load_encoder(
        EncoderConfig(model="offline", passage_prompt="passage: ", query_prompt="query: ")
    )

    np.testing.assert_allclose(
        prompted.encode_passages(["tea"]), plain.encode_passages(["passage: tea"]), atol=1e-6
    )
    np.testing.assert_allclose(
        prompted.encode_queries(["tea"]), plain.encode_passages(["query: tea"]), atol=1e-6
    )
    assert prompted.token_budget == 252


def test_an_encoder_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="cannot load the encoder") as error:
        load_encoder(EncoderConfig(model=str(tmp_path / "nothing")))

    assert "`offline`" in str(error.value)


def test_hashing_takes_letters_that_grow_in_lower_case():
    encoder = load_encoder(EncoderConfig(model="hashing"))

    assert encoder.encode_passages(["\u0130stanbul " * 256]).shape == (1, 256)


def test_hashing_counts_words_with_signs():
    encoder = load_encoder(EncoderConfig(model="hashing"))
    (one,) = encoder.encode_passages(["tea"])
    (two,) = encoder.encode_passages(["tea tea Milk"])
    (milk,) = encoder.encode_passages(["milk"])

    assert np.flatnonzero(one).size == 1
    weights = np.array([1 + np.log(2), 1.0])
    expected = (weights[0] * one + weights[1] * milk) / np.linalg.norm(weights)
    np.testing.assert_allclose(two, expected, atol=1e-6)


def test_hashing_refuses_what_it_would_not_read():
    encoder = load_encoder(EncoderConfig(model="hashing", max_tokens=9))

    with pytest.raises(UsageError, match="passage 0 has 10 tokens, the encoder reads 9"):
        encoder.encode_passages(["a b c d e f g h i j"])

    np.testing.assert_array_equal(
        encoder.encode_queries(["a b c d e f g h i j"]), encoder.encode_queries(["a b c d e f g h i"])
    )


def test_the_first_dimensions_alone_at_length_one():
    texts = ["tides are caused by the moon", "bread"]
    whole = load_encoder(EncoderConfig(model="offline"))
    kept = load_encoder(EncoderConfig(model="offline", matryoshka_dimension=128))
    expected = whole.encode_passages(texts)[:, :128]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(kept.encode_passages(texts), expected, atol=1e-6)
    assert kept.fingerprint.dimension == 128
    with pytest.raises(UsageError, match="has 384 dimensions, 400 cannot be kept"):
        load_encoder(EncoderConfig(model="offline", matryoshka_dimension=400))
    with pytest.raises(UsageError, match="hashed words"):
        load_encoder(EncoderConfig(model="hashing", matryoshka_dimension=8))
