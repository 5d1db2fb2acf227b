"""Lines of wikitext: headings, list items, and what is left of a sentence whose template is gone."""

from __future__ import annotations

import html
import re
from collections.abc import Collection

from ..kept import GONE, without_gone
from .languages import first_variants

_HEADING = re.compile(r"(={1,6})(.+?)\1[ \t]*\Z")


def _label(link: re.Match[str]) -> str:
    return link[1] or GONE


def text_of_lines(text: str, drop_sections: Collection[str]) -> str:
    """Text without the markup of lines and of words, and without sections that are left out or empty."""
    text = re.sub(r"\[(?:https?:|ftp:|mailto:|//)[^\s\[\]]*[ \t]*([^\[\]\n]*)\]", _label, text)
    text = html.unescape(re.sub(r"'{2,5}|__[A-Z]+__", "", text)).replace("\xa0", " ")
    text = without_gone(first_variants(text))
    lines: list[str] = []
    headings: list[int] = []  # levels of headings at the end of `lines`, with nothing below them so far
    dropping = 0  # the level of the heading whose section is being left out
    for line in text.split("\n"):
        heading = _HEADING.match(line)
        if heading is None:
            item = re.sub(r"^[:;]+[ \t]*|^-{4,}", "", re.sub(r"^[*#:;]*[*#][*#:;]*[ \t]*", "- ", line))
            even = re.sub(r"[ \t]+", " ", item).strip()
            even = re.sub(r" (?=\))|(?<=\() | (?=[,.;](?: |$))", "", even)
            if not dropping and even != "-":
                lines.append(even)
                headings = [] if even else headings
            continue
        level, name = len(heading[1]), heading[2].strip()
        if not dropping or level <= dropping:
            dropping = level if name.lower() in drop_sections else 0
            while headings and headings[-1] >= level:
                headings.pop()
                while not lines.pop().startswith("#"):
                    pass
            if not dropping:
                headings.append(level)
                lines += ["", "#" * level + " " + name, ""]
    while headings:
        headings.pop()
        while not lines.pop().startswith("#"):
            pass
    return "\n".join(lines)
