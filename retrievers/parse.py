"""Text to chain: the inverse of `str`. Names, numbers, strings and calls; nothing is evaluated."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from datastore import UsageError
from datastore.errors import nearest

from .bm25 import bm25
from .decontaminate import decontaminated
from .dense import dense
from .fusion import rrf, weighted
from .protocol import Chain


class _NamedChain(Chain, Protocol):
    """A chain that is called for others of its kind."""

    def __call__(self, *arms: Any, **parameters: Any) -> Chain: ...


CHAINS: Mapping[str, _NamedChain] = {
    "bm25": bm25,
    "decontaminated": decontaminated,
    "dense": dense,
    "rrf": rrf,
    "weighted": weighted,
}


def parse(text: str) -> Chain:
    """The chain that `text` writes: `dense`, `rrf(dense(candidates=200), bm25)`.

    Raises
    ------
    UsageError
        If it is malformed, names a chain or a parameter that does not exist, or gives one a value it cannot take.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"cannot read the retriever {text!r}", hint="write it like rrf(dense(candidates=200), bm25)"
        ) from error
    return _chain(tree.body)


def _chain(node: ast.expr) -> Chain:
    if isinstance(node, ast.Name):
        return _named(node.id)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise UsageError(f"{ast.unparse(node)} is not a retriever", hint=_known(CHAINS))
    name = node.func.id
    chain = _named(name)
    accepted = inspect.signature(chain).parameters
    if node.args and not any(p.kind is p.VAR_POSITIONAL for p in accepted.values()):
        raise UsageError(
            f"{name} takes its parameters by name, got {ast.unparse(node.args[0])}", hint=_known(accepted)
        )
    known = [p.name for p in accepted.values() if p.kind is p.KEYWORD_ONLY]
    parameters: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise UsageError(
                f"{name} takes its parameters one by one, not as {ast.unparse(keyword)}", hint=_known(known)
            )
        if keyword.arg not in known:
            raise UsageError(
                f"{name} has no parameter {keyword.arg!r}", hint=_nearest_and_known(keyword.arg, known)
            )
        if keyword.arg in parameters:
            raise UsageError(f"{name} is given {keyword.arg} twice")
        parameters[keyword.arg] = _value(keyword.value)
    return chain(*map(_chain, node.args), **parameters)


def _named(name: str) -> _NamedChain:
    if name not in CHAINS:
        raise UsageError(f"there is no retriever {name!r}", hint=_nearest_and_known(name, CHAINS))
    return CHAINS[name]


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(map(_value, elements))
    raise UsageError(
        f"{ast.unparse(node)} is not a value", hint="values are numbers, 'text', None and (1, 2)"
    )


def _known(names: Iterable[str]) -> str:
    return "known: " + ", ".join(sorted(names))


def _nearest_and_known(word: str, names: Iterable[str]) -> str:
    """`nearest`, and the list in any case."""
    suggestion, known = nearest(word, names), _known(names)
    return known if suggestion == known else f"{suggestion} {known}"
