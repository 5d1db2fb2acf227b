from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import Recipe, make_recipe

TOPICS = ["tides", "volcanoes", "comets", "rivers", "glaciers", "deserts", "forests", "storms"]


def _write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of two sources: 120 articles in three files, and 30 notes of which some repeat articles."""
    folder = tmp_path / "corpus"
    articles = [
        {
            "id": f"a{i}",
            "title": f"Article {i} on {TOPICS[i % 8]}",
            "text": " ".join(
                f"Sentence {j} of article {i} is about {TOPICS[(i + j) % 8]}." for j in range(1 + i % 60)
            ),
            "year": 1900 + i,
        }
        for i in range(120)
    ]
    for part in range(3):
        _write_jsonl(folder / "articles" / f"part-{part}.jsonl", articles[part * 40 : part * 40 + 40])
    notes = [
        {"id": f"n{i}", "text": f"Note {i} says that {TOPICS[i % 8]} are well worth seeing."}
        for i in range(20)
    ]
    copies = [{"id": f"c{i}", "text": articles[i]["text"].upper()} for i in range(10)]
    _write_jsonl(folder / "notes" / "all.jsonl", notes + copies)
    return folder


@pytest.fixture
def recipe(corpus: Path) -> Recipe:
    """The corpus in shards small enough for many of each kind, with the encoder that needs no model."""
    return make_recipe(
        {
            "name": "test",
            "root": str(corpus),
            "sources": [
                {"name": "articles", "kind": "files", "path": "articles"},
                {"name": "notes", "kind": "files", "path": "notes"},
            ],
            "filters": {"length": {"min_words": 9}},
            "encoder": {"model": "hashing", "max_tokens": 64},
            "shard": {"documents": 16, "characters": 20_000},
        },
        environment={},
    )


@pytest.fixture
def jsonl() -> Callable[[Path, list[dict[str, Any]]], None]:
    return _write_jsonl


@pytest.fixture
def content_of() -> Callable[[Path], dict[str, bytes]]:
    """`content_of(store)`: the bytes of all that is content, which is everything but times and hosts."""

    def contents(store: Path) -> dict[str, bytes]:
        return {
            str(file.relative_to(store)): file.read_bytes()
            for file in sorted(store.rglob("*"))
            if file.is_file() and file.relative_to(store).parts[0] not in {"builds", "LOCK"}
        }

    return contents
