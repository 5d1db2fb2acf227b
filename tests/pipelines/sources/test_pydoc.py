from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.document import Document
from pipelines.sources import read, units
from pipelines.sources.pydoc import PydocSource, _read_python

CONFIG = PydocSource(name="python")


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    items = [item for unit in units(CONFIG) for item in read(CONFIG, unit)]
    assert all(isinstance(item, Document) for item in items)
    found = {item.id: item for item in items if isinstance(item, Document)}
    assert len(found) == len(items), "ids are unique over all units"
    return found


@pytest.mark.parametrize(
    ("title", "kind", "module", "start"),
    [
        (
            "os.walk(top, topdown=True, onerror=None, followlinks=False)",
            "function",
            "os",
            "Directory tree generator.",
        ),
        ("os.path.join(a, *p)", "function", "os.path", "Join two or more pathname components"),
        ("os.path.exists(path)", "function", "os.path", "Test whether a path exists."),
        ("math.sqrt(x, /)", "function", "math", "Return the square root of x."),
        (
            "str.split(sep=None, maxsplit=-1)",
            "method",
            "builtins",
            "Return a list of the substrings in the string",
        ),
        ("len(obj, /)", "function", "builtins", "Return the number of items in a container."),
        (
            "fractions.Fraction.limit_denominator(max_denominator=1000000)",
            "method",
            "fractions",
            "Closest Fraction",
        ),
        (
            "pathlib.Path.cwd()",
            "method",
            "pathlib",
            "Return a new path pointing to the current working directory",
        ),
        (
            "threading.Thread.daemon",
            "method",
            "threading",
            "A boolean value indicating whether this thread is",
        ),
    ],
)
def test_a_known_object_is_there_with_its_signature(documents, title, kind, module, start):
    name, parenthesis, arguments = title.partition("(")
    document = documents[name]
    assert document.title == title
    assert document.text.startswith(start)
    expected = {"module": module, "qualified_name": name, "object": kind}
    assert document.metadata == (
        expected | {"signature": parenthesis + arguments} if parenthesis else expected
    )


def test_c_halves_are_listed_under_the_public_name(documents):
    for name in (
        "os.stat",
        "pickle.dumps",
        "io.TextIOWrapper",
        "collections.deque.append",
        "sqlite3.connect",
        "struct",
    ):
        assert documents[name].location.startswith("module ")
    assert documents["json.dumps"].location.startswith("json/__init__.py:")
    assert documents["json.dumps"].title.startswith("json.dumps(obj, *, skipkeys=False, ensure_ascii=True,")


def test_private_and_test_names_are_left_out(documents):
    parts = {part for name in documents for part in name.split(".")}
    assert not [part for part in parts if part.startswith("_")]
    assert parts.isdisjoint(
        {"idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data", "posixpath", "genericpath"}
    )
    assert not [name for name in documents if name.startswith("test")]


def test_every_document_can_be_stored_and_has_text(documents):
    for document in documents.values():
        assert document.text.strip()
        assert " at 0x" not in document.title
        json.dumps(document, ensure_ascii=False).encode("utf-8")


def test_the_library_is_as_large_as_known(documents):
    long = [document for document in documents.values() if len(document.text.split()) >= 8]
    from_c = sum(document.location.startswith("module ") for document in long)
    assert 3_800 < len(long) - from_c < 4_800
    assert 900 < from_c < 1_500


def test_reading_is_stable_and_quick(documents):
    before = time.process_time()
    again = [item for unit in units(CONFIG) for item in read(CONFIG, unit)]
    assert time.process_time() - before < 10  # 2 s on a quiet machine
    assert again == list(documents.values())
    assert [unit.name for unit in units(CONFIG)] == sorted({unit.name for unit in units(CONFIG)})


def test_pure_python_modules_are_not_imported():
    script = (
        "import sys\n"
        "from pipelines.sources import read, units\n"
        "from pipelines.sources.pydoc import PydocSource\n"
        "config = PydocSource(name='python')\n"
        "before = set(sys.modules)\n"
        "for unit in units(config): list(read(config, unit))\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    imported = run.stdout.split()
    assert "_sqlite3" in imported
    # What C modules import themselves comes along; what no C module needs must not.
    for name in (
        "antigravity",
        "this",
        "turtle",
        "tkinter",
        "sqlite3",
        "smtplib",
        "curses",
        "wave",
        "_curses",
        "nis",
    ):
        assert name not in imported


SOURCE = '''\
"""A module."""
from somewhere import *

if True:
    def under_if(a, /, b: int = 1 + 1, *rest, key="x", **others):
        """Found."""
try:
    pass
except ImportError:
    def under_try(): "Found too."

class Shape(Base):
    """A shape."""
    def __init__(self, sides=3):
        """Not a document."""
    @property
    def area(self):
        """The area."""
    @staticmethod
    def of(text):
        """Made of a text."""
    @classmethod
    async def later(cls, *, wait):
        """   Made later.

        In time.
        """
    class Inner:
        """Inside."""
    def _private(self):
        """No."""
    def undocumented(self): pass

def function():
    """Outside."""
    def inside():
        """Not reachable."""
'''


def test_definitions_of_a_module(tmp_path):
    path = tmp_path / "shapes.py"
    path.write_text(SOURCE)
    items = list(_read_python("shapes", path, "shapes.py", set()))
    assert [(item.title, item.metadata["object"], item.text, item.location) for item in items] == [
        ("shapes", "module", "A module.", "shapes.py:1"),
        (
            "shapes.under_if(a, /, b: int=1 + 1, *rest, key='x', **others)",
            "function",
            "Found.",
            "shapes.py:5",
        ),
        ("shapes.under_try()", "function", "Found too.", "shapes.py:10"),
        ("shapes.Shape(sides=3)", "class", "A shape.", "shapes.py:12"),
        ("shapes.Shape.area", "method", "The area.", "shapes.py:17"),
        ("shapes.Shape.of(text)", "method", "Made of a text.", "shapes.py:20"),
        ("shapes.Shape.later(*, wait)", "method", "Made later.\n\nIn time.", "shapes.py:23"),
        ("shapes.Shape.Inner", "class", "Inside.", "shapes.py:28"),
        ("shapes.function()", "function", "Outside.", "shapes.py:34"),
    ]


@pytest.mark.parametrize(
    "source", [b"def broken(:\n", b"x = '\xff'\n", b"\0"], ids=["syntax", "encoding", "null byte"]
)
def test_a_module_that_does_not_parse_is_set_aside(tmp_path: Path, source):
    path = tmp_path / "bad.py"
    path.write_bytes(source)
    (reject,) = _read_python("bad", path, "bad.py", set())
    assert (reject.reason, reject.location, reject.document_id) == ("invalid_python", "bad.py", "bad")
    assert reject.detail
