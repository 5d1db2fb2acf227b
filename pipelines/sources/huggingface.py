"""Datasets of the Hugging Face hub, or local ones, through `datasets`."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import xxhash
from pydantic import Field

from datastore.errors import CompendiaError, NotFoundError, optional_import

from ..document import Document, Reject
from .bookmark import END, Bookmark
from .config import SourceBase
from .parquet import ROWS_PER_BATCH, read_batches
from .records import Fields
from .unit import Part, Unit

VERSION = 3
_SHARD_BYTES = 64 << 20  # of a shard on the hub, whose size is not asked for: so much that it is read apart


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
    """The files of the split where they are local and several, else the split as one unit.

    Of local files it knows size and time; of the hub only what the config names.
    """
    local = _local_files(config)
    name = f"{config.config}/{config.split}" if config.config else config.split
    files = _files_of_split(config) if len(local) > 1 else []
    if len(files) < 2:
        return [Unit(name, config.dataset, _identity(config, local))]
    root = Path(os.path.commonpath([path.parent for path in files]))
    return [
        Unit(
            f"{name}/{path.relative_to(root).as_posix()}",
            str(path),
            _identity(config, [path]),
            path.stat().st_size,
        )
        for path in files
    ]


def parts(config: HuggingFaceSource, unit: Unit) -> list[Unit]:
    """The shards of a split that is not local and read as it comes: as many as it has files, mostly.

    With a limit it stays whole: a few documents of the first shard are all that is wanted, and not as many of each.

    Raises
    ------
    NotFoundError, MissingPackageError
        See `read`.
    """
    if (
        not config.streaming
        or config.limit is not None
        or unit.place != config.dataset
        or _local_files(config)
    ):
        return [unit]
    datasets = optional_import("datasets", extra="ingest")
    with _quiet(datasets):
        shards = _load(config, datasets).rows.num_shards
    if shards < 2:
        return [unit]
    # A part's end is how many shards there are: so that reading sees when the hub has others meanwhile.
    return [unit._replace(bytes=_SHARD_BYTES, part=Part(i, shards, 1)) for i in range(shards)]


def _identity(config: HuggingFaceSource, files: Iterable[Path]) -> str:
    digest = xxhash.xxh3_64()
    for path in files:
        status = path.stat()
        digest.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return "|".join(
        [config.dataset, config.config or "", config.split, config.revision or "", digest.hexdigest()]
    )


def _files_of_split(config: HuggingFaceSource) -> list[Path]:
    """See `_Split`; none of a split that cannot be loaded, as reading will say."""
    if not config.streaming:
        return []
    try:
        datasets = optional_import("datasets", extra="ingest")
        with _quiet(datasets):
            return _load(config, datasets).files
    except CompendiaError:
        return []


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


class _Split(NamedTuple):
    rows: Any  # datasets.IterableDataset, or a Dataset
    files: list[
        Path
    ]  # those that are its shards, in order; none where they are not local, or shards are something else


def _load(config: HuggingFaceSource, datasets: Any) -> _Split:
    data_files = list(config.data_files) if isinstance(config.data_files, tuple) else config.data_files
    try:
        builder = datasets.load_dataset_builder(
            config.dataset, config.config, revision=config.revision, data_files=data_files
        )
        if not config.streaming:
            builder.download_and_prepare()
            return _Split(builder.as_dataset(split=config.split), [])
        rows = builder.as_streaming_dataset(split=config.split)
        files = [Path(name) for name in (builder.config.data_files or {}).get(config.split, ())]
        are_shards = len(files) == rows.num_shards and all(path.is_file() for path in files)
        return _Split(rows, files if are_shards else [])
    except (OSError, EOFError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NotFoundError(
            f"source {config.name}: cannot load the dataset {config.dataset!r}: {reason}",
            hint="check dataset, config, split and data_files, and that the hub can be reached",
        ) from error


def read(
    config: HuggingFaceSource, unit: Unit, bookmark: Bookmark | None = None
) -> Iterator[Document | Reject]:
    """The documents of the split, or of one file or shard of it; see `sources.read`.

    A damaged file ends it with one `broken_archive`, and takes an unfinished batch before it along. A lost connection
    raises: a part that could be whole tomorrow is no dataset.

    Raises
    ------
    NotFoundError
        If the dataset cannot be loaded, or has other files than when its units were listed.
    MissingPackageError
        If datasets is not installed.
    """
    datasets = optional_import("datasets", extra="ingest")
    part = unit.part or Part(0, END, 1)
    with _quiet(datasets):
        dataset, files = _load(config, datasets)
        is_file, is_shard = unit.place != config.dataset, part.end != END
        if (is_file and Path(unit.place) not in files) or (is_shard and part.end != dataset.num_shards):
            raise NotFoundError(
                f"source {config.name}: the files of {config.dataset!r} are not those that were listed",
                hint="build again with --reread; on the hub, `revision: <commit>` keeps a dataset as it is",
            )
        if is_file or is_shard:
            shard = files.index(Path(unit.place)) if is_file else part.start
            dataset = dataset.shard(num_shards=dataset.num_shards, index=shard, contiguous=True)
        if is_shard:
            unit = unit._replace(name=f"{unit.name}/{part.start:05d}")
        # As Arrow: images and sound stay undecoded.
        batches = dataset.with_format("arrow").iter(batch_size=ROWS_PER_BATCH)
        try:
            rest = _rest(batches, part, bookmark or Bookmark())
            yield from read_batches(rest, unit, config.fields, part.first_record)
        except (pa.ArrowException, EOFError, ValueError) as error:  # other columns, a line that is no CSV
            yield Reject("broken_archive", unit.name, "", str(error), "")


def _rest(batches: Iterable[Any], part: Part, bookmark: Bookmark) -> Iterator[Any]:
    """The batches from a part's first row on; what stands before it is not turned into records."""
    row = 1
    for batch in batches:
        start, row = row, row + batch.num_rows
        if row > part.first_record:
            start = max(start, part.first_record)
            bookmark.move(part._replace(first_record=start))
            yield batch.slice(batch.num_rows - (row - start))
