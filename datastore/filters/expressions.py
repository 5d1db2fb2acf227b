"""What a filter can say: the allow-list of operations, and how each is written as SQL for columns of given kinds.

The SQL that runs is written here, never by the caller: names of columns are replaced, every operation is in
`OPERATORS`, `FUNCTIONS` or `CASTS`, and values of unlike kinds are brought together by these rules, the same in
every segment. A value that does not convert is NULL, so the condition it stands in is unknown and matches nothing.

- compared with a date or time, text is read as one; a number or a boolean is NULL
- else compared with a number, text is read as a DOUBLE, a whole number in quotes as itself; a boolean counts as 0 or 1,
  also where a column holds it as text; nan is no number
- else compared with a boolean, text is read as one
- arithmetic is done in DOUBLE, so that nothing overflows at 64 bits; x / 0 is NULL
- text functions and LIKE take the text of anything
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from datastore.errors import UsageError

from .like import quoted, write_like

# "null" is a column that a segment lacks, "any" one whose segment is not known yet.
Kind: TypeAlias = Literal["number", "text", "boolean", "moment", "null", "any"]
# "same": brought to one kind with the other arguments; "double", "whole": numbers of that type.
Takes: TypeAlias = Literal["number", "text", "boolean", "moment", "same", "double", "whole"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A node of a filter: a key of `OPERATORS`, `FUNCTIONS` or `CASTS`, "column", "LIKE" and its kind, or the kind
    of a literal.

    `value` is a column's name, a literal's SQL, or the pattern of a LIKE.
    """

    operator: str
    arguments: tuple[Expression, ...] = ()
    value: str = ""

    def walk(self) -> Iterator[Expression]:
        yield self
        for argument in self.arguments:
            yield from argument.walk()


class Operation(NamedTuple):
    """Kinds of the arguments, of which the last `optional` may be left out, the kind of the result, and its SQL."""

    takes: tuple[Takes, ...]
    gives: Kind
    write: Callable[..., str]
    optional: int = 0


class Term(NamedTuple):
    sql: str
    kind: Kind


def _call(name: str) -> Callable[..., str]:
    return lambda *terms: f"{name}({', '.join(terms)})"


def _infix(symbol: str) -> Callable[..., str]:
    return lambda *terms: "(" + f" {symbol} ".join(terms) + ")"


_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
OPERATORS: Mapping[str, Operation] = {
    **{symbol: Operation(("same", "same"), "boolean", _infix(symbol)) for symbol in _COMPARISONS},
    **{symbol: Operation(("double", "double"), "number", _infix(symbol)) for symbol in ("+", "*", "/", "%")},
    # Of one argument it changes the sign.
    "-": Operation(
        ("double", "double"),
        "number",
        lambda *terms: f"(-{terms[0]})" if len(terms) == 1 else _infix("-")(*terms),
        optional=1,
    ),
    "||": Operation(("text", "text"), "text", _infix("||")),
    "AND": Operation(("boolean",), "boolean", _infix("AND")),
    "OR": Operation(("boolean",), "boolean", _infix("OR")),
    "NOT": Operation(("boolean",), "boolean", "(NOT {})".format),
    "BETWEEN": Operation(("same", "same", "same"), "boolean", "({} BETWEEN {} AND {})".format),
    "IN": Operation(("same",), "boolean", lambda term, *items: f"({term} IN ({', '.join(items)}))"),
    "IS NULL": Operation(("same",), "boolean", "({} IS NULL)".format),
}
FUNCTIONS: Mapping[str, Operation] = {
    **{name: Operation(("text",), "text", _call(name)) for name in ("lower", "upper")},
    **{
        name: Operation(("text", "text"), "text", _call(name), optional=1)
        for name in ("trim", "ltrim", "rtrim")
    },
    **{
        name: Operation(("text", "text"), "boolean", _call(name))
        for name in ("contains", "starts_with", "ends_with")
    },
    "substr": Operation(("text", "whole", "whole"), "text", _call("substr"), optional=1),
    "length": Operation(("text",), "number", _call("length")),
    "round": Operation(("double", "whole"), "number", _call("round"), optional=1),
    **{name: Operation(("double",), "number", _call(name)) for name in ("abs", "floor", "ceil")},
    **{name: Operation(("moment",), "number", _call(name)) for name in ("year", "month", "day")},
}
CASTS: Mapping[str, Operation] = {
    "AS BOOLEAN": Operation(("boolean",), "boolean", "CAST({} AS BOOLEAN)".format),
    "AS BIGINT": Operation(("number",), "number", "TRY_CAST({} AS BIGINT)".format),
    "AS DOUBLE": Operation(("double",), "number", "CAST({} AS DOUBLE)".format),
    "AS VARCHAR": Operation(("text",), "text", "CAST({} AS VARCHAR)".format),
    "AS DATE": Operation(("moment",), "moment", "date_trunc('day', CAST({} AS TIMESTAMP))".format),
    "AS TIMESTAMP": Operation(("moment",), "moment", "CAST({} AS TIMESTAMP)".format),
}
_OPERATIONS = {**OPERATORS, **FUNCTIONS, **CASTS}

