from __future__ import annotations

import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.batch import TextBatch
from pipelines.filters.pii import PiiFilter

TEXTS = [
    "write to jane.doe@mail.example.co.uk or j+x@a.de, not to @home or a@b",
    "..jane..doe.@x.org jane.@x.org .jane@x.org a..b@x.org a@x.org.",
    "one@x.org two@x.org three@x.org one@x.org",
    "été@x.org x@été.org 山a@b.cn _a_@b-c.de -a@b-.de a@b--c.de 'a'@b.de",
    "root@[8.8.8.8] root@[300.1.1.1] root@[1.2.3.abc:] a@b@c.de a@b.c@d.ef",
    "8.8.8.8, 1.1.1.1.1, 192.168.0.1, 127.0.0.1, 008.8.8.8, 256.1.1.1, v1.2.3.45, 9.9.9.9",
    "no address at all",
    "",
]


def edited(text, **settings):
    return PiiFilter(**settings).edit(TextBatch([text]))[0]


def datatrove_s(text, **settings):
    """The text as a formatter leaves it that has seen no document before."""
    formatters = pytest.importorskip("datatrove.pipeline.formatters")
    return formatters.PIIFormatter(**settings).format(text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_edited_as_datatrove_edits_it(text):
    assert edited(text) == datatrove_s(text)
    assert edited(text, emails=False) == datatrove_s(text, remove_emails=False)
    assert edited(text, ips=False) == datatrove_s(text, remove_ips=False)
    assert edited(text, public_ips_only=False) == datatrove_s(text, only_remove_public_ips=False)


@given(st.text(alphabet="ab.@-_é1 [:]!\n", max_size=60))
def test_any_text_is_edited_as_datatrove_edits_it(text):
    assert edited(text) == datatrove_s(text)


@given(st.lists(st.sampled_from(["1", "8.8.8.8", ".", "25", "a@b.de", "@", "a.", " ", "::"]), max_size=12))
def test_any_row_of_pieces_is_edited_as_datatrove_edits_it(pieces):
    assert edited("".join(pieces)) == datatrove_s("".join(pieces))


def test_real_pages_are_edited_as_datatrove_edits_them(test_data):
    with gzip.open(test_data / "web_pages" / "trafilatura_eval.jsonl.gz") as lines:
        pages = [json.loads(line)["html"][:100_000] for line in lines]

    ours = PiiFilter()
    batch = TextBatch(pages)
    assert ours.edit(batch) == [datatrove_s(page) for page in pages]
    assert ours.scores(batch)["pii_emails"].sum() > 20


def test_replacements_begin_anew_in_each_document():
    """On purpose unlike datatrove, whose output depends on the documents that a process has seen before."""
    batch = TextBatch(["a@x.org b@x.org c@x.org", "d@x.org"])

    assert PiiFilter().edit(batch) == [
        "email@example.com firstname.lastname@example.org email@example.com",
        "email@example.com",
    ]


def test_scores_count_what_is_masked_and_no_rule_drops():
    batch = TextBatch(["a@x.org 8.8.8.8 10.0.0.1 b@x.org", "nothing"])

    scores = PiiFilter().scores(batch)

    assert {name: values.tolist() for name, values in scores.items()} == {
        "pii_emails": [2.0, 0.0],
        "pii_ips": [1.0, 0.0],
    }
    assert PiiFilter().rules() == ()


def test_public_ipv6_addresses_are_masked_where_asked_for():
    text = "2606:4700:4700::1111 fe80::1 ::1 12:30:45 a::b std::map 2606:4700:4700:0:0:0:0:1111."

    assert edited(text) == text
    assert edited(text, ipv6=True) == "2001:db8::1 fe80::1 ::1 12:30:45 a::b std::map 2001:db8::1."


@given(st.text(alphabet="ab.@- ", max_size=40))
def test_a_text_whose_addresses_are_masked_stays_as_it_is(text):
    once = edited(text)

    assert edited(once) == once


@pytest.mark.parametrize("unit", ["a-", "a.", "a@", "@a-", "1.", "a", ":a"])
def test_long_runs_take_linear_time(unit):
    """One expression for the whole address takes minutes for the first of these."""
    started = time.perf_counter()
    edited(unit * 200_000 + "@", ipv6=True)

    assert time.perf_counter() - started < 10
