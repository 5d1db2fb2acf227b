"""Wikitext to text.

Wikitext has no grammar; these are rules of our own, in one pass and in linear time, so that no page can hold up a build.
`text` goes over the constructs that nest, `templates` and `links` say what those show, `lines` does the rest; names of
tags and templates are in `tables`, those of sections in `languages`.
"""

from .languages import LISTED_SECTIONS, REDIRECT
from .links import Site
from .tables import OTHER_WIKIS
from .text import Page, read_wikitext

__all__ = ["LISTED_SECTIONS", "OTHER_WIKIS", "REDIRECT", "Page", "Site", "read_wikitext"]
