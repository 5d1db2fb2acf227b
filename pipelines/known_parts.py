"""Where large files were cut, kept for the next build: to find it out takes a reading of each."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from datastore.files import content_key, write_durably

from .sources import SourceConfig, Unit, parts, reader_version
from .sources.unit import Part


class KnownParts:
    """The parts of files and datasets that are as they were when an earlier build cut them.

    Parameters
    ----------
    file
        Where they are kept, as JSON; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # For each and way to cut it: bytes, start, end and first record of each part; none of what stays whole.
        self._known: dict[str, list[list[int]]] = {}
        self._used: dict[str, list[list[int]]] = {}
        with suppress(OSError, ValueError):
            self._known = json.loads(file.read_bytes())

    def parts(self, config: SourceConfig, unit: Unit) -> list[Unit]:
        """See `sources.parts`; a file that is known is not opened."""
        if config.kind == "pydoc" or (config.kind == "files" and unit.bytes <= config.split_bytes):
            return parts(config, unit)
        how: list[object] = (
            [config.split_bytes, config.format]
            if config.kind == "files"
            else [config.data_files, config.streaming, config.limit]
        )
        key = content_key(unit.place, unit.identity, *how, reader_version(config, unit))
        cuts = self._known.get(key)
        if cuts is None:
            cuts = [[part.bytes, *part.part] for part in parts(config, unit) if part.part is not None]
        self._used[key] = cuts
        return [unit._replace(bytes=size, part=Part(*part)) for size, *part in cuts] or [unit]

    def save(self) -> None:
        """Keep what was asked for, and nothing else, for the next build; on a disk that takes it."""
        if self._used != self._known:
            with suppress(OSError):  # the build has more to write, and says what is wrong
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_durably(self._file, json.dumps(self._used).encode())
