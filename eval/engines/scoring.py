"""Log-likelihoods by a causal model of transformers: the vocabulary is scored only at the tokens asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .batching import Pair, Tokens
from .packing import Pack, pack
from .prefix_cache import PrefixCache, cache_argument

SCORED_AT_ONCE = 256  # positions whose logits are held together: 50 MB for a vocabulary of 49,152
_WIDENED_AT_ONCE = 8192  # words of the vocabulary whose weights are held in float32 together


def predicting_states(
    model: Any,
    batch: Sequence[Tokens],
    rows: Sequence[int],
    pairs: Sequence[Pair],
    prefix: PrefixCache | None,
    *,
    packed: bool,
) -> torch.Tensor:
    """(targets, width) states that predict the targets of all pairs, pair by pair.

    Pair i is read from text rows[i] of the batch, which starts with its inputs.

    All texts begin with the prefix, and no target is predicted inside it. `packed`: the batch goes as one row.
    """
    skipped = prefix.tokens if prefix is not None else 0
    texts = [text[skipped:] for text in batch]
    lengths = [len(pair.targets) for pair in pairs]
    places = [np.arange(len(pair.inputs) - len(pair.targets), len(pair.inputs)) - skipped for pair in pairs]
    with torch.inference_mode():
        if packed:
            packing = pack(texts)
            at = np.concatenate([packing.paths[row][some] for row, some in zip(rows, places, strict=True)])
            return _packed_states(model, packing, prefix)[0, torch.from_numpy(at).to(model.device)]
        at_rows, at_places = np.repeat(rows, lengths), np.concatenate(places)
        return _states(model, texts, prefix)[
            torch.from_numpy(at_rows).to(model.device), torch.from_numpy(at_places).to(model.device)
        ]


def score(model: Any, states: Sequence[torch.Tensor], pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """(len(pairs),) log-likelihoods from the states that predict their targets, in order.

    Many at a time: to widen the output layer's weights takes as long as to score some hundred positions.
    """
    targets = torch.from_numpy(np.concatenate([pair.targets for pair in pairs])).to(model.device)
    nats = []
    with torch.inference_mode():
        together = torch.cat(list(states))
        for start in range(0, len(targets), SCORED_AT_ONCE):
            logits = _logits(model.get_output_embeddings(), together[start : start + SCORED_AT_ONCE])
            wanted = targets[start : start + SCORED_AT_ONCE, None]
            nats.append(logits.gather(1, wanted)[:, 0] - logits.logsumexp(dim=1))
        by_token = torch.cat(nats).double().cpu().numpy()
    return np.add.reduceat(by_token, np.cumsum([0, *(len(pair.targets) for pair in pairs)])[:-1])


def _logits(output_layer: Any, states: torch.Tensor) -> torch.Tensor:
    """(positions, vocabulary) float32, never rounded to the model's dtype.

    bfloat16 has steps of 0.125 between 16 and 32, where logits lie: the letters of a question would often tie.
    """
    if type(output_layer) is not torch.nn.Linear:  # quantised, say: only it knows its weights
        logits: torch.Tensor = output_layer(states).float()
        return logits
    bias: torch.Tensor | None = output_layer.bias
    wide = states.float()
    parts = torch.split(output_layer.weight, _WIDENED_AT_ONCE)
    logits = torch.cat([torch.nn.functional.linear(wide, part.float()) for part in parts], dim=1)
    return logits if bias is None else logits + bias.float()


def _states(model: Any, texts: Sequence[Tokens], prefix: PrefixCache | None) -> torch.Tensor:
    """(rows, tokens, width) states before the output layer.

    No attention mask is needed: padding stands on the right, where a causal model never looks.
    """
    inputs = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    for row, tokens in enumerate(texts):
        inputs[row, : len(tokens)] = tokens
    states: torch.Tensor = model.base_model(
        input_ids=torch.from_numpy(inputs).to(model.device),
        **cache_argument(model, None if prefix is None else prefix.to_read()),
    ).last_hidden_state
    return states


def _packed_states(model: Any, packing: Pack, prefix: PrefixCache | None) -> torch.Tensor:
    """(1, tokens, width) states before the output layer."""
    skipped = prefix.tokens if prefix is not None else 0
    sees = np.concatenate([np.ones((len(packing.tokens), skipped), dtype=np.bool_), packing.sees], axis=1)
    states: torch.Tensor = model.base_model(
        input_ids=torch.from_numpy(packing.tokens[None]).to(model.device),
        position_ids=torch.from_numpy(packing.depths[None] + skipped).to(model.device),
        attention_mask=torch.from_numpy(sees[None, None]).to(model.device),
        **cache_argument(model, None if prefix is None else prefix.to_read()),
    ).last_hidden_state
    return states
