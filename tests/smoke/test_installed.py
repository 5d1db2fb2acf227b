"""What must work from the wheel alone; `make smoke` runs it where the source cannot be reached."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif((ROOT / "compendia").exists(), reason="runs beside the source tree")
@pytest.mark.parametrize("folder", ["compendia", "pipelines", "datastore", "retrievers", "eval"])
def test_the_packages_are_the_installed_ones(folder):
    file = importlib.import_module(folder).__file__

    assert file is not None
    assert Path(file).is_relative_to(sys.prefix)


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_from_a_folder_to_an_answer_with_the_installed_command(tmp_path, executor):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tea.md").write_text("# Tea\n\nGreen tea is steeped at eighty degrees.")
    (notes / "more.jsonl").write_text('{"id": "m", "text": "The moon has no air."}\nbroken\n')
    command = str(Path(sys.executable).with_name("compendia"))

    def compendia(*arguments: str) -> str:
        return subprocess.run(
            [command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    compendia("build", "notes", "--out", "store", "--set", "encoder.model=hashing", "--executor", executor)

    found = json.loads(compendia("search", "store", "how hot is green tea", "-k", "1", "--json"))
    assert found["hits"][0]["document_id"] == "tea.md"
    info = json.loads(compendia("info", "store", "--json"))
    assert info["sources"]["notes"]["dropped"] == {"invalid_json": 1}
    assert "every file is as it was written" in compendia("verify", "store")
