"""What a recipe names beside its sources: whether all of it is there, before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from datastore import CompendiaError, NotFoundError
from datastore.decontamination import Question
from datastore.encoders import load_encoder
from datastore.kinds import kind_module

from .filters import score_settings
from .recipe import Recipe


def faults(recipe: Recipe, *, fetch: bool = True) -> Iterator[CompendiaError]:
    """What a build would stop at: lists, models and encoders that are not there, or not what they are taken for.

    Without `fetch` the network is not used, and what may come from there is no fault.
    """
    checks: list[Callable[[], Any]] = [
        partial(score_settings, recipe.filters_of(source.name)) for source in recipe.sources
    ]
    encoders = [one for one in (recipe.encoder, recipe.exact_encoder) if one is not None]
    checks += [partial(load_encoder, encoder, fetch=fetch) for encoder in encoders]
    checks += [
        partial(kind_module(one.kind).fingerprint, one, fetch=fetch) for one in recipe.rooted_features()
    ]
    seen = set()
    for check in checks:
        fault = _fault(check)
        if fault is None or str(fault) in seen or (isinstance(fault, NotFoundError) and not fetch):
            continue
        seen.add(str(fault))
        yield fault


def question_fault(questions: Iterable[Question]) -> CompendiaError | None:
    """What is wrong with the first of the questions' files that cannot be read."""
    return _fault(lambda: sum(1 for _ in questions))


def _fault(check: Callable[[], Any]) -> CompendiaError | None:
    try:
        check()
    except CompendiaError as error:
        return error
    return None
