"""MediaWiki XML dumps: the text of each article, and the titles it links to; `wikitext` makes the text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import quote
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field

from ..document import Document, Reject
from .bookmark import Bookmark
from .compression import DAMAGE, is_out_of_reach
from .mediawiki_pages import Damage, head_of, pages_of
from .records import SAMPLE_CHARS
from .unit import Unit
from .wikitext import LISTED_SECTIONS, OTHER_WIKIS, REDIRECT, Site, read_wikitext
from .xml_pieces import SAMPLE_BYTES, Piece


class MediaWikiOptions(BaseModel):
    """What is read of a dump."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespaces: tuple[int, ...] = Field(default=(0,), description="0: articles")
    drop_sections: tuple[str, ...] = Field(
        default=LISTED_SECTIONS,
        description="Sections left out with all that is below them, by their heading in lower case",
    )
    max_links: int = Field(
        default=1000, ge=0, description="Linked titles kept in a page's metadata, the first ones"
    )


def read_mediawiki(
    unit: Unit,
    max_bytes: int,
    options: MediaWikiOptions | None = None,
    bookmark: Bookmark | None = None,
) -> Iterator[Document | Reject]:
    """The articles of a dump or a part. A damaged archive gives those before the damage, then a `broken_archive`; of bzip2
    its next streams go on.

    `id` is the page's. `max_bytes` bounds a page as it stands in the dump; of several revisions the last is read.
    """
    options = options or MediaWikiOptions()
    try:
        site = _read_site(head_of(unit.place))
    except ValueError as error:
        yield Reject("invalid_xml", unit.name, "", str(error), "")
        return
    except DAMAGE as error:
        if is_out_of_reach(error):
            raise
        yield Reject("broken_archive", unit.name, "", f"after page 0: {error}", "")
        return
    for page in pages_of(unit, max_bytes, bookmark or Bookmark()):
        if isinstance(page, Damage):
            yield Reject("broken_archive", unit.name, "", page.detail, "")
        else:
            yield from _read_piece(page.piece, page.location, site, max_bytes, options)


def _read_site(head: str) -> Site:
    base = re.search(r"<base>([^<]*)</base>", head)
    names: dict[int, str] = {
        int(key): html.unescape(name).lower()
        for key, name in re.findall(r'<namespace key="(-?\d+)"[^<>]*>([^<]*)', head)
    }
    unseen = {names.get(6, "file"), names.get(14, "category"), "file", "image", "category"}
    return Site(
        html.unescape(base[1]).rpartition("/")[0] + "/" if base else "",
        frozenset({name for key, name in names.items() if key} | unseen | OTHER_WIKIS),
        frozenset(unseen),
        "<case>case-sensitive</case>" not in head,
    )


def _read_piece(
    piece: Piece, location: str, site: Site, max_bytes: int, options: MediaWikiOptions
) -> Iterator[Document | Reject]:
    def reject(reason: str, detail: str, document_id: str = "", sample: str = "") -> Reject:
        sample = sample or piece.data[:SAMPLE_BYTES].decode("utf-8", "replace")
        return Reject(reason, location, document_id, detail, sample[:SAMPLE_CHARS])

    if piece.length > max_bytes:
        yield reject("too_large", f"{piece.length:,} bytes, the limit is {max_bytes:,}")
        return
    start = piece.data.rfind(b"<page>")
    if start > 0:
        yield reject("invalid_xml", "a page that is not closed before the next")
    try:
        page = ET.fromstring(piece.data[start:].decode() + "</page>")  # noqa: S314 (a page alone, where no entity can be declared)
    except UnicodeDecodeError as error:
        yield reject("invalid_utf8", str(error))
        return
    except ET.ParseError as error:
        yield reject("invalid_xml", str(error))
        return
    page_id, title = page.findtext("id", "").strip(), page.findtext("title", "").strip()
    namespace = page.findtext("ns", "0").strip()
    revision = page.findall("revision")[-1:]
    wikitext = revision[0].findtext("text", "") if revision else ""
    model = revision[0].findtext("model", "wikitext") if revision else "wikitext"
    if not page_id:
        yield reject("invalid_xml", "a page without an id")
    elif namespace not in map(str, options.namespaces):
        yield reject("other_namespace", f"namespace {namespace}", page_id, title)
    elif page.find("redirect") is not None or REDIRECT.match(wikitext):
        yield reject("redirect", "the page leads to another", page_id, title)
    elif model != "wikitext":
        yield reject("not_wikitext", f"content model {model}", page_id, title)
    else:
        try:
            content = read_wikitext(wikitext, site, options.drop_sections, options.max_links)
        except Exception as error:  # noqa: BLE001 (whatever a page makes the rules raise, the next page is read)
            yield reject("extraction_failed", f"{type(error).__name__}: {error}", page_id, wikitext)
            return
        if not content.text:
            yield reject("no_text", "nothing but markup", page_id, wikitext or title)
            return
        url = site.base + quote(title.replace(" ", "_"), safe="/:@!$*(),;'~") if site.base else None
        metadata = {
            "url": url,
            "revision": revision[0].findtext("id"),
            "timestamp": revision[0].findtext("timestamp"),
            "links": content.links or None,
        }
        known = {name: value for name, value in metadata.items() if value is not None}
        yield Document(page_id, title, content.text, known, location)
