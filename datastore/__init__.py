"""The store: its format on disk, every index over it, exact rescoring, encoders."""

from .encoders import Encoder, EncoderConfig
from .errors import CompendiaError, IntegrityError, MissingPackageError, NotFoundError, UsageError
from .hits import Hit, Hits
from .store import Datastore

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
]
