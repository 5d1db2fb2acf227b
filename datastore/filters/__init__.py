"""`where`: one boolean SQL expression over the columns of metadata.parquet, turned into a mask of rows."""

from .cache import MaskCache, cache_bytes
from .evaluate import MetadataFile
from .masks import TIMEOUT_S, mask_of, matches
from .parse import Predicate, parse

__all__ = [
    "TIMEOUT_S",
    "MaskCache",
    "MetadataFile",
    "Predicate",
    "cache_bytes",
    "mask_of",
    "matches",
    "parse",
]
