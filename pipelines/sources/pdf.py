"""PDF: the text of its pages as running prose, by pypdf."""

from __future__ import annotations

import ctypes
import io
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datastore.errors import optional_import

from ..document import Document, Reject
from .text import read_whole
from .unit import Unit

_EDGE_LINES = 3  # at the top and at the bottom of a page, where headers and footers stand
_NEAR_PAGES = 4  # before and behind a page: two or more of its own side
_FEWEST_PAGES = 3  # on fewer nothing is known to repeat
_WIDE_CHARACTERS = 40  # columns narrower than this are lists, verse or tables: their lines are kept
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\0": None}
)
_ITEM = re.compile(r"(?:[-\u2013\u2022*\u25aa\u25e6\u00b7]|\(?[0-9a-z]{1,3}[.)])\s")
# What programs write into the title by themselves: names of files, of nothing, of themselves.
_NO_TITLE = re.compile(
    r"untitled|microsoft |powerpoint |slide \d|.*\.(?:docx?|dvi|indd|pdf|pptx?|qxd|rtf|tex|txt|xlsx?)\Z|[\W\d_]*\Z",
    re.IGNORECASE,
)


class PdfOptions(BaseModel):
    """What one file may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pages: int = Field(default=5000, ge=1, description="A file of more pages is set aside")
    timeout_s: float = Field(default=60.0, gt=0, description="Seconds for one file, which is set aside then")


class _TooSlow(BaseException):
    """No Exception: pypdf must not catch it and go on."""


class _RefusedError(Exception):
    """A file that is set aside, with the reason and its detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@contextmanager
