"""The store: its format on disk, every index over it, exact rescoring, encoders."""

from .diff import Difference, diff
from .encoders import Encoder, EncoderConfig
from .errors import (
    CompendiaError,
    IntegrityError,
    MissingPackageError,
    NotFoundError,
    OverBudgetError,
    SearchTimeoutError,
    UsageError,
)
from .hits import Hit, Hits
from .index.config import IndexConfig
from .info import describe, read_rejects
from .store import Datastore
from .verify import verify, verify_recall

__all__ = [
    "CompendiaError",
    "Datastore",
    "Difference",
    "Encoder",
    "EncoderConfig",
    "Hit",
    "Hits",
    "IndexConfig",
    "IntegrityError",
    "MissingPackageError",
    "NotFoundError",
    "OverBudgetError",
    "SearchTimeoutError",
    "UsageError",
    "describe",
    "diff",
    "read_rejects",
    "verify",
    "verify_recall",
]
