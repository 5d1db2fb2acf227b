"""Measuring: retrieval against judgements, and what retrieval does for a language model, each number with its interval."""

from .beir import Collection
from .beir import load as load_collection
from .engines import Engine, EngineConfig, load_engine
from .llm import LLMReport
from .llm import evaluate as evaluate_llm
from .retrieval import RetrievalReport
from .retrieval import evaluate as evaluate_retrieval
from .tasks import pubmedqa

__all__ = [
    "Collection",
    "Engine",
    "EngineConfig",
    "LLMReport",
    "RetrievalReport",
    "evaluate_llm",
    "evaluate_retrieval",
    "load_collection",
    "load_engine",
    "pubmedqa",
]
