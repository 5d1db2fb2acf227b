"""What one folder defines and another uses without importing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class LogLikelihood(NamedTuple):
    """How likely a model finds a continuation after its prompt."""

    nats: float  # natural log of the probability of all its tokens, <= 0
    tokens: int  # how many tokens the continuation has


class LanguageModel(Protocol):
    """A causal language model, in process or behind a server."""

    def log_likelihoods(self, prompts: Sequence[str], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The log-likelihood of continuation i after prompt i.

        Raises
        ------
        UsageError
            If a prompt with its continuation does not fit the model's context: nothing is cut silently.
        """
