"""Learned sparse vectors: each segment has its passages' weights by term, compared exactly, and large stores Seismic besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ...encoders.sparse import SparseEncoderConfig, load_sparse_encoder
from . import forward
from .forward import Index
from .postings import BLOCK_ROWS, Codes, Part, open_postings, quantised, save_postings
from .search import Found, search

if TYPE_CHECKING:
    from ...features import Covered

__all__ = [
    "Config",
    "Found",
    "Index",
    "Part",
    "build_index",
    "fingerprint",
    "index_parameters",
    "merge",
    "open_index",
    "open_part",
    "search",
    "write",
]

ram_files = (".seismic",)
# .99 of the exact ten at 100,000 passages (benchmarks/sparse.py).
_PARAMETERS = {
    "centroid_fraction": 0.03,
    "summary_energy": 0.3,
    "max_fraction": 4.0,
    "query_cut": 12,
    "heap_factor": 0.8,
}


class Config(BaseModel):
    """Which terms of titles and texts weigh how much."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sparse"] = "sparse"
    name: str = Field(default="sparse", description="What retrievers call it: sparse(name='…')")
    encoder: SparseEncoderConfig = Field(
        default_factory=SparseEncoderConfig, description="What gives terms their weights"
    )
    passage_terms: int | None = Field(
        default=None, ge=1, description="Only so many terms of a passage, the heaviest, are kept; None: all"
    )
    index: Literal["auto", "exact", "seismic"] = Field(
        default="auto",
        description="`auto`: `exact`, which was at least as fast at equal recall wherever both were measured; `seismic`: "
        "an approximate index (pyseismic-lsr), which costs 6 kB of RAM a passage, and 10 while it is built",
    )


def fingerprint(config: Config, *, fetch: bool = True) -> dict[str, Any]:
    """What must be equal for new passages to fit the old ones; loads the encoder."""
    return load_sparse_encoder(config.encoder, fetch=fetch).fingerprint.model_dump(mode="json")


def write(folder: Path, texts: Sequence[str], config: Config, *, threads: int = 1) -> None:
    """Write the files of n passages into an empty folder."""
    encoder = load_sparse_encoder(config.encoder)

    def pieces() -> Iterator[Codes]:
        for start in range(0, len(texts), BLOCK_ROWS):
            vectors = encoder.encode_passages(texts[start : start + BLOCK_ROWS], threads=threads)
            yield quantised(vectors.strongest(config.passage_terms))

    save_postings(folder, pieces())


def merge(folder: Path, parts: Sequence[tuple[Path, int, NDArray[np.int64]]], config: Config) -> None:
    """`write` of passages that other segments hold: (folder, rows, ascending positions) of each, in order.

    Raises
    ------
    ValueError, OSError
        If a segment's files are damaged.
    """
    del config

    def pieces() -> Iterator[Codes]:
        for source, rows, positions in parts:
            for block, codes in enumerate(open_postings(source, rows).by_passage()):
                start, end = positions.searchsorted([block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS])
                yield codes.take(positions[start:end] - block * BLOCK_ROWS)

    save_postings(folder, pieces())


def open_part(folder: Path, rows: int, config: Config) -> Part:
    """The files of a segment, memory-mapped.

    Raises
    ------
    ValueError, OSError
        If one is missing or does not fit.
    """
    del config
    return open_postings(folder, rows)


def index_parameters(config: Config, rows: int) -> dict[str, Any] | None:
    """What Seismic is made with; None where it is not wanted."""
    # Passages in the list of a term, on average.
    postings = {"n_postings": min(max(800, rows // 250), 8_000)}
    return {**postings, **_PARAMETERS} if config.index == "seismic" and rows else None


def build_index(folder: Path, covered: Covered, config: Config, parameters: dict[str, Any]) -> None:
    """Write a Seismic index, with the weights by passage that its candidates are scored by, into an empty folder.

    Raises
    ------
    MissingPackageError
        If pyseismic-lsr is not installed.
    """
    del config
    parts: list[Part] = covered.parts
    forward.build(folder, (codes for part in parts for codes in part.by_passage()), parameters)


def open_index(folder: Path, rows: int, config: Config, parameters: dict[str, Any]) -> Index:
    """The files of an index.

    Raises
    ------
    ValueError, KeyError, OSError
        If one is missing or does not fit.
    """
    del config
    return Index(folder, rows, parameters)
