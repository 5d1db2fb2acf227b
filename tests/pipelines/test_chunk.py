from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import EncoderConfig
from datastore.encoders import Encoder, load_encoder
from datastore.text import normalise, word_spans
from pipelines.chunk import chunk_documents, cut
from pipelines.recipe import ChunkConfig

TEXTS = st.text(alphabet="ab .!?\n(é。", max_size=400).map(normalise)


def spans_of(text: str) -> np.ndarray:
    return np.array(word_spans(text), dtype=np.int32).reshape(-1, 2)


def pieces(text: str, budget: int) -> list[str]:
    return [text[start:end] for start, end in cut(text, spans_of(text), budget)]


@pytest.fixture
def encoder() -> Encoder:
    return load_encoder(EncoderConfig(model="hashing", max_tokens=16))


def test_a_text_within_the_budget_is_one_passage():
    assert pieces("One two three. Four.", 4) == ["One two three. Four."]


def test_cuts_fall_on_sentence_ends_nearest_to_equal_shares():
    text = "A b c d. E f. G h i j. K l."

    # 12 words in passages of at most 8: two shares of 6, and a sentence ends right there.
    assert pieces(text, 8) == ["A b c d. E f.", "G h i j. K l."]


def test_without_a_sentence_end_the_cut_falls_between_words():
    assert pieces("a b c d e f g h i j", 4) == ["a b c d", "e f g", "h i j"]


def test_a_sentence_end_far_below_an_equal_share_is_not_taken():
    # One word, then one long sentence: cutting after "Hi." would leave a passage of one word.
    assert pieces("Hi. " + " ".join("abcdefghijklmno"), 8)[0] == "Hi. a b c d e f g"


def test_a_paragraph_is_a_sentence_end():
    assert pieces("Heading one\n\nword word word word", 4) == ["Heading one", "word word word word"]


@given(TEXTS, st.integers(min_value=1, max_value=9))
def test_passages_lose_nothing_overlap_nowhere_and_fit(text: str, budget: int):
    spans = spans_of(text)

    ranges = cut(text, spans, budget)

    assert "".join("".join(text[a:b].split()) for a, b in ranges) == "".join(text.split())
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    for start, end in ranges:
        assert text[start:end] == text[start:end].strip() != ""
        inside = (spans[:, 0] >= start) & (spans[:, 0] < end)
        assert inside.sum() <= budget


def test_titles_stand_before_each_passage_and_count_against_the_budget(encoder: Encoder):
    words = [f"w{i}" for i in range(30)]

    (chunks,) = chunk_documents(["My title"], [" ".join(words)], encoder, ChunkConfig(max_tokens=12))

    assert [chunk.input.split("\n")[0] for chunk in chunks] == ["My title"] * 3
    assert [chunk.tokens for chunk in chunks] == [12, 12, 12]
    assert " ".join(chunk.input.split("\n")[1] for chunk in chunks) == " ".join(words)


def test_a_title_longer_than_half_the_budget_is_left_out_of_the_input(encoder: Encoder):
    (chunks,) = chunk_documents(["a b c d e f g h i"], ["x y z"], encoder, ChunkConfig())

    assert chunks[0].input == "x y z"


def test_without_titles_the_input_is_the_passage(encoder: Encoder):
    (chunks,) = chunk_documents(["Title"], ["x y"], encoder, ChunkConfig(with_title=False))

    assert [(chunk.input, chunk.start, chunk.end) for chunk in chunks] == [("x y", 0, 3)]


def test_document_mode_gives_one_passage_and_says_how_long_it_is(encoder: Encoder):
    text = " ".join(["w"] * 40)

    (chunks,) = chunk_documents(["T"], [text], encoder, ChunkConfig(mode="document"))

    assert [(chunk.start, chunk.end, chunk.tokens) for chunk in chunks] == [(0, len(text), 41)]


def test_no_documents_give_no_passages(encoder: Encoder):
    assert chunk_documents([], [], encoder, ChunkConfig()) == []


@pytest.mark.slow
def test_a_subword_encoder_reads_every_token_of_every_passage(test_data):
    import gzip
    import json

    with gzip.open(test_data / "textbooks" / "psychology-2e.jsonl.gz", "rt") as lines:
        records = [json.loads(next(lines)) for _ in range(20)]
    minilm = load_encoder(EncoderConfig(model="offline"))
    texts = [normalise(record["text"]) for record in records]

    chunks = chunk_documents([record["title"] for record in records], texts, minilm, ChunkConfig())

    inputs = [chunk.input for parts in chunks for chunk in parts]
    assert max(len(spans) for spans in minilm.token_spans(inputs)) <= minilm.token_budget == 254
    for text, parts in zip(texts, chunks, strict=True):
        assert "".join("".join(text[c.start : c.end].split()) for c in parts) == "".join(text.split())
