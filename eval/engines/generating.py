"""Text by a causal model of transformers: a batch goes on token by token, and sheds each row when its text is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from transformers import DynamicCache

from .batching import Tokens
from .engine import Generation
from .prefix_cache import PrefixCache, cache_argument
from .prompts import PromptTokenizer


@dataclass(frozen=True)
class Sampling:
    max_tokens: int
    stop: tuple[str, ...]
    temperature: float  # 0: the likeliest token
    top_p: float
    end_tokens: frozenset[int]


@dataclass
class Row:
    """A text in the making; `seed` is of its own draws, so that they do not depend on its batch."""

    prompt: Tokens
    seed: int
    tokens: list[int] = field(default_factory=list)
    finish: Literal["stop", "length"] | None = None

    def __post_init__(self) -> None:
        self._draws = np.random.default_rng(self.seed)

    def extend(self, token: int, sampling: Sampling, tokenizer: PromptTokenizer) -> None:
        self.tokens.append(token)
        if token in sampling.end_tokens or self._stops(sampling.stop, tokenizer):
            self.finish = "stop"
        elif len(self.tokens) == sampling.max_tokens:
            self.finish = "length"

    def _stops(self, stop: Sequence[str], tokenizer: PromptTokenizer) -> bool:
        """Whether the newest token completes a stop string; a token is at least a byte, which bounds where it began."""
        reach = max((len(text.encode()) for text in stop), default=0) + 1
        ending = tokenizer.text(self.tokens[-reach:]) if stop else ""
        return any(text in ending for text in stop)

    def choose(self, probabilities: torch.Tensor, top_p: float) -> int:
        """A draw from the likeliest tokens that have `top_p` of the probability together (Holtzman et al., 2020)."""
        ordered, tokens = probabilities.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        kept = ordered[before < top_p].double().cumsum(0)
        place = int(torch.searchsorted(kept, self._draws.random() * float(kept[-1]), right=True))
        return int(tokens[min(place, len(kept) - 1)])

    def generation(self, stop: Sequence[str], tokenizer: PromptTokenizer) -> Generation:
        text = tokenizer.text(self.tokens)
        end = min((at for at in map(text.find, stop) if at >= 0), default=len(text))
        return Generation(text[:end], len(self.tokens), len(self.prompt), self.finish or "length")


def generate(
    model: Any,
    tokenizer: PromptTokenizer,
    rows: Sequence[Row],
    sampling: Sampling,
    prefix: PrefixCache | None,
) -> None:
    """Write the rows' texts; all their prompts begin with the prefix, and go on behind it."""
    skipped = prefix.tokens if prefix is not None else 0
    longest = max(len(row.prompt) for row in rows) - skipped
    # Padding on the left, masked: all rows then go on at the same place.
    inputs = np.zeros((len(rows), longest), dtype=np.int64)
    seen = np.zeros((len(rows), skipped + longest), dtype=np.int64)
    seen[:, :skipped] = 1
    for number, row in enumerate(rows):
        own = row.prompt[skipped:]
        inputs[number, longest - len(own) :] = own
        seen[number, skipped + longest - len(own) :] = 1
    cache = DynamicCache(config=model.config) if prefix is None else prefix.to_extend(len(rows))
    tokens = torch.from_numpy(inputs).to(model.device)
    mask = torch.from_numpy(seen).to(model.device)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, skipped:]
    writing = list(rows)
    while True:
        with torch.inference_mode():
            states = model.base_model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=places,
                **cache_argument(model, cache),
            ).last_hidden_state[:, -1]
            logits = model.get_output_embeddings()(states).float()
            chosen = _choose(logits, writing, sampling)
        for row, token in zip(writing, chosen, strict=True):
            row.extend(token, sampling, tokenizer)
        going = [number for number, row in enumerate(writing) if row.finish is None]
        if not going:
            return
        tokens = torch.tensor([[chosen[number]] for number in going], device=model.device)
        places = places[going, -1:] + 1
        mask = torch.nn.functional.pad(mask[going], (0, 1), value=1)
        if len(going) < len(writing):
            cache.batch_select_indices(torch.tensor(going, device=model.device))
            writing = [writing[number] for number in going]


def _choose(logits: torch.Tensor, rows: Sequence[Row], sampling: Sampling) -> list[int]:
    if sampling.temperature == 0:
        return [int(token) for token in logits.argmax(dim=1).tolist()]
    probabilities = (logits / sampling.temperature).softmax(dim=1).cpu()
    return [row.choose(some, sampling.top_p) for row, some in zip(rows, probabilities, strict=True)]
