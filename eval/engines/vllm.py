"""Causal language models through vLLM, in process: it forms the batches, and keeps what prompts begin with alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from datastore.errors import NotFoundError, optional_import
from datastore.protocols import LogLikelihood
from datastore.weights import weights_revision

from .batching import Pair, Tokens
from .config import MODEL_FILES, EngineConfig, EngineFingerprint
from .engine import Generation
from .prompts import PromptTokenizer, draw_seed

if TYPE_CHECKING:
    from ..tasks.task import Prompt

_NEXT_TOKENS = 128  # whose log-probabilities one request of vLLM gives
_OWN_TOKENS = 1  # that it writes even where it only reads


class VLLMModel:
    """Any causal language model that vLLM runs.

    Its batches form by what is asked at a time, so results depend on that by rounding, warm or cold cache included
    (vLLM issues 5898, 23138, 40896); VLLM_BATCH_INVARIANT=1 asks vLLM for kernels that do not.
    """

    retries = 0

    def __init__(self, config: EngineConfig) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        self._vllm = optional_import("vllm", extra="vllm")
        options = {"enable_prefix_caching": True, "max_model_len": config.context_tokens, **config.options}
        try:
            self._llm: Any = self._vllm.LLM(
                config.model, revision=config.revision, dtype=config.dtype, seed=0, **options
            )
        except (OSError, ValueError) as error:
            raise NotFoundError(
                f"vLLM cannot load the language model {config.model!r}: {str(error).splitlines()[0]}",
                hint="set engine.model to the hub name of a causal language model or a folder of safetensors",
            ) from error
        tokenizer = self._llm.get_tokenizer()
        described = self._llm.model_config
        self.fingerprint = EngineFingerprint(
            model=config.model,
            revision=weights_revision(
                config.model, MODEL_FILES, getattr(described.hf_config, "_commit_hash", None)
            ),
            dtype=config.dtype,
            context_tokens=int(described.max_model_len),
            engine=" ".join(
                [
                    f"vllm {self._vllm.__version__}",
                    *(f"{key}={config.options[key]}" for key in sorted(config.options)),
                ]
            ),
        )
        self._tokenizer = PromptTokenizer(
            tokenizer, config.model, self.fingerprint.context_tokens - _OWN_TOKENS
        )

    def count_tokens(self, prompts: Sequence[Prompt]) -> list[int]:
        return [len(tokens) for tokens in self._tokenizer.prompts(prompts)]

    def log_likelihoods(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        pairs = self._tokenizer.pairs(prompts, continuations)
        nats = np.zeros(len(pairs))
        one = [number for number, pair in enumerate(pairs) if len(pair.targets) == 1]
        more = [number for number, pair in enumerate(pairs) if len(pair.targets) > 1]
        nats[one] = self._next_tokens([pairs[number] for number in one])
        nats[more] = self._read_through([pairs[number] for number in more])
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
        texts = self._tokenizer.checked(prompts, max_tokens)
        parameters = [
            {
                "max_tokens": max_tokens,
                "stop": list(stop),
                "temperature": temperature,
                "top_p": top_p,
                "seed": draw_seed(prompt, seed),
            }
            for prompt in prompts
        ]
        generations = []
        for text, output in zip(texts, self._run(texts, parameters), strict=True):
            (written,) = output.outputs
            finish: Any = "length" if written.finish_reason == "length" else "stop"
            generations.append(Generation(written.text, len(written.token_ids), len(text), finish))
        return generations

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    def _next_tokens(self, pairs: Sequence[Pair]) -> list[float]:
        """One request a prompt gives the log-probabilities of all its one-token continuations."""
        wanted: dict[Tokens, list[int]] = {}
        for pair in pairs:
            tokens = wanted.setdefault(pair.inputs, [])
            if pair.targets[0] not in tokens:
                tokens.append(pair.targets[0])
        asked = [
            (inputs, tokens[start : start + _NEXT_TOKENS])
            for inputs, tokens in wanted.items()
            for start in range(0, len(tokens), _NEXT_TOKENS)
        ]
        parameters = [{"max_tokens": 1, "temperature": 0, "logprob_token_ids": tokens} for _, tokens in asked]
        outputs = self._run([inputs for inputs, _ in asked], parameters)
        found = {
            (inputs, token): output.outputs[0].logprobs[0][token].logprob
            for (inputs, tokens), output in zip(asked, outputs, strict=True)
            for token in tokens
        }
        return [found[pair.inputs, pair.targets[0]] for pair in pairs]

    def _read_through(self, pairs: Sequence[Pair]) -> list[float]:
        """One request a text gives the log-probabilities of all its tokens."""
        texts = list(dict.fromkeys((*pair.inputs, pair.targets[-1]) for pair in pairs))
        parameters = [{"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}] * len(texts)
        read = dict(zip(texts, self._run(texts, parameters), strict=True))
        return [
            sum(
                entries[token].logprob
                for token, entries in zip(
                    pair.targets,
                    read[(*pair.inputs, pair.targets[-1])].prompt_logprobs[-len(pair.targets) :],
                    strict=True,
                )
            )
            for pair in pairs
        ]

    def _run(self, texts: Sequence[Tokens], parameters: Sequence[dict[str, Any]]) -> list[Any]:
        if not texts:
            return []
        outputs: list[Any] = self._llm.generate(
            [{"prompt_token_ids": list(text)} for text in texts],
            [self._vllm.SamplingParams(**some) for some in parameters],
            use_tqdm=False,
        )
        return outputs
