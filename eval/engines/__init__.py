"""Engines: language models that score text. One file each, one Protocol, one loader."""

from __future__ import annotations

from typing import Protocol

from datastore.protocols import LanguageModel

from .config import EngineConfig, EngineFingerprint

__all__ = ["Engine", "EngineConfig", "EngineFingerprint", "load_engine"]


class Engine(LanguageModel, Protocol):
    """A language model that says which one it is."""

    @property
    def fingerprint(self) -> EngineFingerprint: ...


def load_engine(config: EngineConfig) -> Engine:
    """The language model of a config.

    Raises
    ------
    NotFoundError
        If the model is neither a folder nor to be had from the hub.
    MissingPackageError
        If a package of the extra `eval`, or the offline model's wheel, is not installed.
    """
    from .transformers import TransformersModel

    return TransformersModel(config)
