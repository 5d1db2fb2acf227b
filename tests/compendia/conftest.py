from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from compendia.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Invoke = Callable[..., Outcome]


@pytest.fixture
def invoke(monkeypatch, capsys, tmp_path) -> Invoke:
    """`invoke("build", folder, …)` as typed in an empty folder, with the encoder that needs no model."""
    monkeypatch.setenv("COMPENDIA__ENCODER__MODEL", "hashing")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["compendia", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        code = exit_.value.code
        assert isinstance(code, int)
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run
