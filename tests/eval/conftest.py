from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from eval.engines import Engine, EngineConfig, load_engine

TEXT = """Question: Do mitochondria play a role in remodelling lace plant leaves during programmed cell death?
Answer: yes no maybe. Results depicted mitochondrial dynamics in vivo as cell death progresses within the plant."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with seeded random weights and a byte-level BPE tokenizer: the real code path, no download."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.5,  # far from uniform, so that a wrong position or token shows
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def offline_engine() -> Engine:
    """SmolLM2-135M-Instruct, loaded once for the slow tests, and without a word on stderr."""
    with redirect_stderr(io.StringIO()) as noise:
        engine = load_engine(EngineConfig())
    assert noise.getvalue() == ""
    return engine
