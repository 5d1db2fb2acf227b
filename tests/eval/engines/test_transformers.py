from __future__ import annotations

import pytest
from pydantic import ValidationError

from datastore.errors import NotFoundError, UsageError
from eval.engines import EngineConfig, load_engine

PROMPTS = [
    "Question: Do mitochondria play a role?\nAnswer:",
    "Question: Do mitochondria play a role?\nAnswer:",
    "Why",
    "Results depicted dynamics in vivo as cell death progresses.\n\nQuestion: Is it so?\nAnswer:",
    "Question: Do mitochondria play a role?\nAnswer:",
    "zzz 123",
]
CONTINUATIONS = [
    " yes",
    " maybe",
    " not? Because the leaves of the lace plant die.",
    " yes",
    " Results.",
    " 456 ÅΩ",
]


@pytest.fixture(scope="module")
def engine(tiny_model):
    return load_engine(EngineConfig(model=str(tiny_model), dtype="float32", device="cpu"))


def reference(folder, prompt: str, continuation: str) -> tuple[float, int]:
    """The definition: the whole model on one text, all logits, no batch and no sharing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    start, full = tokenizer(prompt)["input_ids"], tokenizer(prompt + continuation)["input_ids"]
    with torch.inference_mode():
        by_token = model(torch.tensor([full])).logits[0].log_softmax(-1)
    nats = sum(float(by_token[i - 1, full[i]]) for i in range(len(start), len(full)))
    return nats, len(full) - len(start)


def test_log_likelihoods_are_those_of_the_whole_model(engine, tiny_model):
    scores = engine.log_likelihoods(PROMPTS, CONTINUATIONS)
    for prompt, continuation, score in zip(PROMPTS, CONTINUATIONS, scores, strict=True):
        nats, tokens = reference(tiny_model, prompt, continuation)
        assert score.nats == pytest.approx(nats, abs=1e-3)
        assert score.tokens == tokens
        assert type(score.nats) is float


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_batches_and_threads_do_not_change_the_result(engine, tiny_model, batch_tokens, threads):
    other = load_engine(
        EngineConfig(
            model=str(tiny_model), dtype="float32", device="cpu", batch_tokens=batch_tokens, threads=threads
        )
    )
    together = other.log_likelihoods(PROMPTS, CONTINUATIONS)
    alone = [
        engine.log_likelihoods([prompt], [continuation])[0]
        for prompt, continuation in zip(PROMPTS, CONTINUATIONS, strict=True)
    ]
    assert [score.tokens for score in together] == [score.tokens for score in alone]
    assert [score.nats for score in together] == pytest.approx([score.nats for score in alone], abs=1e-3)


def test_more_positions_than_are_scored_at_once(engine, tiny_model):
    continuation = " leaves of the lace plant" * 20
    (score,) = engine.log_likelihoods(["Why"], [continuation])
    nats, tokens = reference(tiny_model, "Why", continuation)
    assert tokens > 256
    assert (score.nats, score.tokens) == (pytest.approx(nats, abs=1e-2), tokens)


def test_the_torch_threads_of_the_caller_are_left_as_they_are(engine):
    import torch

    before = torch.get_num_threads()
    engine.log_likelihoods(PROMPTS, CONTINUATIONS)
    assert torch.get_num_threads() == before


def test_texts_that_merge_at_the_boundary_are_tokenised_apart(engine):
    word = max(
        (token for token in engine._tokenizer.get_vocab() if token.isascii() and token.isalpha()), key=len
    )
    whole, start, rest = engine._tokens([word, word[:-1], word[-1]])
    assert len(whole) == 1  # cut inside, it has no prefix
    (pair,) = engine._tokenise([word[:-1]], [word[-1]])
    assert (pair.inputs, pair.targets) == ((*start, *rest)[:-1], rest)
    (score,) = engine.log_likelihoods([word[:-1]], [word[-1]])
    assert score.tokens == len(rest)


def test_a_text_beyond_the_context_is_an_error_that_counts_tokens(engine):
    (word,) = engine._tokens([" leaves"])
    room = engine.fingerprint.context_tokens // len(word)
    assert engine.fingerprint.context_tokens == 512
    engine.log_likelihoods([" leaves" * (room - 1)], [" leaves"])
    with pytest.raises(UsageError, match=rf"pair 1 has \d+ \+ {len(word)} tokens .* has 512") as error:
        engine.log_likelihoods(["Why", " leaves" * room], [" not", " leaves"])
    assert "fewer or shorter passages" in str(error.value)


def test_what_cannot_be_scored_is_an_error(engine):
    assert engine.log_likelihoods([], []) == []
    with pytest.raises(UsageError, match="a continuation for each of 2 prompts, got 1"):
        engine.log_likelihoods(["a", "b"], ["c"])
    with pytest.raises(UsageError, match="the continuation of pair 1 has no token"):
        engine.log_likelihoods(["a", "b"], ["c", ""])
    with pytest.raises(UsageError, match="the prompt of pair 0 has no token"):
        engine.log_likelihoods([""], [" c"])


def test_the_fingerprint_names_the_weights(engine, tiny_model):
    fingerprint = engine.fingerprint
    assert (fingerprint.model, fingerprint.dtype) == (str(tiny_model), "float32")
    assert fingerprint.revision.startswith("xxh3:")


def test_a_model_that_changes_its_logits_afterwards_is_refused(tiny_model, tmp_path):
    from transformers import AutoTokenizer, GraniteConfig, GraniteForCausalLM

    config = GraniteConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        logits_scaling=4.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    GraniteForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="changes its logits behind the output layer"):
        load_engine(EngineConfig(model=str(tmp_path), dtype="float32"))


def test_a_folder_without_a_model_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="cannot load the language model"):
        load_engine(EngineConfig(model=str(tmp_path)))


def test_the_config_is_frozen_and_knows_its_keys():
    with pytest.raises(ValidationError):
        EngineConfig(modle="offline")
    with pytest.raises(ValidationError):
        EngineConfig().model = "other"


@pytest.mark.slow
def test_the_offline_model_knows_english(offline_engine):
    assert offline_engine.fingerprint.context_tokens == 8192
    right, wrong = offline_engine.log_likelihoods(["The capital of France is"] * 2, [" Paris.", " blue."])
    assert right.tokens == wrong.tokens == 2
    assert right.nats > wrong.nats + 3
