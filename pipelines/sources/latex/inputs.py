r"""The source of a LaTeX document: its files put together, without comments, verbatim text out of the way."""

from __future__ import annotations

import posixpath
import re

from ..compression import open_binary
from ..kept import GONE, Kept
from ..text import damaged_utf8
from ..unit import Unit
from .common import RefusedError

_DEEPEST_INPUT = 10
_VERBATIM = ("verbatim", "Verbatim", "lstlisting", "minted", "alltt")
_SKIPPED = ("comment", "filecontents", "luacode")
# What stands between `\begin{...}` and the text of an environment, of those that take arguments.
_OPTION = r"[ \t]*+\[(?:[^\]{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\]"
_ARGUMENTS = {
    **dict.fromkeys(("Verbatim", "lstlisting"), re.compile(_OPTION)),
    "minted": re.compile(rf"(?:{_OPTION})?+\s*+\{{[^{{}}]*\}}"),
}
_LEXEME = re.compile(
    rf"\\begin\{{(?P<environment>{'|'.join(_VERBATIM + _SKIPPED)})(?P<star>\*?)\}}"
    r"|\\(?:(?P<url>url|nolinkurl|path)|(?P<link>href)(?:\[[^\[\]\n]*\])?)\s*+\{(?P<place>(?:\\[%#&_~{}]|[^{}\n])*+)\}"
    r"|\\(?:verb\*?|(?P<code>lstinline(?:\[[^\[\]]*\])?|mintinline(?:\[[^\[\]]*\])?\{[^{}]*\}))"
    r"(?P<delimiter>[^a-zA-Z\s*])|(?P<false>\\iffalse(?![a-zA-Z]))|\\.|%[^\n]*\n?[ \t]*",
    re.DOTALL,
)
_CONDITIONAL = re.compile(r"\\(if(?!f(?![a-zA-Z]))[a-zA-Z]*|fi)(?![a-zA-Z])")
_INPUT = re.compile(
    r"\\(?:input|include|subfile)(?:\s*+\{([^{}\n]*)\}|\s++([\w./-]+))"
    r"|\\(sub)?(?:import|inputfrom|includefrom)\*?\s*+\{([^{}\n]*)\}\s*+\{([^{}\n]*)\}"
)
# Alone on its line, so that it is in no condition.
_END_INPUT = re.compile(r"^[ \t]*\\endinput[ \t]*$", re.MULTILINE)
_ENCODING = re.compile(
    rb"^[^%\n]*?\\(?:usepackage\s*+\[\s*+(?:[^\[\]]*,)?\s*+([\w-]+)\s*+\]\s*+\{inputenc\}|inputencoding\s*+\{([\w-]+)\})",
    re.MULTILINE,
)
_ENCODINGS = {
    b"latin1": "cp1252",
    b"latin2": "iso8859-2",
    b"latin3": "iso8859-3",
    b"latin4": "iso8859-4",
    b"latin5": "iso8859-9",
    b"latin9": "iso8859-15",
    b"latin10": "iso8859-16",
    b"ansinew": "cp1252",
    b"applemac": "mac-roman",
    b"macce": "mac-latin2",
    **{
        name.encode(): name
        for name in ("cp437", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1252", "koi8-r")
    },
}
_USUAL_ENCODING = "cp1252"
_NOT_READ = {0: None, ord(GONE): None}  # characters that stand for something else meanwhile


class Inputs:
    r"""Puts together the files of a document, without comments.

    `max_bytes` bounds them together. Verbatim text goes to `kept`.
    """

    def __init__(self, unit: Unit, max_bytes: int, kept: Kept) -> None:
        self._unit = unit
        self._left = max_bytes
        self._kept = kept
        self._open = [unit.name]
        self._folders = [""]  # from which what is brought in brings in others: `\import` changes it
        self._encoding = _USUAL_ENCODING  # of the file that brings in the others

    def resolve(self, data: bytes, depth: int) -> str:
        self._left -= len(data)
        if self._left < 0:
            raise RefusedError("too_large", "more bytes than the limit with the files it brings in")
        declared = _declared(data)
        if depth == 0 and declared:
            self._encoding = declared
        text = self._without_comments(_decode(data, declared or self._encoding).translate(_NOT_READ))
        ended = _END_INPUT.search(text)
        return _INPUT.sub(
            lambda match: self._imported(match, depth), text[: ended.start()] if ended else text
        )

    def _imported(self, match: re.Match[str], depth: int) -> str:
        if match[5] is None:
            return self._input((match[1] or match[2] or "").strip(), depth)
        self._folders.append(posixpath.join(self._folders[-1] if match[3] else "", match[4].strip()))
        text = self._input(match[5].strip(), depth)
        self._folders.pop()
        return text

    def _input(self, name: str, depth: int) -> str:
        """The text of another file; none if it is not there, not inside the folder or is being read already."""
        root = self._unit.place.removesuffix(self._unit.name)
        folders = dict.fromkeys((self._folders[-1], ""))  # in the order in which they are searched
        for candidate in [
            posixpath.join(folder, name + ending) for folder in folders for ending in (".tex", "")
        ]:
            relative = posixpath.normpath(posixpath.join(posixpath.dirname(self._unit.name), candidate))
            if relative.startswith(("../", "/")) or relative in self._open or depth == _DEEPEST_INPUT:
                continue
            try:
                with open_binary(root + relative) as file:
                    data = file.read(self._left + 1)
            except (OSError, ValueError):
                continue
            self._open.append(relative)
            text = self.resolve(data, depth + 1)
            self._open.pop()
            body = text.partition("\\begin{document}")[2]
            return body.partition("\\end{document}")[0] if body else text
        return ""

    def _without_comments(self, text: str) -> str:
        parts: list[str] = []
        never_closed: set[str] = set()
        position = 0
        while lexeme := _LEXEME.search(text, position):
            parts.append(text[position : lexeme.start()])
            position = lexeme.end()
            name = lexeme["environment"]
            if name and name not in never_closed:
                end_mark = f"\\end{{{name}{lexeme['star']}}}"
                end = text.find(end_mark, position)
                if end < 0:
                    never_closed.add(name)
                    continue
                if name in _VERBATIM:
                    behind = _ARGUMENTS[name].match(text, position, end) if name in _ARGUMENTS else None
                    position = behind.end() if behind else position
                    parts.append(f"\n\n{self._kept.keep(text[position:end].strip(chr(10)))}\n\n")
                position = end + len(end_mark)
            elif lexeme["delimiter"]:
                line_end = text.find("\n", position)
                closer = "}" if lexeme["code"] and lexeme["delimiter"] == "{" else lexeme["delimiter"]
                end = text.find(closer, position, len(text) if line_end < 0 else line_end)
                if end >= 0:
                    parts.append(self._kept.keep(text[position:end]))
                    position = end + 1
            elif lexeme["place"] is not None:
                parts.append(self._place(lexeme))
            elif lexeme["false"]:
                position = self._end_of_false(text, position)
            elif not lexeme[0].startswith("%"):
                parts.append(lexeme[0])
        return "".join([*parts, text[position:]])

    def _place(self, lexeme: re.Match[str]) -> str:
        """A web address as it is shown: `%` begins no comment in it. In a definition, `#1` is none yet."""
        if re.search(r"#\d", lexeme["place"]):
            return lexeme[0]
        shown = self._kept.keep(re.sub(r"\\([%#&_~{}])", r"\1", lexeme["place"]))
        return shown if lexeme["url"] else f"\\href{{{shown}}}"

    @staticmethod
    def _end_of_false(text: str, position: int) -> int:
        r"""Behind the `\fi` of an `\iffalse`; the end of the text if there is none, as in TeX."""
        depth = 1
        for match in _CONDITIONAL.finditer(text, position):
            depth += -1 if match[1] == "fi" else 1
            if depth == 0:
                return match.end()
        return len(text)


def _declared(data: bytes) -> str | None:
    """The encoding that a file says it is in, if it is one of those that are read; UTF-8 is seen without."""
    found = _ENCODING.search(data)
    return _ENCODINGS.get(found[1] or found[2]) if found else None


def _decode(data: bytes, encoding: str) -> str:
    """UTF-8 where that fits, whatever is declared, or all but fits; else the encoding."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise RefusedError("invalid_utf8", str(error)) from error
    damaged = damaged_utf8(data)
    return data.decode(encoding, "replace") if damaged is None else damaged
