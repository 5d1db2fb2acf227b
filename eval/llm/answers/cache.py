"""Answers that were given before, by all that they depend on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datastore.errors import CompendiaError
from datastore.files import content_key

_FILE = "answers.sqlite"


class AnswerCache:
    """A folder with one SQLite file, which several processes may use at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _FILE
        try:
            # The sample log is what must outlive a power cut; an answer lost here is asked again.
            self._connection = sqlite3.connect(self._path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            raise CompendiaError(
                f"{self._path} cannot be used: {error}", hint="remove it, or name another cache"
            ) from error

    def get(self, keys: Sequence[str]) -> list[Any | None]:
        """The answer to each key, None where there is none."""
        found = []
        for key in keys:
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
            found.append(None if row is None else json.loads(row[0]))
        return found

    def put(self, answers: Mapping[str, Any]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?)",
            [(key, json.dumps(answer, ensure_ascii=False)) for key, answer in answers.items()],
        )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


def answer_key(engine: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """Names an answer by the engine's fingerprint and by all of the request: prompt, continuations, parameters."""
    return content_key(engine, request)
