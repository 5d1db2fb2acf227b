from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from pipelines import build
from pipelines.page import page


class _Text(HTMLParser):
    """Texts of table cells, and whether every tag that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 (the signature of its parent)
        if tag not in ("meta", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def account_of(store: Path) -> tuple[dict, list[dict]]:
    (file,) = (store / "builds").glob("*.json")
    rejects = file.with_name(f"{file.stem}.rejects.jsonl").read_text().splitlines()
    return json.loads(file.read_text()), [json.loads(line) for line in rejects]


def test_the_page_has_every_rule_with_what_goes_in_and_out(recipe, tmp_path):
    build(recipe, tmp_path / "store")
    account, rejects = account_of(tmp_path / "store")

    html = page(account, rejects)

    parsed = _Text()
    parsed.feed(html)
    assert parsed.open == []
    notes = parsed.cells[-14:]
    assert notes[:3] == ["too_short", "30", "29"]
    assert notes[7:10] == ["exact_duplicate", "29", "20"]
    read = account["sources"]["notes"]["read"]
    assert notes[3] == f"{read['words']:,}"
    assert "http" not in html.replace("http-equiv", "")  # nothing is fetched


def test_what_is_set_aside_cannot_write_into_the_page(recipe, tmp_path):
    build(recipe, tmp_path / "store")
    account, _ = account_of(tmp_path / "store")
    evil = "<script>alert(1)</script>"
    reject = {
        "source": "notes",
        "reason": evil,
        "location": evil,
        "document_id": evil,
        "detail": evil,
        "sample": evil,
    }
    account["recipe"]["name"] = evil

    assert "<script" not in page(account, [reject])


def test_the_funnel_adds_up(recipe, tmp_path):
    build(recipe, tmp_path / "store")
    account, _ = account_of(tmp_path / "store")

    for source in account["sources"].values():
        for key in ("documents", "words", "bytes"):
            dropped = sum(size[key] for size in source["drops"].values())
            assert source["edited"][key] == source["kept"][key] + dropped
        assert source["records"] == source["read"]["documents"] + sum(source["set_aside"].values())
