"""Rows of questions and answers sorted on disk: more than RAM holds, in the space that they take uncompressed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

_RUN_BYTES = 64_000_000
_MOST_RUNS = 200  # files that are open in one merge
_DIGITS = 20  # of a number in a sorted line


class Row(NamedTuple):
    question: int
    number: int  # within the dump
    xml: bytes


class SortedRows:
    """Rows sorted by question, the question before its answers, each in the order of the file.

    Sorted runs are written to `folder`, which is the caller's to remove, then merged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[bytes] = []
        self._bytes = 0
        self._runs: list[Path] = []
        self._written = 0

    def add(self, row: Row, *, is_answer: bool) -> None:
        key = f"{row.question:0{_DIGITS}}{is_answer:d}{row.number:0{_DIGITS}}".encode()
        # In an attribute a line end stands for a space, so that a row fits on a line.
        self._lines.append(key + row.xml.replace(b"\n", b" ") + b"\n")
        self._bytes += len(row.xml)
        if self._bytes > _RUN_BYTES:
            self._lines.sort()
            self._write(self._lines)
            self._lines, self._bytes = [], 0

    def merged(self) -> Iterator[Row]:
        """All rows in order; not to be added to any more."""
        self._lines.sort()
        with ExitStack() as stack:
            for line in heapq.merge(
                self._lines, *(stack.enter_context(run.open("rb")) for run in self._runs)
            ):
                key, xml = line[: 2 * _DIGITS + 1], line[2 * _DIGITS + 1 :]
                yield Row(int(key[:_DIGITS]), int(key[_DIGITS + 1 :]), xml)

    def _write(self, lines: Iterable[bytes]) -> None:
        if len(self._runs) == _MOST_RUNS:
            first, self._runs = self._runs, []
            with ExitStack() as stack:
                self._write(heapq.merge(*(stack.enter_context(run.open("rb")) for run in first)))
            for run in first:
                run.unlink()
        self._written += 1
        path = self._folder / str(self._written)
        with path.open("wb") as file:
            file.writelines(lines)
        self._runs.append(path)
