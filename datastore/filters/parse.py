"""A filter's text, read by DuckDB's own parser and rebuilt from an allow-list: what is not named here is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from datastore.errors import UsageError, nearest

from .expressions import CASTS, FUNCTIONS, OPERATORS, Expression, check_condition, refusal, write
from .like import quoted, read_pattern
from .tokens import DEEPEST, check_tokens

_LONGEST = 10_000  # characters
_MOST_CONCATENATIONS = 16  # each copies a text of every row
_EXAMPLE = "for example: source = 'wikipedia' AND year >= 2020"
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "IS DISTINCT FROM",
    "COMPARE_NOT_DISTINCT_FROM": "IS NOT DISTINCT FROM",
}
_LIKES = {
    **dict.fromkeys(("~~", "!~~", "like_escape", "not_like_escape"), "LIKE"),
    **dict.fromkeys(("~~*", "!~~*", "ilike_escape", "not_ilike_escape"), "ILIKE"),
}
_ALIASES = {
    "substring": "substr",
    "prefix": "starts_with",
    "suffix": "ends_with",
    "len": "length",
    "ceiling": "ceil",
}
_TYPES = {
    **dict.fromkeys(("BOOLEAN", "BOOL"), "AS BOOLEAN"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "LONG"), "AS BIGINT"),
    **dict.fromkeys(("REAL", "FLOAT", "DOUBLE", "DECIMAL", "NUMERIC"), "AS DOUBLE"),
    **dict.fromkeys(("VARCHAR", "TEXT", "STRING"), "AS VARCHAR"),
    "DATE": "AS DATE",
    "TIMESTAMP": "AS TIMESTAMP",
}
_FORBIDDEN = {
    "CASE": "CASE",
    "COLLATE": "a collation",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a position",
    "STAR": "*",
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
}


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition that is safe to evaluate.

    Attributes
    ----------
    sql
        Its normal form: equal for texts that differ in white space, in the case of keywords and functions, or in
        how a literal or an alias is spelled. It names a mask; it need not be a text that `parse` takes.
    columns
        The names used, as written (quotes removed, a dotted name joined).
    flags
        Those of them that stand as a condition by themselves, so that they must hold booleans.
    """

    sql: str
    columns: frozenset[str]
    flags: frozenset[str] = field(compare=False)
    expression: Expression = field(compare=False, repr=False)


def parse(where: str) -> Predicate:
    """The condition that a text states.

    Raises
    ------
    UsageError
        If it is no condition, or says anything beyond the allow-list; the message names what.
    """
    if not isinstance(where, str):
        raise UsageError(f"where must be a text, got a {type(where).__name__}", hint=_EXAMPLE)
    if len(where) > _LONGEST:
        raise UsageError(f"where has {len(where):,} characters; at most {_LONGEST:,} are read")
    return _parse(where)


@lru_cache(maxsize=256)
def _parse(where: str) -> Predicate:
    import duckdb

    if not where.strip():
        raise UsageError("where is empty", hint=_EXAMPLE)
    check_tokens(where)
    with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
        # The first statement shows what a SELECT of nothing but one expression looks like.
        row = connection.execute(
            "SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT (TRUE); SELECT ({where}\n)"]
        ).fetchone()
    assert row is not None
    answer = json.loads(row[0])
    if answer["error"]:
        hint = (
            _EXAMPLE + "; a column named like a word of SQL goes in double quotes: \"when\" >= '2020-01-01'"
        )
        raise UsageError(f"where cannot be read: {answer['error_message']}", hint=hint)
    nodes = [statement["node"] for statement in answer["statements"]]
    lists = [node.pop("select_list", []) for node in nodes]
    if len(nodes) != 2 or nodes[0] != nodes[1] or len(lists[1]) != 1:
        raise refusal("anything but one expression")
    expression = _expression(lists[1][0], 0)
    parts = list(expression.walk())
    if sum(part.operator == "||" for part in parts) > _MOST_CONCATENATIONS:
        raise UsageError(f"where joins texts more than {_MOST_CONCATENATIONS} times")
    term = write(expression)
    check_condition(term)
    conditions = [
        argument for part in parts if part.operator in {"AND", "OR", "NOT"} for argument in part.arguments
    ]
    return Predicate(
        sql=term.sql,
        columns=frozenset(part.value for part in parts if part.operator == "column"),
        flags=frozenset(part.value for part in [expression, *conditions] if part.operator == "column"),
        expression=expression,
    )


