"""Datasets of the Hugging Face hub, or local ones, through `datasets`."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import xxhash
from pydantic import Field

from datastore.errors import NotFoundError, optional_import

from ..document import Document, Reject
from .config import SourceBase
from .parquet import ROWS_PER_BATCH, read_batches
from .records import Fields
from .unit import Unit

VERSION = 1


class HuggingFaceSource(SourceBase):
    """One split of a dataset."""

    kind: Literal["huggingface"] = "huggingface"
    dataset: str = Field(
        description="A name on the hub, a folder, or a builder such as `json` with data_files"
    )
    config: str | None = Field(default=None, description="The dataset's configuration, where it has several")
    split: str = "train"
    revision: str | None = Field(
        default=None, description="Commit, tag or branch on the hub; a commit makes it repeatable"
    )
    streaming: bool = Field(
        default=True, description="Read as it comes; false: download and convert all of it first"
    )
    data_files: str | tuple[str, ...] | None = Field(
        default=None, description="Files or patterns, of the dataset or local"
    )
    fields: Fields = Fields()


def _local_files(config: HuggingFaceSource) -> list[Path]:
    root = Path(config.dataset)
    if config.data_files is None:
        return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []
    patterns = [config.data_files] if isinstance(config.data_files, str) else config.data_files
    base = root if root.is_dir() else Path()
    names = (glob.glob(str(base / pattern), recursive=True) for pattern in patterns)  # noqa: PTH207 (Path.glob refuses absolute patterns)
    found = {Path(name) for matches in names for name in matches}
    return sorted(path for path in found if path.is_file())


def units(config: HuggingFaceSource) -> list[Unit]:
    """The split, as one unit. Of local files it knows size and time; of the hub only what the config names."""
    digest = xxhash.xxh3_64()
    for path in _local_files(config):
        status = path.stat()
        digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    parts = [config.dataset, config.config or "", config.split, config.revision or "", digest.hexdigest()]
    name = f"{config.config}/{config.split}" if config.config else config.split
    return [Unit(name, config.dataset, "|".join(parts))]


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Keep the libraries' progress bars and retries off stderr."""
    loggers = [logging.getLogger("datasets"), logging.getLogger("huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


def _load(config: HuggingFaceSource, datasets: Any) -> Any:
    data_files = list(config.data_files) if isinstance(config.data_files, tuple) else config.data_files
    try:
        return datasets.load_dataset(
            config.dataset,
            config.config,
            split=config.split,
            revision=config.revision,
            streaming=config.streaming,
            data_files=data_files,
        )
    except (OSError, EOFError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NotFoundError(
            f"source {config.name}: cannot load the dataset {config.dataset!r}: {reason}",
            hint="check dataset, config, split and data_files, and that the hub can be reached",
        ) from error


def read(config: HuggingFaceSource, unit: Unit) -> Iterator[Document | Reject]:
    """The documents of the split; see `sources.read`.

    A damaged file ends it with one `broken_archive`, and takes an unfinished batch before it along. A lost connection
    raises: a part that could be whole tomorrow is no dataset.

    Raises
    ------
    NotFoundError
        If the dataset cannot be loaded.
    MissingPackageError
        If datasets is not installed.
    """
    datasets = optional_import("datasets", extra="ingest")
    with _quiet(datasets):
        # As Arrow: images and sound stay undecoded.
        batches = _load(config, datasets).with_format("arrow").iter(batch_size=ROWS_PER_BATCH)
        try:
            yield from read_batches(batches, unit, config.fields)
        except (pa.ArrowException, EOFError) as error:
            yield Reject("broken_archive", unit.name, "", str(error), "")
