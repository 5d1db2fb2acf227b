"""One pass over the constructs of wikitext, which nest: templates, links, tables, tags."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from typing import NamedTuple

from ..kept import GONE, Kept
from .lines import text_of_lines
from .links import Site, link_text
from .tables import BREAKS, CODE, FORMULAS, LEFT_OUT, RAW, TAGS
from .templates import template_text

_DEEPEST = 40
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TOKEN = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|^[ \t:]*\{\||^[ \t]*\|\}(?!\})|\||<(/?)([a-z][a-z0-9]*)((?:[\s/][^<>]*)?)>",
    re.MULTILINE | re.IGNORECASE,
)
_NO_TITLE = re.compile(r"[\[\]{}]")
_OPENS = {"}}": "{{", "]]": "[[", "|}": "{|"}


class Page(NamedTuple):
    text: str
    links: list[str]  # titles of articles, in order


def read_wikitext(wikitext: str, site: Site, drop_sections: Collection[str], max_links: int) -> Page:
    """Headings as `## History`, list items as `- item`, formulas as `$…$`; files, tables, notes and most templates gone.

    The text must hold no NUL, which XML cannot.
    """
    kept = Kept()
    constructs = _Pass(_COMMENT.sub("", wikitext), site, kept)
    text = kept.restore(text_of_lines(constructs.run(), drop_sections))
    return Page(re.sub(r"\n{3,}", "\n\n", text).strip(), list(constructs.links)[:max_links])


class _Frame:
    """A construct that is open: its arguments so far, each a list of strings."""

    def __init__(self, opener: str) -> None:
        self.opener = opener
        self.arguments: list[list[str]] = [[]]

    def joined(self) -> list[str]:
        return ["".join(argument) for argument in self.arguments]


class _Pass:
    """One way through a page, token by token."""

    def __init__(self, source: str, site: Site, kept: Kept) -> None:
        self.links: dict[str, None] = {}
        self._source = source
        self._site = site
        self._kept = kept
        self._position = 0  # behind what has been read
        self._frames = [_Frame("")]
        self._never_closed: set[str] = set()  # raw tags

    def run(self) -> str:
        while token := _TOKEN.search(self._source, self._position):
            self._emit(self._source[self._position : token.start()])
            self._position = token.end()
            if token[2] is None:
                self._mark(token[0].strip(" \t:"))
            elif token[2].lower() in TAGS:
                self._tag(token[2].lower(), is_end=bool(token[1]), is_empty=token[3].endswith("/"))
            else:
                self._emit(token[0])
        self._emit(self._source[self._position :])
        self._unwind(1)
        return self._frames[0].joined()[0]

    def _emit(self, text: str) -> None:
        self._frames[-1].arguments[-1].append(text)

    def _unwind(self, depth: int) -> None:
        """Take what stands open above `depth` for text: nothing closes it."""
        while len(self._frames) > depth:
            frame = self._frames.pop()
            self._emit(frame.opener + "|".join(frame.joined()))

    def _mark(self, mark: str) -> None:
        if mark in ("{{", "[[", "{|"):
            if len(self._frames) <= _DEEPEST:
                self._frames.append(_Frame(mark))
            else:
                self._emit(mark)
        elif mark == "|":
            if len(self._frames) > 1 and self._frames[-1].opener != "{|":
                self._frames[-1].arguments.append([])
            else:
                self._emit(mark)
        else:
            self._close(mark)

    def _close(self, mark: str) -> None:
        opener = _OPENS[mark]
        depth = next((i for i in range(len(self._frames) - 1, 0, -1) if self._frames[i].opener == opener), 0)
        if depth == 0:
            self._emit(mark)
            return
        self._unwind(depth + 1)
        arguments = self._frames.pop().joined()
        if mark == "}}":
            self._emit(template_text(arguments) or GONE)
        elif mark == "]]" and _NO_TITLE.search(arguments[0]):
            self._emit(f"[[{'|'.join(arguments)}]]")  # `[[1, 2], [3, 4]]` is no link
        elif mark == "]]":
            self._emit(
                link_text([argument.replace(GONE, "") for argument in arguments], self._site, self.links)
                or GONE
            )

    def _tag(self, name: str, *, is_end: bool, is_empty: bool) -> None:
        if name in RAW and not is_end and not is_empty:
            self._raw_tag(name)
        elif name == "sup" and not is_end:
            self._emit("^")  # 10<sup>6</sup> is not 106
        elif name in BREAKS:
            self._emit("\n")

    def _raw_tag(self, name: str) -> None:
        if name in self._never_closed:
            return
        closer = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(self._source, self._position)
        if closer is None:
            self._never_closed.add(name)  # not sought again: the search must stay linear
            return
        if name not in LEFT_OUT:
            mark = self._kept.keep(_raw(name, self._source[self._position : closer.start()]))
            self._emit(f"\n\n{mark}\n\n" if name in CODE else mark)
        else:
            self._emit(GONE)
        self._position = closer.end()


def _raw(name: str, content: str) -> str:
    """What stands for the content of a raw tag."""
    if name in FORMULAS:
        return f"${html.unescape(content).strip()}$"
    return content.strip("\n") if name in CODE else html.unescape(content)
