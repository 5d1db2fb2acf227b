"""Links of wikitext: what they show, and the article that they lead to."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

# The prefix of another language's wiki.
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]+)*|simple)\Z")


class Site(NamedTuple):
    base: str  # what a title is appended to for its URL; empty where the dump does not say
    namespaces: frozenset[str]  # lower-case prefixes of titles that are no articles
    unseen: frozenset[str]  # those whose links put a file or a category on the page, not text
    has_upper_titles: bool  # whether `[[tea]]` leads to `Tea`


def link_text(arguments: Sequence[str], site: Site, links: dict[str, None]) -> str:
    """The text of a link; the title that it leads to goes to `links`, if it is an article's."""
    target, label = arguments[0].strip(), "|".join(arguments[1:]).strip()
    prefix = target.partition(":")[0].strip().lower() if ":" in target else ""
    is_named = target.startswith(":")  # `[[:File:tea.jpg]]` names the file, it does not show it
    if not is_named and (prefix in site.unseen or (prefix and _LANGUAGE.match(target.partition(":")[0]))):
        return ""
    if not is_named and prefix not in site.namespaces:
        title = " ".join(html.unescape(target).partition("#")[0].replace("_", " ").split())
        if title:
            links[title[0].upper() + title[1:] if site.has_upper_titles else title] = None
    return label or target.removeprefix(":")
