"""The store: its format on disk, every index over it, exact rescoring, encoders."""

from .encoders import Encoder, EncoderConfig
from .errors import CompendiaError, IntegrityError, MissingPackageError, NotFoundError, UsageError
from .hits import Hit, Hits
from .info import describe, read_rejects
from .store import Datastore
from .verify import verify

__all__ = [
    "CompendiaError",
    "Datastore",
    "Encoder",
    "EncoderConfig",
    "Hit",
    "Hits",
    "IntegrityError",
    "MissingPackageError",
    "NotFoundError",
    "UsageError",
    "describe",
    "read_rejects",
    "verify",
]
