"""The arms of an evaluation, those that it generates included: a sweep of k, and one source left out at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from datastore.errors import UsageError, nearest

from .config import ArmConfig, Evaluation, FileArm, NoneArm, Options, OracleArm, RetrieverArm, WrongArm


class Arm(NamedTuple):
    """One setting that every question is asked in."""

    name: str
    config: ArmConfig
    options: Options  # those of the evaluation, or of the arm that is controlled, with the arm's own
    parent: str = ""  # the arm that it was generated of
    swept_k: int | None = None
    without: str | None = None  # the source that is left out

    @property
    def file(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^A-Za-z0-9=.-]+", "-", self.name).strip("-.")[:80] or "arm"


def expand(evaluation: Evaluation, sources_of: Callable[[ArmConfig], Sequence[str]]) -> list[Arm]:
    """The arms in the order of the evaluation, each followed by those that it generates.

    Parameters
    ----------
    sources_of
        Where an arm's passages can come from; asked only where some are kept or left out.

    Raises
    ------
    UsageError
        If two arms have one name, a `wrong` arm takes its passages from none before it, a source to keep or leave out
        is not there, or an arm is left with none.
    """
    _check_sources(evaluation, sources_of)
    arms: list[Arm] = []
    for config in evaluation.arms:
        arm = Arm(config.name or _name(config), config, evaluation.options.with_changes(config.options))
        if isinstance(config, WrongArm) and config.of != "gold" and controlled(config, arms) is None:
            raise UsageError(
                f"the arm {arm.name} shows the passages of {config.of!r} to other questions, and no arm of that name "
                "before it shows any of its own"
            )
        arms.append(arm)
        if isinstance(config, RetrieverArm | FileArm):
            arms += [
                arm._replace(
                    name=f"{arm.name} k={k}",
                    options=arm.options.model_copy(update={"k": k}),
                    parent=arm.name,
                    swept_k=k,
                )
                for k in config.ks
                if k != arm.options.k
            ]
            if config.leave_one_out:
                arms += [_without(arm, source) for source in _shown_sources(arm, sources_of(config))]
    for names in ([arm.name for arm in arms], [arm.file for arm in arms]):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"two arms are named {twice[0]!r}", hint="give one of them another name")
    _check_chosen(arms, sources_of)
    return [_as_controlled(arm, arms) for arm in arms]


def controlled(config: WrongArm, arms: Sequence[Arm]) -> Arm | None:
    """The arm whose passages are shown to other questions; None where it is gold, which is no arm."""
    return next((arm for arm in _showing(arms) if arm.name == config.of), None)


def _as_controlled(arm: Arm, arms: Sequence[Arm]) -> Arm:
    """A control differs from its arm in nothing but whose passages are shown, and what it sets itself."""
    named = controlled(arm.config, arms) if isinstance(arm.config, WrongArm) else None
    return arm if named is None else arm._replace(options=named.options.with_changes(arm.config.options))


def _showing(arms: Sequence[Arm]) -> list[Arm]:
    return [arm for arm in arms if not isinstance(arm.config, NoneArm | WrongArm)]


def _name(config: ArmConfig) -> str:
    match config:
        case RetrieverArm():
            return config.retriever
        case OracleArm():
            return f"oracle({config.retriever})"
        case FileArm():
            return Path(config.path.name.removesuffix(".gz")).stem
        case WrongArm():
            return "wrong" if config.of == "gold" else f"wrong({config.of})"
        case _:
            return config.kind


def _check_sources(evaluation: Evaluation, sources_of: Callable[[ArmConfig], Sequence[str]]) -> None:
    """What one arm cannot take passages from another may: the evaluation's options are for all of them."""
    given = (evaluation.options, *(config.options for config in evaluation.arms))
    names = [name for options in given for name in (*options.keep, *options.leave_out)]
    known = {source for config in evaluation.arms for source in sources_of(config)} if names else set()
    for name in names:
        if known and name not in known:
            raise UsageError(f"there is no source {name!r} to keep or leave out", hint=nearest(name, known))


def _check_chosen(arms: Sequence[Arm], sources_of: Callable[[ArmConfig], Sequence[str]]) -> None:
    for arm in arms:
        if not arm.options.keep and not arm.options.leave_out:
            continue
        sources = sources_of(arm.config)
        if sources and not _chosen(arm, sources):
            raise UsageError(
                f"the arm {arm.name} keeps none of its sources",
                hint=f"known: {', '.join(sources)}; options of one arm stand in the arm",
            )


def _chosen(arm: Arm, sources: Sequence[str]) -> list[str]:
    return [
        source
        for source in sources
        if source not in arm.options.leave_out and (not arm.options.keep or source in arm.options.keep)
    ]


def _shown_sources(arm: Arm, sources: Sequence[str]) -> list[str]:
    chosen = _chosen(arm, sources)
    if len(chosen) < 2:
        raise UsageError(
            f"the arm {arm.name} takes passages from {len(chosen)} source, so that none can be left out",
            hint="leave_one_out: false",
        )
    return chosen


def _without(arm: Arm, source: str) -> Arm:
    options = arm.options.model_copy(update={"leave_out": (*arm.options.leave_out, source)})
    return arm._replace(name=f"{arm.name} without {source}", options=options, parent=arm.name, without=source)
