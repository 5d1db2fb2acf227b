"""One LaTeX file, one document: the steps in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ...document import Document, Reject
from ..kept import Kept
from ..records import SAMPLE_CHARS
from ..text import read_whole
from ..unit import Unit
from .common import RefusedError, closings
from .inputs import Inputs
from .macros import expand, take_definitions
from .text import Writer

_TITLE = re.compile(r"\\title\s*+(?:\[[^\[\]]*\]\s*+)?\{")


class LatexOptions(BaseModel):
    """Which LaTeX files are documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fragments: bool = Field(
        default=False,
        description="Read files without `\\begin{document}` as documents too, not only where others \\input them",
    )


def read_latex(
    unit: Unit, max_bytes: int, options: LatexOptions | None = None
) -> Iterator[Document | Reject]:
    r"""The document of a file, with what it brings in by `\input` from the source's folder, from nowhere else.

    `max_bytes` bounds the files together, and what macros expand to.
    """
    data = read_whole(unit, max_bytes)
    if isinstance(data, Reject):
        yield data
        return
    sample = data[: 4 * SAMPLE_CHARS].decode("utf-8", "replace")[:SAMPLE_CHARS]
    try:
        yield _read(data, unit, max_bytes, options or LatexOptions())
    except RefusedError as error:
        yield Reject(error.reason, unit.name, unit.name, str(error), sample)
    except Exception as error:  # noqa: BLE001 (whatever a file makes the rules raise, the next file is read)
        yield Reject("extraction_failed", unit.name, unit.name, f"{type(error).__name__}: {error}", sample)


def _read(data: bytes, unit: Unit, max_bytes: int, options: LatexOptions) -> Document:
    kept = Kept()
    source = Inputs(unit, max_bytes, kept).resolve(data, 0)
    begin = "\\begin{document}" in source
    if not begin and not options.fragments:
        raise RefusedError("latex_fragment", "no \\begin{document}: a file for \\input")
    macros, theorems, rest = take_definitions(source)
    body = rest.partition("\\begin{document}")[2] if begin else rest
    expanded = expand(body.partition("\\end{document}")[0], macros, max_bytes)
    writer = Writer(theorems, kept)
    title = _TITLE.search(rest)
    shown = ""
    if title is not None:
        end = closings(rest).get(title.end() - 1, title.end())
        shown = " ".join(writer.write(expand(rest[title.end() : end], macros, max_bytes)).split())
    prose = writer.write(expanded)
    if not prose:
        raise RefusedError("no_text", "nothing but markup")
    return Document(unit.name, shown or Path(unit.name).stem, prose, {}, unit.name)
