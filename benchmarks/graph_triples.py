"""Triples as a user might bring them: what a dozen patterns say of persons and works, where both ends have a document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from datastore import Datastore

_NAME = r"(?P<name>[A-Z][\w.'\u2019-]*(?: (?:of|the|de|von|van|and) [A-Z][\w.'\u2019-]*| [A-Z][\w.'\u2019-]*){0,5})"
_RELATIONS = (
    *("directed by", "written by", "produced by", "composed by", "performed by", "founded by", "created by"),
    *("starring", "son of", "daughter of", "brother of", "sister of", "mother of", "father of", "wife of"),
    *("husband of", "married", "album by", "song by", "located in", "born in"),
)
_PATTERN = re.compile(rf"\b(?P<relation>{'|'.join(_RELATIONS)})(?: the)?(?: [a-z-]+){{0,3}} {_NAME}")


def write_triples(store: Datastore, path: Path) -> int:
    """A .tsv of (document, relation, document) for `index add graph --set own=…`; how many there are."""
    documents: dict[str, set[str]] = defaultdict(set)
    columns = (store.read_column(name) for name in ("document_id", "title", "text"))
    passages = list(zip(*columns, strict=True))
    for document, title, _ in passages:
        documents[_bare(title)].add(document)
    triples = {
        (document, relation, target)
        for document, _, text in passages
        for relation, name in _said(text)
        for target in _named(name, documents)
        if target != document
    }
    path.write_text("".join(f"{'	'.join(triple)}\n" for triple in sorted(triples)), encoding="utf-8")
    return len(triples)


def _said(text: str) -> Iterator[tuple[str, str]]:
    for match in _PATTERN.finditer(text):
        yield match["relation"], match["name"]


def _named(name: str, documents: dict[str, set[str]]) -> set[str]:
    """The documents of the longest beginning of a name that is a title."""
    parts = name.split()
    beginnings = (_bare(" ".join(parts[:count])) for count in range(len(parts), 0, -1))
    return next((documents[one] for one in beginnings if one in documents), set())


def _bare(title: str) -> str:
    """Without what tells namesakes apart, and a full stop at the end."""
    return re.sub(r"\s*\([^)]*\)$", "", title).rstrip(".").casefold()