_WHOLE_IN_QUOTES = re.compile(r"'[+-]?[0-9]{1,37}'")  # of at most 126 bits
_COLUMN = re.compile("c[0-9]+")  # as `evaluate` calls them
_TYPES = {
    "number": "DOUBLE",
    "double": "DOUBLE",
    "whole": "INTEGER",
    "boolean": "BOOLEAN",
    "moment": "TIMESTAMP",
}


def refusal(what: str) -> UsageError:
    """The error that says what is not allowed, and lists what is."""
    return UsageError(
        f"a filter cannot use {what}",
        hint="allowed: = <> < <= > >= AND OR NOT IN BETWEEN LIKE ILIKE, IS NULL, IS DISTINCT FROM, + - * / % ||, "
        f"CAST, coalesce, {', '.join(sorted(FUNCTIONS))}",
    )


def _common(kinds: Sequence[Kind]) -> Kind:
    """The kind in which values are compared."""
    for kind in ("any", "moment", "number"):
        if kind in kinds:
            return kind
    if "boolean" in kinds:
        return "boolean"
    return "text"


def _converted(term: Term, to: Takes | Kind) -> str:
    """A term's SQL as another kind; NULL where the value cannot be read as one."""
    sql, kind = term
    if "any" in {kind, to} or kind == to:
        return sql
    if to == "text":
        return f"CAST({sql} AS VARCHAR)"
    if kind == "null" and to == "number":
        return sql  # a type of its own would make doubles of whole numbers beside it
    if kind == "text" and to == "number" and _WHOLE_IN_QUOTES.fullmatch(sql):
        return f"({int(sql[1:-1])})"
    if kind == "null" or ((kind == "moment") != (to == "moment") and kind != "text"):
        return f"CAST(NULL AS {_TYPES[to]})"
    if kind == "number" and to == "boolean":
        return f"({sql} <> 0)"
    if kind == "boolean" and to == "number":
        return f"CAST({sql} AS INTEGER)"
    if kind == "text" and _TYPES[to] == "DOUBLE":
        number = f"nullif(TRY_CAST({sql} AS DOUBLE), CAST('nan' AS DOUBLE))"
        if not _COLUMN.fullmatch(sql):
            return number
        return f"coalesce({number}, CASE {sql} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
    return f"TRY_CAST({sql} AS {_TYPES[to]})"


def write(expression: Expression, columns: Mapping[str, Term] | None = None) -> Term:
    """An expression as SQL over a segment's columns; without `columns`, its normal form.

    Raises
    ------
    UsageError
        In the normal form: if something stands as a condition that is none, whatever the columns hold.
    """
    operator, arguments, value = expression.operator, expression.arguments, expression.value
    if operator == "column":
        return Term(quoted(value, '"'), "any") if columns is None else columns[value]
    if operator in {"number", "text", "boolean", "null"}:
        return Term(value, operator)  # type: ignore[arg-type]  # these four are kinds
    terms = [write(argument, columns) for argument in arguments]
    kinds = [term.kind for term in terms]
    if operator in {"LIKE", "ILIKE"}:
        return Term(
            write_like(_converted(terms[0], "text"), value, ignore_case=operator == "ILIKE"), "boolean"
        )
    if operator == "coalesce":
        known = set(kinds) - {"null"}
        # Of unlike kinds it is text, which every kind converts to without loss.
        kind: Kind = "any" if "any" in known else known.pop() if len(known) == 1 else "text"
        return Term(_call("coalesce")(*(_converted(term, kind) for term in terms)), kind)
    operation = _OPERATIONS[operator]
    common = _common(kinds)
    converted = []
    for number, term in enumerate(terms):
        takes = operation.takes[min(number, len(operation.takes) - 1)]
        if columns is None and operator in {"AND", "OR", "NOT"}:
            check_condition(term)
        converted.append(_converted(term, common if takes == "same" else takes))
    return Term(operation.write(*converted), operation.gives)


def write_condition(expression: Expression, columns: Mapping[str, Term]) -> str:
    """A filter as SQL that is true, false or NULL for each row of a segment."""
    return _converted(write(expression, columns), "boolean")


def check_condition(term: Term) -> None:
    """Refuse what can be neither true nor false."""
    if term.kind in {"number", "text", "moment"}:
        raise UsageError(
            f"{term.sql} is not a condition: it is a {term.kind}, neither true nor false",
            hint="compare it with something, for example: year >= 2020",
        )
