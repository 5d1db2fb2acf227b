"""The docstrings of the running Python's standard library: real text that every installation carries.

Pure-Python modules are parsed, never imported. Built-in and extension modules have no source, so those that are
public, or the C half of a public module, are imported; their objects are listed under the public name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import platform
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ..document import Document, Reject
from .config import SourceBase
from .unit import Unit

VERSION = 1

_SKIPPED = {"idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data"}
_SKIPPED_C = {"_curses", "nis", "readline"}  # they touch the terminal, or are of no use to a reader
# Modules that are known by another name; the first wins where both define one.
_PUBLIC_NAMES = {"posixpath": "os.path", "genericpath": "os.path", "sqlite3.dbapi2": "sqlite3"}
# C halves that are not named after their public module.
_HALF_OF = {"posix": "os", "pyexpat": "expat", "_gdbm": "gnu"}
# "$self, ", "$module, " and the slash behind it: what a caller does not write.
_IMPLICIT_ARGUMENT = re.compile(r"\(\$\w+(?:, /)?(?:, )?")
# How decorators end that make a method into a value.
_OF_A_PROPERTY = ("property", ".setter", ".deleter")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class PydocSource(SourceBase):
    """The documentation of modules, classes, functions and methods, one document each."""

    kind: Literal["pydoc"] = "pydoc"


def _is_public(name: str) -> bool:
    return name.isidentifier() and not name.startswith(("_", "test")) and name not in _SKIPPED


def _python_modules(library: Path) -> dict[str, list[Path]]:
    """Source files by the public name of their module."""
    found: dict[str, Path] = {}
    for root, folders, files in os.walk(library):
        folders[:] = [name for name in folders if _is_public(name)]
        for path in (Path(root, name) for name in files if name.endswith(".py")):
            parts = path.relative_to(library).with_suffix("").parts
            if parts[-1] == "__init__" or _is_public(parts[-1]):
                found[".".join(part for part in parts if part != "__init__")] = path
    modules: dict[str, list[Path]] = {}
    renamed = [name for name in _PUBLIC_NAMES if name in found]
    for name in sorted(found.keys() - set(renamed)) + renamed:
        modules.setdefault(_PUBLIC_NAMES.get(name, name), []).append(found[name])
    return modules


def _c_modules(library: Path) -> set[str]:
    extensions = {path.name.partition(".")[0] for path in (library / "lib-dynload").glob("*.*")}
    return {name for name in extensions.union(sys.builtin_module_names) if name not in _SKIPPED_C}


def _is_public_c(name: str) -> bool:
    return not name.startswith(("_", "xx")) and name not in _HALF_OF


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def units(_config: PydocSource) -> list[Unit]:
    """One unit for each first letter of a public module, so that nothing is in two of them."""
    library = _library()
    names = [*_python_modules(library), *filter(_is_public_c, _c_modules(library))]
    identity = f"{platform.python_implementation()} {platform.python_version()} reader {VERSION}"
    return [Unit(letter, str(library), identity) for letter in sorted({name[0].lower() for name in names})]


def read(_config: PydocSource, unit: Unit) -> Iterator[Document | Reject]:
    """The documents of the modules with one first letter; see `sources.read`. The first of equal ids is kept."""
    seen: set[str] = set()
    for item in _read_letter(Path(unit.place), unit.name):
        if isinstance(item, Document):
            if item.id in seen:
                continue
            seen.add(item.id)
        yield item


def _read_letter(library: Path, letter: str) -> Iterator[Document | Reject]:
    c_modules = _c_modules(library)
    for module, paths in sorted(_python_modules(library).items()):
        if module[0].lower() == letter:
            for path in paths:
                yield from _read_python(module, path, path.relative_to(library).as_posix(), c_modules)
    for module in sorted(filter(_is_public_c, c_modules)):
        if module[0].lower() == letter:
            yield from _read_c(module, module, None)


def _document(
    module: str, name: str, kind: str, docstring: str | None, location: str, signature: str | None = None
) -> Iterator[Document]:
    """The document of one object, if it has a docstring."""
    text = inspect.cleandoc(docstring or "")
    if text:
        metadata = {"module": module, "qualified_name": name, "object": kind}
        if signature is not None:
            metadata["signature"] = signature
        yield Document(name, name + (signature or ""), text, metadata, location)


def _read_python(module: str, path: Path, location: str, c_modules: set[str]) -> Iterator[Document | Reject]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own escapes and literals
            tree = ast.parse(path.read_bytes())
    except OSError as error:
        yield Reject("unreadable", location, module, str(error), "")
        return
    except (SyntaxError, ValueError, RecursionError) as error:
        yield Reject("invalid_python", location, module, str(error), "")
        return
    yield from _document(module, module, "module", ast.get_docstring(tree), f"{location}:1")
    yield from _read_definitions(module, module, tree.body, location, in_class=False)
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module in c_modules and _is_half(node.module, module):
            names = {alias.asname or alias.name for alias in node.names}
            yield from _read_c(module, node.module, None if "*" in names else names)


def _is_half(c_module: str, module: str) -> bool:
    """Whether a C module holds part of a public module: `_io` of io, `_elementtree` of xml.etree.ElementTree."""
    stem = _HALF_OF.get(c_module, c_module.lstrip("_"))
    package, last = module.partition(".")[0], module.rpartition(".")[2].lower()
    return not _is_public_c(c_module) and stem in (package, last)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run with a body: those under `if` and `try` too, those in definitions not."""
    for node in body:
        yield node
        if not isinstance(node, _Function | ast.ClassDef):
            for block in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(node, block, []):
                    yield from _statements(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _read_definitions(
    module: str, owner: str, body: list[ast.stmt], location: str, *, in_class: bool
) -> Iterator[Document]:
    for node in _statements(body):
        if not isinstance(node, _Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        name, place = f"{owner}.{node.name}", f"{location}:{node.lineno}"
        docstring = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            methods = {inner.name: inner for inner in node.body if isinstance(inner, _Function)}
            signature = _signature(methods["__init__"], bound=True) if "__init__" in methods else None
            yield from _document(module, name, "class", docstring, place, signature)
            yield from _read_definitions(module, name, node.body, location, in_class=True)
        else:
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            is_bound = in_class and "staticmethod" not in decorators
            is_called = not any(decorator.endswith(_OF_A_PROPERTY) for decorator in decorators)
            signature = _signature(node, bound=is_bound) if is_called else None
            kind = "method" if in_class else "function"
            yield from _document(module, name, kind, docstring, place, signature)


def _signature(node: _Function, *, bound: bool) -> str:
    """`(top, topdown=True)`: as one calls it, without the instance or class it is bound to."""
    positional = node.args.posonlyargs or node.args.args
    shown = positional[1:] if bound else positional
    kind = "posonlyargs" if node.args.posonlyargs else "args"
    return f"({ast.unparse(ast.arguments(**{**vars(node.args), kind: shown}))})"


def _read_c(module: str, c_module: str, names: set[str] | None) -> Iterator[Document | Reject]:
    """The objects of a C module, or the named ones, under a public module."""
    location = f"module {c_module}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated modules are documentation all the same
            namespace = vars(importlib.import_module(c_module))
    except ImportError as error:
        yield Reject("import_error", location, module, str(error), "")
        return
    if module == c_module or "__doc__" in (names or ()):
        yield from _document(module, module, "module", namespace["__doc__"], location)
    prefix = "" if module == "builtins" else f"{module}."
    for name in sorted(namespace if names is None else names & namespace.keys()):
        value = namespace[name]
        if name.startswith("_") or getattr(value, "__name__", None) != name:
            continue  # private, or a second name of another object
        if inspect.isclass(value):
            yield from _c_document(module, prefix + name, "class", value, location)
            for method_name, method in sorted(vars(value).items()):
                function = getattr(method, "__func__", method)  # of a static or class method
                if not method_name.startswith("_") and inspect.isroutine(function):
                    yield from _c_document(
                        module, f"{prefix}{name}.{method_name}", "method", function, location
                    )
        elif inspect.isbuiltin(value):
            yield from _c_document(module, prefix + name, "function", value, location)


def _c_document(module: str, name: str, kind: str, value: Any, location: str) -> Iterator[Document]:
    """The document of a C object, with the signature that its source gives."""
    given: str | None = getattr(value, "__text_signature__", None)
    signature = None if given is None else _IMPLICIT_ARGUMENT.sub("(", " ".join(given.split()))
    yield from _document(module, name, kind, value.__doc__, location, signature)
