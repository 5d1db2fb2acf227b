"""Causal language models through transformers: by hub name, by folder, or from the offline wheel.

The forward passes are ours to schedule: a beginning that many texts share is computed once, short texts are packed into
one row, long ones of similar length share a batch, each batch runs on one thread, and the vocabulary is scored only at
the tokens asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch

from datastore.machine import available_cores
from datastore.protocols import LogLikelihood

from .batching import Group, Piece, Tokens, group_by_beginning, longest_extensions, pieces
from .config import EngineConfig
from .engine import Generation
from .generating import Row, Sampling, generate
from .loading import load_model
from .packing import packed_pieces
from .prefix_cache import PrefixCache, can_share_beginnings
from .prompts import PromptTokenizer, draw_seed
from .scoring import SCORED_AT_ONCE, predicting_states, score

if TYPE_CHECKING:
    from ..tasks.task import Prompt


_Result = TypeVar("_Result")


class _Costs(NamedTuple):
    pass_tokens: int  # tokens' worth of time that a pass through the model costs besides its tokens
    pack_tokens: int  # of a row that packs many texts


_ON_CPU = _Costs(pass_tokens=64, pack_tokens=512)  # measured; 1,024 takes 15 % longer
_ELSEWHERE = _Costs(pass_tokens=4096, pack_tokens=4096)  # a GPU has to be fed
_WRITTEN_FOR_READ = 4  # a batch that writes holds keys and values of all its tokens, and computes one a row


class TransformersModel:
    """Any causal language model of transformers whose logits are its output layer's, unchanged.

    On one CPU, results do not depend on the number of threads, and on what else is asked in the same call only by the
    rounding of sums: kernels add in another order for another shape (float32: about 1e-4 nats; bfloat16: about 0.1,
    with sharing of beginnings or without).
    """

    retries = 0

    def __init__(self, config: EngineConfig) -> None:
        self._model, tokenizer, self.fingerprint = load_model(config)
        self._tokenizer = PromptTokenizer(tokenizer, self.fingerprint.model, self.fingerprint.context_tokens)
        self._batch_tokens = config.batch_tokens
        on_cpu = self._model.device.type == "cpu"
        self._threads = (config.threads or available_cores()) if on_cpu else 1
        self._costs = _ON_CPU if on_cpu else _ELSEWHERE
        self._shares = can_share_beginnings(self._model)
        ends = self._model.generation_config.eos_token_id  # a number, several, or None
        ends = ends if isinstance(ends, list) else [ends]
        self._end_tokens = frozenset({*ends, tokenizer.eos_token_id} - {None})

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(tokens) for tokens in self._tokenizer.prompts(prompts)]

    def log_likelihoods(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        pairs = self._tokenizer.pairs(prompts, continuations)
        extensions = longest_extensions(pair.inputs for pair in pairs)
        askers: dict[Tokens, list[int]] = {}
        for number, pair in enumerate(pairs):
            askers.setdefault(extensions[pair.inputs], []).append(number)
        # The state that predicts a continuation's first token must be computed, not cached.
        sharable = {
            text: min(len(pairs[i].inputs) - len(pairs[i].targets) for i in numbers)
            for text, numbers in askers.items()
        }
        nats = np.zeros(len(pairs))

        def read_batch(
            batch: Sequence[Tokens], prefix: PrefixCache | None, packed: bool
        ) -> tuple[list[int], torch.Tensor]:
            rows = [row for row, text in enumerate(batch) for _ in askers[text]]
            numbers = [number for text in batch for number in askers[text]]
            asked = [pairs[number] for number in numbers]
            return numbers, predicting_states(self._model, batch, rows, asked, prefix, packed=packed)

        def score_waiting() -> None:
            numbers = [number for some, _ in waiting for number in some]
            if numbers:
                nats[numbers] = score(
                    self._model, [states for _, states in waiting], [pairs[i] for i in numbers]
                )
            waiting.clear()

        groups = self._groups(sharable)
        if self._shares:
            planned = packed_pieces(groups, self._batch_tokens, self._costs.pack_tokens)
        else:
            planned = pieces(groups, self._batch_tokens)
        waiting: list[tuple[list[int], torch.Tensor]] = []
        for read in self._run(planned, read_batch):
            waiting.append(read)
            if sum(len(states) for _, states in waiting) >= SCORED_AT_ONCE:
                score_waiting()
        score_waiting()
        return [
            LogLikelihood(float(total), len(pair.targets)) for total, pair in zip(nats, pairs, strict=True)
        ]

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[Generation]:
        sampling = Sampling(max_tokens, tuple(stop), temperature, top_p, self._end_tokens)
        tokens = self._tokenizer.checked(prompts, max_tokens)
        rows = [Row(text, draw_seed(prompt, seed)) for prompt, text in zip(prompts, tokens, strict=True)]
        askers: dict[Tokens, list[Row]] = {}
        for row in rows:
            askers.setdefault(row.prompt, []).append(row)

        def generate_batch(batch: Sequence[Tokens], prefix: PrefixCache | None, _packed: bool) -> None:
            some = [row for text in batch for row in askers[text]]
            generate(self._model, self._tokenizer, some, sampling, prefix)

        groups = self._groups({text: len(text) - 1 for text in askers})
        budget = self._batch_tokens * _WRITTEN_FOR_READ
        for _ in self._run(pieces(groups, budget, max_tokens), generate_batch):
            pass
        return [row.generation(sampling.stop, self._tokenizer) for row in rows]

    def close(self) -> None:
        del self._model

    def _groups(self, sharable: dict[Tokens, int]) -> list[Group]:
        if not self._shares:
            return [Group(0, (text,)) for text in sharable]
        return group_by_beginning(sharable, self._costs.pass_tokens)

    def _run(
        self,
        planned: Iterable[Piece],
        run_batch: Callable[[Sequence[Tokens], PrefixCache | None, bool], _Result],
    ) -> Iterator[_Result]:
        """What `run_batch` gives for each batch, in the order they are planned; raises what one raised."""

        def run(piece: Piece) -> list[_Result]:
            torch.set_num_threads(1)  # of this thread; see the module
            prefix = PrefixCache(self._model, piece.prefix) if piece.prefix else None
            return [run_batch(batch, prefix, piece.packed) for batch in piece.batches]

        with ThreadPoolExecutor(self._threads) as pool:
            for results in pool.map(run, planned):
                yield from results
