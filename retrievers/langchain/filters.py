"""LangChain's `filter`: a condition in SQL as everywhere in Compendia, or values that metadata must have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeAlias

from datastore import Datastore, UsageError
from datastore.filters.like import quoted

Filter: TypeAlias = str | Mapping[str, str | float | bool | None]


def where_of(filter: Filter | None, store: Datastore | None) -> str | None:  # noqa: A002 (LangChain's word)
    """A filter as `where` of `Datastore.search`; an empty mapping allows everything.

    A mapping may have a name that no document of the store has, as that of a user before the first document: no value
    equals it, and None does. In SQL such a name is refused, as it is most likely misspelt.

    Raises
    ------
    UsageError
        If it is neither text nor mapping, or the mapping holds what no column can equal.
    """
    if filter is None or isinstance(filter, str):
        return filter
    if not isinstance(filter, Mapping):
        raise UsageError(
            f"filter must be a condition in SQL or a mapping, got a {type(filter).__name__}",
            hint="filter=\"source = 'wikipedia' AND year >= 2020\", or filter={'source': 'wikipedia'}",
        )
    conditions = {name: _equality(name, value) for name, value in filter.items()}
    known = frozenset() if store is None else store.snapshot.catalog.columns
    for name in conditions if known else ():
        if name.lower() not in known:  # NULL everywhere
            conditions[name] = "TRUE" if filter[name] is None else "FALSE"
    return " AND ".join(conditions.values()) or None


def _equality(name: object, value: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f"filter must map names of metadata to values, got the name {name!r:.80}")
    column = quoted(name, '"')
    match value:
        case None:
            return f"{column} IS NULL"
        case bool():
            return f"{column} = {str(value).upper()}"
        case int():
            return f"{column} = {int(value)}"
        case float() if math.isfinite(value):
            return f"{column} = {float(value)!r}"
        case str():
            # A key that holds texts and numbers side by side is a column of JSON, where texts are in quotes.
            return f"{column} IN ({quoted(value, chr(39))}, {quoted(json.dumps(value, ensure_ascii=False), chr(39))})"
    raise UsageError(
        f"filter can ask {name!r} to be a text, a number, a boolean or None, got {value!r:.80}",
        hint="say more in SQL: filter=\"year >= 2020 AND source IN ('a', 'b')\"",
    )
