"""What can go wrong, and the exit code that the command line gives it.

CompendiaError              1
├── UsageError              2  an argument or a recipe that cannot mean anything; also a ValueError
├── NotFoundError           3  a store, a file or a model that is not there
├── IntegrityError          4  a store whose files are not what its manifest says
├── OverBudgetError         5  a store that would need more RAM than it may have
├── SearchTimeoutError      1  a search that took longer than it may; also a TimeoutError
└── MissingPackageError     1  an optional package that this call needs; also an ImportError
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class CompendiaError(Exception):
    """An error that says what is wrong and, in `hint`, the command or value that mends it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class UsageError(CompendiaError, ValueError):
    exit_code = 2


class NotFoundError(CompendiaError):
    exit_code = 3


class IntegrityError(CompendiaError):
    exit_code = 4


class OverBudgetError(CompendiaError):
    exit_code = 5


class SearchTimeoutError(CompendiaError, TimeoutError):
    exit_code = 1


class MissingPackageError(CompendiaError, ImportError):
    exit_code = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean "x"?`, or the list of what is known when nothing is near."""
    names = sorted(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f'did you mean "{match[0]}"?' if match else "known: " + ", ".join(names)


def optional_import(module: str, *, extra: str) -> ModuleType:
    """Import a package of an extra, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingPackageError(
            f"this needs the package {package}, which is not installed",
            hint=f'pip install "compendia[{extra}]"',
        ) from error
