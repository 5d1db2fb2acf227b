"""Text to chain: the inverse of `str`. Names, numbers, strings, calls and `>>`; nothing is evaluated."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from datastore import UsageError
from datastore.errors import nearest
from datastore.protocols import LanguageModel

from .bm25 import bm25
from .decontaminate import decontaminated
from .dense import dense
from .diverse.selectors import coverage, dpp, mmr
from .fusion import rrf, weighted
from .graph import graph
from .multivector import maxsim, multivector
from .neighbours import neighbours
from .protocol import Chain
from .rerank import rerank
from .rerank_lm import LanguageModelRerank, rerank_lm
from .router import router
from .selectors import Selector
from .sparse import sparse


class _NamedChain(Chain, Protocol):
    """A chain that is called for others of its kind."""

    def __call__(self, *arms: Any, **parameters: Any) -> Chain: ...


CHAINS: Mapping[str, _NamedChain] = {
    "bm25": bm25,
    "decontaminated": decontaminated,
    "dense": dense,
    "multivector": multivector,
    "router": router,
    "rrf": rrf,
    "sparse": sparse,
    "weighted": weighted,
}
# A selector is called for others of its kind as well.
SELECTORS: Mapping[str, Callable[..., Selector]] = {
    "coverage": coverage,
    "dpp": dpp,
    "graph": graph,
    "maxsim": maxsim,
    "mmr": mmr,
    "neighbours": neighbours,
    "rerank": rerank,
    "rerank_lm": rerank_lm,
}


def parse(text: str, language_models: Mapping[str, LanguageModel] | None = None) -> Chain:
    """The chain that `text` writes: `dense`, `rrf(dense(candidates=200), bm25) >> rerank(candidates=20)`.

    Parameters
    ----------
    language_models
        By the names that the text has for them. A chain that names another one can be read, printed and compared; to
        search with it is an error.

    Raises
    ------
    UsageError
        If it is malformed, names a chain or a parameter that does not exist, or gives one a value it cannot take.
    """
    try:
        chain = text.strip()
        # In parentheses it may go over several lines.
        tree = ast.parse(f"({chain}\n)" if chain else chain, mode="eval")
        return _chain(tree.body, language_models or {})
    except UsageError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"cannot read the retriever {text!r:.200}", hint="write it like rrf(dense(candidates=200), bm25)"
        ) from error


def _chain(node: ast.expr, models: Mapping[str, LanguageModel]) -> Chain:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
        return _chain(node.left, models) >> _selector(node.right, models)
    name = _name(node)
    if name is None:
        raise UsageError(f"{ast.unparse(node)} is not a retriever", hint=_known(CHAINS))
    if name in SELECTORS:
        raise UsageError(
            f"{name} selects from the hits of a retriever, and stands behind one", hint=f"dense >> {name}"
        )
    if name not in CHAINS:
        raise UsageError(f"there is no retriever {name!r}", hint=_nearest_and_known(name, CHAINS))
    chain = CHAINS[name]
    if not isinstance(node, ast.Call):
        return chain
    parameters = _parameters(name, chain, node)
    return chain(*(_chain(argument, models) for argument in node.args), **parameters)


def _selector(node: ast.expr, models: Mapping[str, LanguageModel]) -> Selector:
    name = _name(node)
    if name is None or name in CHAINS:
        raise UsageError(
            f"{ast.unparse(node)} is not a selector: it cannot stand behind >>", hint=_known(SELECTORS)
        )
    if name not in SELECTORS:
        raise UsageError(f"there is no selector {name!r}", hint=_nearest_and_known(name, SELECTORS))
    selector = SELECTORS[name]
    chosen = selector(**_parameters(name, selector, node)) if isinstance(node, ast.Call) else selector()
    if isinstance(chosen, LanguageModelRerank):
        chosen = replace(chosen, language_model=models.get(chosen.model))
    return chosen


def _name(node: ast.expr) -> str | None:
    """Of `name` and `name(…)`."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.id if isinstance(called, ast.Name) else None


def _parameters(name: str, called: Callable[..., object], node: ast.Call) -> dict[str, object]:
    accepted = inspect.signature(called).parameters
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
    return parameters


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
