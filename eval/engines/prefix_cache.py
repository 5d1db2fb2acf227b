"""Keys and values of a prefix that many texts begin with: computed once, put before each batch, held once."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from .batching import Tokens


class _PrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers is partly untyped
    """Shows a batch the prefix and its own keys and values, and keeps nothing of the batch: it serves any number."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self._prefix = (keys, values)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_args: Any,
        **_options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = key_states.shape[0]
        keys, values = (held.expand(rows, -1, -1, -1) for held in self._prefix)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


class PrefixCache:
    """What a causal model made of a prefix of one row. Safe to use from several threads."""

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self.tokens = len(tokens)
        computed = DynamicCache(config=model.config)
        with torch.inference_mode():
            inputs = torch.tensor([tokens], device=model.device)
            model.base_model(input_ids=inputs, **cache_argument(model, computed))
        layers: list[Any] = computed.layers  # all of them DynamicLayer, says `can_share_prefixes`
        self._parts: list[tuple[torch.Tensor, torch.Tensor]] = [
            (layer.keys, layer.values) for layer in layers
        ]

    def to_read(self) -> DynamicCache:
        """For passes that leave nothing behind, of any number of rows."""
        cache = DynamicCache()
        cache.layers = [_PrefixLayer(keys, values) for keys, values in self._parts]
        return cache

    def to_extend(self, rows: int) -> DynamicCache:
        """For a batch of `rows` that goes on from the prefix, token after token."""
        expanded = [tuple(part.expand(rows, -1, -1, -1) for part in parts) for parts in self._parts]
        return DynamicCache(expanded)


def cache_argument(model: Any, cache: DynamicCache | None) -> dict[str, Any]:
    """The keywords that hand keys and values to `model.base_model`: their name is another from transformers 5.24 on."""
    renamed = "cache" in signature(model.base_model.forward).parameters
    return {"cache" if renamed else "past_key_values": cache, "use_cache": cache is not None}


def can_share_beginnings(model: Any) -> bool:
    """Whether all the model remembers of a text are keys and values of each token, and masks are heeded as given.

    Sliding windows and recurrent states are something else, positions may be part of a mask where attention is not
    PyTorch's own; such a model reads every text from its beginning.
    """
    layers = DynamicCache(config=model.config).layers
    return (
        bool(layers)
        and all(type(layer) is DynamicLayer for layer in layers)
        and getattr(model.config, "_attn_implementation", None) == "sdpa"
    )
