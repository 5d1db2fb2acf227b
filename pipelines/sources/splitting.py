"""Large files in bounded parts, which are read apart and give, joined, what the whole gives."""

from __future__ import annotations

from . import jsonl, mediawiki_pages, parquet
from .compression import COMPRESSED_SUFFIXES
from .formats import Format
from .places import file_name, local_path
from .unit import Part, Unit


def split(unit: Unit, file_format: Format, target_bytes: int) -> list[Unit]:
    """A file's parts of about `target_bytes` in order, or the file itself where it cannot be cut.

    JSON lines are cut at line ends, MediaWiki dumps where a page begins or, in bzip2, a stream, Parquet at row groups, WARC
    at its members. Other compressed JSON lines and dumps stay whole: nothing but reading them from the start gives the
    numbers of their records. So do those behind a URL, which would be transferred twice. Reading goes on within them: see
    `Bookmark`.
    """
    if unit.bytes <= target_bytes:
        return [unit]
    try:
        parts = _parts(unit.place, file_format, target_bytes)
    except OSError:
        return [unit]  # its reader sets it aside
    if len(parts) < 2:
        return [unit]
    total = parts[-1].end - parts[0].start
    return [
        unit._replace(bytes=round(unit.bytes * (part.end - part.start) / total), part=part) for part in parts
    ]


def _parts(place: str, file_format: Format, target_bytes: int) -> list[Part]:
    match file_format:
        case "jsonl" | "compactds" | "mediawiki":
            is_dump = file_format == "mediawiki"
            is_compressed = file_name(place).lower().endswith(COMPRESSED_SUFFIXES)
            if local_path(place) is None or (
                is_compressed and not (is_dump and mediawiki_pages.is_bzip2(place))
            ):
                return []
            parts_of = mediawiki_pages.parts_of if is_dump else jsonl.parts_of
            return parts_of(place, target_bytes)
        case "parquet":
            return parquet.parts_of(place, target_bytes)
        case "warc":
            from . import warc

            return warc.parts_of(place, target_bytes)
        case _:
            return []