def _time_limit(timeout_s: float) -> Iterator[None]:
    """Raise _TooSlow inside the block when its time is over, in any thread; between two steps of Python code.

    Again every second until the block ends: what is raised inside a finaliser is lost.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    over = threading.Event()

    def watch() -> None:
        wait_s = timeout_s
        while not over.wait(wait_s):
            with lock:
                if not over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_TooSlow))
            wait_s = 1.0

    def stop() -> None:
        with lock:
            over.set()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        try:
            stop()
        finally:
            stop()  # the first was cut short if the time was over just then; the next second is far


def read_pdf(unit: Unit, max_bytes: int, options: PdfOptions | None = None) -> Iterator[Document | Reject]:
    """The document of a file; pages that cannot be read are left out and counted in its metadata.

    `max_bytes` bounds the file and its text. A time limit is the only bound on what a hostile file makes of a page,
    so that which files are `too_slow` may differ between machines; nothing else does.

    Raises
    ------
    MissingPackageError
        If pypdf is not installed.
    """
    pypdf = optional_import("pypdf", extra="ingest")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it complains of is a reject here
    options = options or PdfOptions()
    data = read_whole(unit, max_bytes)
    if isinstance(data, Reject):
        yield data
        return
    item: Document | Reject
    try:
        with _time_limit(options.timeout_s):
            item = _read(pypdf, data, unit, max_bytes, options)
    except _TooSlow:
        item = Reject("too_slow", unit.name, unit.name, f"not read within {options.timeout_s:g} s", "")
    except _RefusedError as error:
        item = Reject(error.reason, unit.name, unit.name, str(error), "")
    except (
        pypdf.errors.FileNotDecryptedError,
        pypdf.errors.WrongPasswordError,
        pypdf.errors.DependencyError,
    ) as error:
        item = Reject("encrypted", unit.name, unit.name, str(error), "")
    except Exception as error:  # noqa: BLE001 (whatever a file makes pypdf raise, the next file is read)
        item = Reject("broken_pdf", unit.name, unit.name, f"{type(error).__name__}: {error}", "")
    yield item


def _read(pypdf: Any, data: bytes, unit: Unit, max_bytes: int, options: PdfOptions) -> Document:
    reader = pypdf.PdfReader(io.BytesIO(data))
    count = len(reader.pages)
    if count > options.max_pages:
        raise _RefusedError("too_large", f"{count:,} pages, the limit is {options.max_pages:,}")
    pages: list[list[str]] = []
    failed: list[str] = []
    size = 0
    for number in range(count):
        try:
            text = reader.pages[number].extract_text()
        except Exception as error:  # noqa: BLE001 (the other pages are read)
            failed.append(f"page {number + 1}: {type(error).__name__}: {error}")
            continue
        # A font may map to halves of surrogate pairs, which no store can hold.
        text = text.translate(_LIGATURES).encode("utf-8", "ignore").decode()
        size += len(text.encode())
        if size > max_bytes:
            raise _RefusedError("too_large", f"more than {max_bytes:,} bytes of text")
        pages.append([line.strip() for line in text.splitlines()])
    prose = _flow([line for page in _without_running_lines(pages) for line in page])
    if not prose:
        if failed:
            raise _RefusedError("broken_pdf", failed[0])
        raise _RefusedError("no_text", f"{count} pages without text, as scans are")
    information = reader.metadata or {}
    title = " ".join(str(information.get("/Title") or "").split())
    metadata: dict[str, Any] = {"pages": count}
    if author := " ".join(str(information.get("/Author") or "").split()):
        metadata["author"] = author.encode("utf-8", "ignore").decode()
    if failed:
        metadata["failed_pages"] = len(failed)
    is_title = 2 < len(title) <= 300 and not _NO_TITLE.match(title)
    title = title.encode("utf-8", "ignore").decode() if is_title else Path(unit.name).stem
    return Document(unit.name, title, prose, metadata, unit.name)


def _without_running_lines(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pages without the lines that stand, but for their numbers, at the edge of more than half of them.

    And without those that stand at one and the same place of three neighbouring pages: heads change by chapter, and from
    left to right.
    """
    edges = [_edges([line for line in page if line]) for page in pages]
    counts = Counter(shape for edge in edges for shape in {shape for _, shape in edge})
    throughout = {
        shape for shape, count in counts.items() if count >= _FEWEST_PAGES and count > len(pages) / 2
    }
    kept = []
    for number, page in enumerate(pages):
        near = Counter(
            line for edge in edges[max(0, number - _NEAR_PAGES) : number + _NEAR_PAGES + 1] for line in edge
        )
        running = throughout | {shape for (_, shape), count in near.items() if count >= _FEWEST_PAGES}
        lines = list(page)
        for step in (1, -1):
            for _ in range(_EDGE_LINES):
                edge = next((i for i in range(len(lines))[::step] if lines[i]), None)
                if edge is None or _shape(lines[edge]) not in running:
                    break
                del lines[edge]
        kept.append(lines)
    return kept


def _edges(lines: Sequence[str]) -> set[tuple[int, str]]:
    """The lines at the top and the bottom of a page but for their numbers, with their places from there."""
    top = {(place, _shape(line)) for place, line in enumerate(lines[:_EDGE_LINES])}
    return top | {
        (-place, _shape(line)) for place, line in enumerate(lines[: -_EDGE_LINES - 1 : -1], start=1)
    }


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", line)


def _flow(lines: Sequence[str]) -> str:
    """Lines as paragraphs: a line that is about as long as lines get here goes on in the next."""
    lengths = sorted(len(line) for line in lines if line)
    width = lengths[len(lengths) * 9 // 10] if lengths else 0
    compounds = {compound for line in lines for compound in re.findall(r"\w+-\w+", line)}
    parts: list[str] = []
    previous = ""
    for line in lines:
        begins_word = re.match(r"\w+", line)
        broken = re.search(r"\w+[-\u00ad]\Z", previous[-_WIDE_CHARACTERS:])
        if broken and begins_word and line[0].islower():
            # A hyphen that also stands within a line is the word's own.
            if broken[0][-1] == "\u00ad" or broken[0] + begins_word[0] not in compounds:
                parts[-1] = parts[-1][:-1]
            parts.append(line)
        elif previous and line:
            goes_on = width >= _WIDE_CHARACTERS and len(previous) >= 0.7 * width and not _ITEM.match(line)
            parts += [" " if goes_on else "\n", line]
        elif line:
            parts += ["\n\n", line]
        previous = line
    return "".join(parts).replace("\u00ad", "").strip()
