"""Token encoders: text in, one unit vector for each token out, for late interaction (MaxSim).

ColBERT-type models (Khattab and Zaharia, "ColBERT", SIGIR 2020) come by hub name or folder, with their own prompts,
query expansion and tokens to skip. Of any other sentence-transformers model the states of the last layer are taken.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..machine import available_cores
from ..text import words
from .config import EncoderConfig, EncoderFingerprint
from .models import load_model, on_device, prompts_of, revision_of, run_batches
from .sentence_transformer import OFFLINE_NAME, offline_folder

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

_HASHED_DIMENSION = 128  # a sign for each bit of a hash of 128 bits
_HASHED_TOKENS = 256
_COLBERT_TYPES = ("MultiVectorEncoder", "ColBERT")  # of sentence-transformers, and of PyLate


class TokenEncoderConfig(EncoderConfig):
    """Which encoder turns text into token vectors. Inert: naming a model loads nothing."""

    model: str = Field(
        default="offline",
        description="A ColBERT-type or sentence-transformers name on the Hugging Face hub, a folder, `offline` (token "
        "states of all-MiniLM-L6-v2) or `hashing` (a vector of random signs for each word, no model)",
    )
    max_query_tokens: int = Field(
        default=64, ge=1, description="Vectors of a query; those of further tokens are left out"
    )
    special_tokens: bool = Field(
        default=False,
        description="Whether the states of special tokens ([CLS], [SEP]) count; ColBERT-type models have a rule of their own",
    )

    @model_validator(mode="after")
    def _whole_vectors(self) -> Self:
        if self.dimension is not None or self.matryoshka_dimension is not None:
            raise ValueError("token vectors keep the dimensions that their model gives them")
        return self


class TokenVectors(NamedTuple):
    """The token vectors of n texts."""

    vectors: NDArray[
        np.float32
    ]  # (t, d), length one; those of text i are vectors[offsets[i] : offsets[i + 1]]
    offsets: NDArray[np.int64]  # (n + 1,)


class TokenEncoder(Protocol):
    """Text to token vectors. Equal input gives equal bytes on one machine, whatever the number of threads."""

    @property
    def fingerprint(self) -> EncoderFingerprint: ...

    def encode_passages(self, texts: Sequence[str], *, threads: int = 1) -> TokenVectors:
        """Vectors of the tokens that the encoder reads; a text without a token has none."""

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors: ...


def joined(parts: Sequence[NDArray[np.float32]], dimension: int) -> TokenVectors:
    """One array for the (t_i, d) vectors of n texts."""
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return TokenVectors(np.concatenate([np.empty((0, dimension), dtype=np.float32), *parts]), offsets)


def load_token_encoder(config: TokenEncoderConfig, *, fetch: bool = True) -> TokenEncoder:
    """The encoder of a config; the last two stay loaded in this process. Without `fetch` the network is not used.

    Raises
    ------
    NotFoundError
        If the model is neither a folder nor to be had from the hub.
    MissingPackageError
        If the offline encoder's wheel is not installed.
    """
    return _loaded(config, fetch)


@lru_cache(maxsize=2)
def _loaded(config: TokenEncoderConfig, fetch: bool) -> TokenEncoder:
    return HashingTokens(config) if config.model == "hashing" else ModelTokens(config, fetch=fetch)


class HashingTokens:
    """For each word the signs of its hash's bits: equal words have product 1, others about 0. No model."""

    def __init__(self, config: TokenEncoderConfig) -> None:
        self._max_query_tokens = config.max_query_tokens
        self.fingerprint = EncoderFingerprint(
            model="hashing",
            revision="1",
            dimension=_HASHED_DIMENSION,
            pooling="tokens",
            normalised=True,
            query_prompt="",
            passage_prompt="",
            max_tokens=config.max_tokens or _HASHED_TOKENS,
            dtype="float32",
        )

    def encode_passages(self, texts: Sequence[str], *, threads: int = 1) -> TokenVectors:  # noqa: ARG002 (pure Python: a second thread would only wait)
        return self._encode(texts, self.fingerprint.max_tokens)

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors:
        return self._encode(texts, min(self._max_query_tokens, self.fingerprint.max_tokens))

    def _encode(self, texts: Sequence[str], most: int) -> TokenVectors:
        split = [[word.lower() for word in words(text)[:most]] for text in texts]
        offsets = np.cumsum([0, *map(len, split)], dtype=np.int64)
        digests = b"".join(
            xxhash.xxh3_128_digest(word.encode("utf-8", "surrogatepass"))
            for word in chain.from_iterable(split)
        )
        bits = np.unpackbits(np.frombuffer(digests, dtype=np.uint8)).reshape(-1, _HASHED_DIMENSION)
        signs = bits.astype(np.float32) * 2 - 1
        return TokenVectors(signs / np.float32(_HASHED_DIMENSION**0.5), offsets)


