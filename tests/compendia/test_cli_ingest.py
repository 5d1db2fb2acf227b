"""The commands of ingestion: dry run, refilter, decontamination, adding without copies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def compendia(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compendia", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


QUESTION = "Which of these rivers carries the most water to the sea in a year that has an ordinary amount of rain and snow?"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Forty notes of 3 to 42 words, one of which holds an evaluation question."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(40):
        words = [f"word{number * 50 + i}" for i in range(3 + number)]
        (notes / f"note-{number:02d}.txt").write_text(" ".join(words) + ".")
    (notes / "leak.txt").write_text(f"A quiz of last year.\n\n{QUESTION.upper()} The answer is the Amazon.")
    (tmp_path / "questions.jsonl").write_text(json.dumps({"id": "q1", "question": QUESTION}))
    path = tmp_path / "recipe.yaml"
    content = {
        "name": "t",
        "sources": [{"name": "notes", "kind": "files", "path": "notes", "license": "CC0-1.0"}],
        "encoder": {"model": "hashing"},
        "root": str(tmp_path),
        "decontaminate": {"questions": ["quiz=questions.jsonl"]},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_dry_run_says_what_would_be_done_and_does_nothing(recipe, tmp_path):
    done = compendia("build", recipe, "--out", tmp_path / "store", "--dry-run", "--json")

    plan = json.loads(done.stdout)
    (source,) = plan["sources"]
    assert (source["units"], source["new"], source["license"]) == (41, 41, "CC0-1.0")
    assert source["basis"] == "sample"
    assert 20 <= plan["passages"] <= 80
    assert plan["store"]["rows"] == plan["passages"]
    assert plan["feature_bytes"].keys() == {"bm25"}
    assert not (tmp_path / "store").exists()

    compendia("build", recipe, "--out", tmp_path / "store")
    (tmp_path / "notes" / "note-00.txt").unlink()
    (tmp_path / "notes" / "late.txt").write_text("A late note of some words.")

    text = compendia("build", recipe, "--out", tmp_path / "store", "--dry-run").stdout
    assert text.splitlines()[1].split()[:3] == ["notes", "41", "1"]
    assert "1 files that the last build read are not there any more" in text


def test_what_was_not_read_is_said_at_the_end(recipe, tmp_path):
    (tmp_path / "notes" / "table.csv").write_text("a,b")
    (tmp_path / "notes" / "old.txt.gz").write_bytes(b"no archive")

    lines = compendia("build", recipe, "--out", tmp_path / "store").stdout.splitlines()

    assert "notes: without a reader: 1 .csv" in lines
    assert lines[-2].startswith("WARNING: 1 files of notes are broken or cannot be read")
    assert lines[-2].endswith("old.txt.gz (broken_archive)")


def test_passages_that_give_away_a_question_are_left_out_and_reported(recipe, tmp_path):
    done = compendia("build", recipe, "--out", tmp_path / "store")

    assert "notes: 1 passages left out, since they give away questions" in done.stdout
    (report,) = (tmp_path / "store" / "builds").glob("*.leaks.jsonl")
    (leak,) = map(json.loads, report.read_text().splitlines())
    assert (leak["passage_id"], leak["task"], leak["item"]) == ("notes/leak.txt#0", "quiz", "q1")
    assert leak["span"].startswith("WHICH OF THESE RIVERS")
    found = json.loads(compendia("search", tmp_path / "store", QUESTION, "--json").stdout)
    assert "notes/leak.txt#0" not in {hit["passage_id"] for hit in found["hits"]}


def test_the_report_of_leaks_names_nothing_that_is_in_the_store(recipe, tmp_path):
    compendia("build", recipe, "--out", tmp_path / "store")
    compendia("delete", tmp_path / "store", "--document", "note-00.txt")
    (tmp_path / "questions.jsonl").write_text(
        '{"id": "q2", "question": "Who wrote the sixth of the seven books?"}'
    )

    compendia("build", recipe, "--out", tmp_path / "store", "--replace")

    assert "notes/leak.txt#0" in compendia("search", tmp_path / "store", QUESTION, "--json").stdout
    report = tmp_path / "store" / "builds" / f"{_build(tmp_path / 'store')}.leaks.jsonl"
    assert report.read_text() == ""


def test_refilter_and_its_account(recipe, tmp_path):
    compendia("build", recipe, "--out", tmp_path / "store")

    done = compendia("refilter", tmp_path / "store", "--set", "filters.length.min_words=13", "--json")

    info = json.loads(done.stdout)
    assert (info["version"], info["changed"], info["passages"]) == (2, True, 30)
    assert info["sources"]["notes"]["dropped"] == {"too_short": 10}
    refused = compendia("refilter", tmp_path / "store", "--set", "encoder.model=offline", check=False)
    assert refused.returncode == 2
    assert "not encoder.model" in refused.stderr
    (page,) = (tmp_path / "store" / "builds").glob(f"{_build(tmp_path / 'store')}.html")
    html = page.read_text()
    assert "too_short" in html
    assert "10 (24.4%)" in html


def _build(store: Path) -> str:
    version = (store / "CURRENT").read_text().strip()
    return json.loads((store / "versions" / f"{int(version):08d}.json").read_text())["build"]


def test_add_does_not_bring_in_what_is_there(recipe, tmp_path):
    compendia("build", recipe, "--out", tmp_path / "store")
    known = (tmp_path / "notes" / "note-30.txt").read_text()
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "\n".join(
            json.dumps({"id": name, "text": text})
            for name, text in (("a", known.upper()), ("b", "New."), ("c", "NEW."))
        )
    )

    done = compendia("add", tmp_path / "store", rows)

    assert "2 rows left out: the store or other rows have their texts, or nearly the same" in done.stdout
    assert "  a resembles note-30.txt\n  c resembles b\n" in done.stdout
    assert "1 rows added" in done.stdout
    added = json.loads(compendia("add", tmp_path / "store", rows, "--upsert", "--copies", "--json").stdout)
    assert (added["added"], added["skipped"]) == (3, 0)
