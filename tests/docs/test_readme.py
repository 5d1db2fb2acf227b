"""The README says what happens: its commands run, its Python prints what it shows, its table's commands work.

Commands run as they stand, with three differences: installation is left out, an evaluation's data and number of
questions are small, and its vectors are those of the `hashing` encoder.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import make_recipe

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    if language == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
] + re.findall(r"`(compendia eval [^`]+)`", README)
# What a person installs with; the environment that runs this test was made by them.
INSTALLS = {"make demo", "make install", "make test", "export PATH=$PWD/.venv/bin:$PATH"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: recipes beside the store that `make demo` builds."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "configs").symlink_to(ROOT / "configs")
    notes = folder / "notes"
    notes.mkdir()
    (notes / "tea.md").write_text("# Tea\n\nGreen tea is steeped at eighty degrees.")
    (folder / "questions.jsonl").write_text('{"id": "q1", "text": "How hot is the water for tea?"}')
    demo = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert demo is not None
    for line in demo[1].splitlines():
        run(folder, line.strip().replace("$(BIN)/", ""))
    return folder


def run(folder: Path, command: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=2_400,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def small(command: str) -> str:
    """An evaluation on few questions."""
    return f"{command} --limit 3" if command.startswith("compendia eval llm") else command


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in dict.fromkeys(COMMANDS) if line not in INSTALLS])
def test_a_command_of_the_readme_works(request, checkout, command):
    if not command.startswith(("compendia eval", "compendia build configs/reference-shelf")):
        assert run(checkout, command)
        return
    data = request.getfixturevalue("test_data")
    if not (checkout / "data").exists():
        (checkout / "data").symlink_to(data)
    assert run(checkout, small(command), COMPENDIA__ENCODER__MODEL="hashing")


@pytest.mark.slow
def test_the_python_of_the_readme_prints_what_it_shows(checkout):
    pairs = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL
    )
    assert pairs
    for code, shown in pairs:
        printed = subprocess.run(
            [sys.executable, "-c", code],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout
        assert printed == shown


def test_every_python_block_compiles():
    for language, block in BLOCKS:
        if language == "python":
            compile(block, "README.md", "exec")


def test_every_recipe_of_the_readme_loads():
    recipes = [yaml.safe_load(block) for language, block in BLOCKS if language == "yaml"]

    assert recipes
    for recipe in recipes:
        assert make_recipe(recipe, environment={}).name


def test_every_path_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
