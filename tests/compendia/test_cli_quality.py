"""`compendia quality train`: what it writes, prints and refuses."""

from __future__ import annotations

import json

import pytest

from pipelines.filters.batch import TextBatch
from pipelines.filters.quality import QualityFilter

pytestmark = pytest.mark.smoke

GOOD = "the moon pulls the sea and so the tide is defined as the rise of the water under it "
BAD = "click here to buy cheap pills now sign up you will love the best price of the web "


@pytest.fixture
def samples(tmp_path):
    books = [{"id": str(i), "text": GOOD * (3 + i % 5)} for i in range(20)]
    (tmp_path / "books.jsonl").write_text("".join(json.dumps(book) + "\n" for book in books))
    pages = tmp_path / "pages"
    pages.mkdir()
    for i in range(20):
        (pages / f"{i}.txt").write_text(BAD * (3 + i % 5))
    return ("--positive", tmp_path / "books.jsonl", "--negative", pages)


def test_a_trained_model_serves_the_filter(invoke, samples, tmp_path):
    outcome = invoke("quality", "train", *samples, "--out", tmp_path / "new" / "q.safetensors", "--json")

    config = QualityFilter(model=str(tmp_path / "new" / "q.safetensors"))
    assert outcome.json == {
        "schema": "compendia.quality.train/1",
        "model": str(tmp_path / "new" / "q.safetensors"),
        "content_hash": config.content_hash(),
        "held_out_auc": 1.0,
        "trained_on": {
            "positive": {
                str(tmp_path / "books.jsonl"): outcome.json["trained_on"]["positive"][str(samples[1])]
            },
            "negative": {str(tmp_path / "pages"): outcome.json["trained_on"]["negative"][str(samples[3])]},
            "piece_words": [30, 300],
            "penalty": 5e-05,
            "seed": 0,
        },
    }
    good, bad = config.scores(TextBatch([GOOD, BAD]))["quality_score"]
    assert good > 0.5 > bad


def test_the_same_command_writes_the_same_file(invoke, samples, tmp_path):
    for name in ("a", "b"):
        outcome = invoke("quality", "train", *samples, "--out", tmp_path / f"{name}.safetensors", "--seed", 3)
        assert outcome.code == 0
        assert "AUC 1.0" in outcome.out

    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_what_cannot_be_trained_on_is_refused(invoke, samples, tmp_path):
    (tmp_path / "short.txt").write_text("a few words")
    out = tmp_path / "q.safetensors"

    for arguments, code, message in (
        ((*samples, "--out", tmp_path / "q.pickle"), 2, ".safetensors"),
        (
            (*samples, "--positive", tmp_path / "short.txt", "--out", out),
            2,
            "short.txt holds no text of 30 words",
        ),
        ((*samples, "--positive", tmp_path / "none", "--out", out), 3, "does not exist"),
        (("--positive", tmp_path / "short.txt", "--out", out), 2, "--negative"),
    ):
        outcome = invoke("quality", "train", *arguments)
        assert (outcome.code, message in outcome.err) == (code, True), outcome.err
    assert not out.exists()


def test_samples_that_cannot_be_told_apart_are_refused_or_warned_of(invoke, samples, tmp_path):
    books, out = samples[1], tmp_path / "q.safetensors"
    same = invoke("quality", "train", "--positive", books, "--negative", books, "--out", out)
    assert (same.code, "is both positive and negative" in same.err) == (2, True)
    copy = tmp_path / "copy.jsonl"
    copy.write_text(books.read_text())
    alike = invoke("quality", "train", "--positive", books, "--negative", copy, "--out", out)
    assert (alike.code, "WARNING: it hardly tells good from bad" in alike.out) == (0, True)


def test_too_few_samples_give_no_auc_and_it_is_said(invoke, samples, tmp_path):
    (tmp_path / "few.jsonl").write_text(json.dumps({"text": GOOD * 5}))
    few = ("--positive", tmp_path / "few.jsonl", *samples[2:])
    assert "no AUC: every tenth document" in invoke("quality", "train", *few, "--out", "q.safetensors").out
