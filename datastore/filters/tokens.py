"""What can be told from a filter's words alone, before DuckDB's parser sees it."""

from __future__ import annotations

from datastore.errors import UsageError

from .expressions import refusal

DEEPEST = 50


def check_tokens(where: str) -> None:
    """Refuse comments, statements, unbalanced parentheses, and what would keep the parser busy for long."""
    import duckdb

    try:
        data = where.encode()
    except UnicodeEncodeError:
        raise UsageError("where holds half of a surrogate pair, which is no character") from None
    if b"\0" in data:
        raise refusal("a NUL character")
    nesting = run = 0
    for position, kind in duckdb.tokenize(where):
        letter = data[position : position + 1]
        if kind == duckdb.token_type.comment:
            raise refusal("a comment")
        run = run + 1 if kind in {duckdb.token_type.operator, duckdb.token_type.keyword} else 0
        if kind == duckdb.token_type.operator:
            if letter == b";":
                raise refusal("a semicolon: where is one condition, not several statements")
            if letter in {b"[", b"]", b"{", b"}"}:
                raise refusal("a list or a struct")
            nesting += {b"(": 1, b")": -1}.get(letter, 0)
        if nesting < 0:
            raise refusal("a parenthesis that closes none")
        if nesting > DEEPEST or run > 2 * DEEPEST:
            raise UsageError(f"where is nested more than {DEEPEST} deep")
    if nesting:
        raise refusal("a parenthesis that is not closed")
