"""A snippet of HTML to text, for posts: what surrounds the text of a web page is `html`'s to find."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?([a-z][a-z0-9]*)(?:[\s/][^<>]*)?>", re.IGNORECASE)
_PARAGRAPHS = frozenset(
    ("p", "div", "blockquote", "ul", "ol", "dl", "table", "h1", "h2", "h3", "h4", "h5", "h6")
)
_LINES = frozenset(("br", "hr", "tr", "dt", "dd"))


def html_text(body: str) -> str:
    """A post's text: paragraphs, `- ` before list items, code between backticks as in Markdown.

    For the HTML that Stack Exchange makes of Markdown, which holds neither scripts nor comments; in linear time.
    """
    parts = [""]
    is_code = False

    def content(start: int, end: int) -> None:
        text = body[start:end]
        if not is_code:
            text = re.sub(r"\s+", " ", text)
            if parts[-1].endswith(("\n", " ")):
                text = text.lstrip()
        if text:
            parts.append(html.unescape(text))

    position = 0
    for tag in _TAG.finditer(body):
        content(position, tag.start())
        position = tag.end()
        name, is_end = tag[1].lower(), tag[0].startswith("</")
        if name == "pre":
            parts.append("\n```\n\n" if is_end else "\n\n```\n")
            is_code = not is_end
        elif is_code:
            continue
        elif name == "code":
            parts.append("`")
        elif name == "li" and not is_end:
            parts.append("\n- ")
        elif name == "sup" and not is_end:
            parts.append("^")  # 10<sup>6</sup> is not 106
        elif name in _PARAGRAPHS and parts[-1] != "\n- ":
            parts.append("\n\n")
        elif name in _LINES:
            parts.append("\n")
        elif name in {"td", "th"}:
            parts.append(" ")
    content(position, len(body))
    lines = "\n".join(line.rstrip() for line in "".join(parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()