class ModelTokens:
    """Token states of a sentence-transformers model."""

    def __init__(self, config: TokenEncoderConfig, *, fetch: bool = True) -> None:
        from sentence_transformers import MultiVectorEncoder

        place = str(offline_folder()) if config.model == "offline" else config.model
        self._model = _load(config, place, fetch=fetch)
        colbert = isinstance(self._model, MultiVectorEncoder)
        self._batch_size = config.batch_size
        self._max_query_tokens = config.max_query_tokens
        self._tokenizer_lock = threading.Lock()
        tokenizer: Any = self._model.tokenizer
        # A ColBERT-type model's own mask says which tokens count. An unknown word is no special token in this sense.
        dropped = (
            set()
            if colbert or config.special_tokens
            else set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        )
        self._dropped = sorted(dropped)
        prompts = prompts_of(self._model, config)
        self.fingerprint = EncoderFingerprint(
            model=OFFLINE_NAME if config.model == "offline" else config.model,
            revision=revision_of(self._model, place),
            dimension=self._dimension(),
            pooling=f"tokens of {' > '.join(type(module).__name__ for module in self._model)}"
            + (", special ones included" if config.special_tokens and not colbert else ""),
            normalised=True,
            query_prompt=prompts.query,
            passage_prompt=prompts.passage,
            max_tokens=int(self._model.max_seq_length or 512),
            dtype=config.dtype,
        )

    def _dimension(self) -> int:
        return int(self._states(["a"], "", "document")[0].shape[1])

    def encode_passages(self, texts: Sequence[str], *, threads: int = 1) -> TokenVectors:
        return self._encode(texts, self.fingerprint.passage_prompt, "document", threads)

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors:
        found = self._encode(texts, self.fingerprint.query_prompt, "query", available_cores())
        return shortened(found, self._max_query_tokens)

    def _encode(self, texts: Sequence[str], prompt: str, task: str, threads: int) -> TokenVectors:
        parts: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)] * len(texts)

        def encode_batch(batch: list[int]) -> None:
            for place, states in zip(
                batch, self._states([texts[i] for i in batch], prompt, task), strict=True
            ):
                lengths = np.linalg.norm(states, axis=1, keepdims=True)
                parts[place] = states / np.maximum(lengths, np.finfo(np.float32).tiny)

        run_batches([*map(len, texts)], self._batch_size, encode_batch, threads=threads)
        return joined(parts, self.fingerprint.dimension)

    def _states(self, texts: list[str], prompt: str, task: str) -> list[NDArray[np.float32]]:
        """(t_i, d) states of each text's tokens that count."""
        import torch

        with self._tokenizer_lock:  # padding and truncation are state of the tokenizer
            features = self._model.preprocess(texts, prompt=prompt or None, task=task)
        with torch.inference_mode():
            output = self._model(on_device(features, self._model.device), task=task)
            counted = output["attention_mask"].bool()
            if self._dropped:
                dropped = torch.tensor(self._dropped, device=counted.device)
                counted &= ~torch.isin(output["input_ids"], dropped)
            states, counted = output["token_embeddings"].float().cpu().numpy(), counted.cpu().numpy()
        return [own[chosen] for own, chosen in zip(states, counted, strict=True)]


def shortened(tokens: TokenVectors, most: int) -> TokenVectors:
    """At most the first `most` vectors of each text."""
    counts = np.diff(tokens.offsets)
    if not len(counts) or counts.max() <= most:
        return tokens
    places = np.arange(len(tokens.vectors)) - np.repeat(tokens.offsets[:-1], counts)
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, most))])
    return TokenVectors(tokens.vectors[places < most], offsets)


def _load(config: TokenEncoderConfig, place: str, *, fetch: bool) -> SentenceTransformer | MultiVectorEncoder:
    """The model, of the class that it was trained for."""
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    def kind(place: str, **options: Any) -> SentenceTransformer | MultiVectorEncoder:
        colbert = _is_colbert(place, config.revision, fetch=fetch)
        return (MultiVectorEncoder if colbert else SentenceTransformer)(place, **options)

    return load_model(
        kind,
        config,
        place,
        fetch=fetch,
        what="token encoder",
        hint="encoder.model takes a ColBERT-type or sentence-transformers hub name, a folder, `offline` or `hashing`",
    )


def _is_colbert(place: str, revision: str | None, *, fetch: bool) -> bool:
    """Whether a model was trained for late interaction, by what it says of itself."""
    from sentence_transformers.util import load_file_path

    def read(name: str) -> dict[str, Any]:
        file = load_file_path(place, name, revision=revision, local_files_only=not fetch)
        found = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
        return found if isinstance(found, dict) else {}

    if read("config_sentence_transformers.json").get("model_type") in _COLBERT_TYPES:
        return True
    architectures = read("config.json").get("architectures") or []
    return any(str(name) == "HF_ColBERT" or str(name).endswith("ForRetrieval") for name in architectures)