def _expression(node: dict[str, Any], depth: int) -> Expression:
    """A node of DuckDB's tree as one of ours."""
    if depth > DEEPEST:
        raise UsageError(f"where is nested more than {DEEPEST} deep")
    if node.get("alias"):
        raise refusal("an alias")

    def inner(*children: dict[str, Any]) -> tuple[Expression, ...]:
        return tuple(_expression(child, depth + 1) for child in children)

    kind = node["class"]
    if kind == "COLUMN_REF":
        return Expression("column", value=".".join(node["column_names"]))
    if kind == "CONSTANT":
        return _literal(**node["literal"])
    if kind == "COMPARISON" and node["type"] in _COMPARISONS:
        return Expression(_COMPARISONS[node["type"]], inner(node["left"], node["right"]))
    if kind == "CONJUNCTION":
        return Expression(node["type"].removeprefix("CONJUNCTION_"), inner(*node["children"]))
    if kind == "BETWEEN":
        return Expression("BETWEEN", inner(node["input"], node["lower"], node["upper"]))
    if kind == "CAST":
        return Expression(_type(node["type_expr"]), inner(node["child"]))
    if kind == "FUNCTION":
        return _function(node, inner(*(argument["expression"] for argument in node["arguments"])))
    if kind == "OPERATOR":
        arguments = inner(*node["children"])
        match node["type"]:
            case "OPERATOR_NOT":
                return Expression("NOT", arguments)
            case "OPERATOR_IS_NULL":
                return Expression("IS NULL", arguments)
            case "OPERATOR_IS_NOT_NULL":
                return Expression("NOT", (Expression("IS NULL", arguments),))
            case "OPERATOR_COALESCE":
                return Expression("coalesce", arguments)
            case "COMPARE_IN":
                literals = {item.operator for item in arguments[1:]} - {"null", "column"}
                if {"text", "number"} <= literals:
                    raise UsageError(
                        "the list of IN holds both texts and numbers",
                        hint="write two lists: year IN (2020) OR year IN ('unknown')",
                    )
                return Expression("IN", arguments)
    raise refusal(_FORBIDDEN.get(kind, str(node["type"]).removeprefix("OPERATOR_").replace("_", " ").lower()))


def _literal(kind: str, text: str = "") -> Expression:
    match kind:
        case "STRING":
            return Expression("text", value=quoted(text, "'"))
        case "BOOLEAN":
            return Expression("boolean", value=text.upper())
        case "NULL_LITERAL":
            return Expression("null", value="NULL")
        case "INTEGER" | "NUMERIC":
            number = float(text)  # which takes more digits than int
            if number in {float("inf"), float("-inf")}:
                raise UsageError(f"the number {text[:20]} is too large")
            whole = kind == "INTEGER" and abs(number) < 2**126
            return Expression("number", value=str(int(text)) if whole else f"CAST({number!r} AS DOUBLE)")
    raise refusal(f"a literal of the kind {kind.lower()}")


def _type(node: dict[str, Any]) -> str:
    """The key in `CASTS` of a type without parameters."""
    name = node.get("type_name", "").upper()
    if node["class"] != "TYPE" or node["children"] or node["schema"] or node["catalog"] or name not in _TYPES:
        raise UsageError(
            f"a filter cannot cast to {name or 'that type'}{' with parameters' if node.get('children') else ''}",
            hint="types: " + ", ".join(sorted(cast.removeprefix("AS ") for cast in CASTS)),
        )
    return _TYPES[name]


def _function(node: dict[str, Any], arguments: tuple[Expression, ...]) -> Expression:
    name = node["function_name"].lower()
    if node["schema"] or node["catalog"]:
        raise refusal(f"a function of a schema: {node['schema'] or node['catalog']}.{name}")
    if (
        node["distinct"]
        or node["filter"]
        or node["order_bys"]["orders"]
        or node["export_state"]
        or any(argument["name"] for argument in node["arguments"])
    ):
        raise refusal(f"named arguments, DISTINCT, FILTER or ORDER BY in {name}()")
    if name in _LIKES:
        like = _like(_LIKES[name], arguments)
        return Expression("NOT", (like,)) if name.startswith(("!", "not_")) else like
    if name in OPERATORS and node["is_operator"]:
        return Expression(name, arguments)
    name = _ALIASES.get(name, name)
    if name == "row":
        raise refusal("an empty list or a row of values, the function row")
    if name not in FUNCTIONS:
        if node["is_operator"]:
            raise refusal(f"the operator {name}")
        near = nearest(name, [*FUNCTIONS, *_ALIASES, "coalesce"])
        raise UsageError(f"a filter cannot use the function {name}", hint=near)
    most, optional = len(FUNCTIONS[name].takes), FUNCTIONS[name].optional
    if not most - optional <= len(arguments) <= most:
        expected = f"{most - optional} or {most}" if optional else str(most)
        raise UsageError(f"{name}() takes {expected} arguments, got {len(arguments)}")
    return Expression(name, arguments)


def _like(operator: str, arguments: tuple[Expression, ...]) -> Expression:
    """`arguments`: the text, the pattern, and the escape character if one is given."""
    if any(argument.operator != "text" for argument in arguments[1:]):
        raise UsageError(
            "the pattern of LIKE must be a text in quotes",
            hint="contains(title, source) compares with another column",
        )
    pattern, *escape = [argument.value[1:-1].replace("''", "'") for argument in arguments[1:]]
    return Expression(operator, arguments[:1], read_pattern(pattern, "".join(escape)))
