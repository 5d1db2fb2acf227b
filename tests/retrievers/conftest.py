from __future__ import annotations

from pathlib import Path

import pytest

WORDS = (
    *(
        "the",
        "tide",
        "rises",
        "bread",
        "and",
        "butter",
        "a",
        "rising",
        "moon",
        "moves",
        "volcano",
        "tables",
        "is",
    ),
    *("how", "made", "why", "do", "passage", "about", "what", "of", "in", "lakes", "winter", "question"),
)


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with seeded random weights and one output: the real code path, no download."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-cross-encoder")
    vocabulary = folder / "vocab.txt"
    letters = [
        f"{prefix}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for prefix in ("", "##")
    ]
    tokens = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters])
    vocabulary.write_text("\n".join(tokens), encoding="utf-8")
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,  # so that scores differ
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
