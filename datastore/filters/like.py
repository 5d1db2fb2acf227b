"""LIKE with a fixed pattern, in time linear in the text whatever the pattern is."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.errors import UsageError


def quoted(text: str, mark: str) -> str:
    """`text` between marks, which are doubled inside."""
    return mark + text.replace(mark, mark * 2) + mark


def read_pattern(pattern: str, escape: str) -> str:
    r"""A pattern in which a backslash takes the meaning of the letter behind it away, and nothing else does.

    `escape` is a character or empty, which means none, as in SQL.
    """
    if len(escape) > 1:
        raise UsageError(f"ESCAPE takes one character, got {escape!r}")
    letters = iter(pattern)
    plain = ""
    for letter in letters:
        if letter == escape:
            following = next(letters, None)
            if following is None:
                raise UsageError("the pattern of LIKE ends in its escape character")
            plain += "\\" + following
        else:
            plain += "\\\\" if letter == "\\" else letter
    return plain


def _regex(pattern: str) -> Iterator[str]:
    letters = iter(pattern)
    for letter in letters:
        if letter == "%":
            yield ".*"
        elif letter == "_":
            yield "."
        else:
            fixed = next(letters) if letter == "\\" else letter
            yield fixed if fixed.isalnum() or not fixed.isascii() else "\\" + fixed


def write_like(subject: str, pattern: str, *, ignore_case: bool) -> str:
    """The SQL of `subject LIKE pattern`, the pattern as `read_pattern` gives it.

    DuckDB matches a pattern without `_` greedily; for any other it may try a number of ways that is exponential in
    the number of `%`, between two of which no timeout comes, so RE2 matches those.
    """
    hard = "_" in pattern or "\\" in pattern
    text = quoted("".join(_regex(pattern)) if hard else pattern, "'")
    if ignore_case:
        subject, text = f"lower({subject})", f"lower({text})"
    return f"regexp_full_match({subject}, {text}, 's')" if hard else f"({subject} LIKE {text})"
