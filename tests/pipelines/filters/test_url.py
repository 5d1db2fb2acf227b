from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import UsageError
from pipelines.filters.batch import TextBatch
from pipelines.filters.url import UrlFilter

pytest.importorskip("tldextract")

LISTS = {
    "domains": ["# hosts", "bad.com", "mixed.co.uk", "sub.fine.org", "deep.sub.fine.org", "user.github.io"],
    "urls": ["https://fine.org/one/page?x=1", "# https://fine.org/kept"],
    "hard_words": ["casino", "Poker!", "#slots"],
    "soft_words": ["buy", "cheap", "pills"],
    "substrings": ["freemoney", "win-big"],
}
URLS = [
    "https://fine.org/",
    "http://bad.com",
    "https://www.bad.com/page",
    "https://a.b.bad.com:8080/page?q=1#top",
    "https://notbad.com/",
    "https://bad.com.fine.org/",
    "https://shop.mixed.co.uk/",
    "https://co.uk/",
    "https://sub.fine.org/x",
    "https://x.sub.fine.org/",
    "https://deep.sub.fine.org/",
    "https://user.github.io/a",
    "https://other.github.io/a",
    "https://fine.org/one/page?x=1",
    "https://fine.org/one/page?x=2",
    "https://fine.org/kept",
    "https://fine.org/online-casino/",
    "https://fine.org/casinos",
    "https://fine.org/CASINO",
    "https://poker.fine.org",
    "https://fine.org/slots",
    "https://fine.org/buy/",
    "https://fine.org/buy/buy/buy",
    "https://fine.org/buy-cheap",
    "https://fine.org/buy_cheap?pills",
    "https://fine.org/free-money",
    "https://fine.org/FREE/Mo.ney",
    "https://fine.org/winbig",
    "https://user:secret@bad.com/",
    "//bad.com/x",
    "bad.com/x",
    "ftp://bad.com/x",
    "mailto:a@bad.com",
    "http://8.8.8.8/x",
    "http://[::1]/x",
    "http://[::1",
    "http://localhost:80/",
    "https://münchen.de/bäder",
    "https://xn--mnchen-3ya.de/",
    "::",
    "not a url",
    "/",
    "https://bad.com./",
]


@pytest.fixture
def lists(tmp_path):
    for name, entries in LISTS.items():
        (tmp_path / name).write_text("\n".join(entries) + "\n", encoding="utf-8")
    return {name: str(tmp_path / name) for name in LISTS}


def decisions(config, urls):
    """The reason of the first rule that drops each URL, or None."""
    scores = config.scores(TextBatch([""] * len(urls), [{"url": url} for url in urls]))
    found = [None] * len(urls)
    for rule in reversed(config.rules()):
        for row in np.flatnonzero(rule.drops(scores)):
            found[row] = rule.reason
    return found


def datatrove_s(monkeypatch, **lists):
    """datatrove's filter with the same lists, and the suffix list that is there without a network."""
    pytest.importorskip("ahocorasick")
    pytest.importorskip("fasteners")
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from tldextract import TLDExtract
    from tldextract.tldextract import ExtractResult

    # The old name of a property, which datatrove uses, warns.
    monkeypatch.setattr(
        ExtractResult, "registered_domain", property(lambda self: self.top_domain_under_public_suffix)
    )
    theirs = URLFilter(
        extra_domains=lists["domains"],
        extra_urls=lists["urls"],
        banned_words=lists["hard_words"],
        soft_banned_words=lists["soft_words"],
        banned_subwords=lists["substrings"],
        use_integrated_lists=False,
    )
    theirs.tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
    names = {
        "domain": "url_domain",
        "subdomain": "url_subdomain",
        "url": "url_listed",
        "hard_blacklisted": "url_hard_words",
        "soft_blacklisted": "url_soft_words",
        "blacklisted_subword": "url_substrings",
    }

    def decide(url):
        kept = theirs.filter(Document(text="", id="", metadata={"url": url}))
        return None if kept is True else names[kept[1]]

    return decide


def test_each_url_is_decided_as_datatrove_decides_it(monkeypatch, lists):
    theirs = datatrove_s(monkeypatch, **LISTS)

    expected = [theirs(url) for url in URLS]

    assert dict(zip(URLS, decisions(UrlFilter(**lists), URLS), strict=True)) == dict(
        zip(URLS, expected, strict=True)
    )
    assert set(expected) == {None, *(rule.reason for rule in UrlFilter().rules())}


def test_each_rule_drops_what_its_list_names(lists):
    config = UrlFilter(**lists)

    found = dict(zip(URLS, decisions(config, URLS), strict=True))

    assert {url: reason for url, reason in found.items() if reason == "url_subdomain"} == dict.fromkeys(
        ("https://sub.fine.org/x", "https://deep.sub.fine.org/", "https://user.github.io/a"), "url_subdomain"
    )
    assert found["https://x.sub.fine.org/"] is None
    assert found["https://fine.org/buy/buy/buy"] is None
    assert found["https://fine.org/buy-cheap"] == "url_soft_words"
    assert found["https://shop.mixed.co.uk/"] == "url_domain"
    assert found["https://fine.org/FREE/Mo.ney"] == "url_substrings"
    scores = config.scores(TextBatch([""], [{"url": "https://bad.com/buy-cheap-pills"}]))
    assert {name: value.tolist() for name, value in scores.items()} == {
        "url_domain": [1.0],
        "url_subdomain": [1.0],
        "url_listed": [0.0],
        "url_hard_words": [0.0],
        "url_soft_words": [3.0],
        "url_substrings": [0.0],
    }


def test_hosts_are_compared_without_case_and_addresses_are_hosts(tmp_path):
    """On purpose unlike datatrove, which never finds either: a name's case means nothing, an address has no domain."""
    (tmp_path / "hosts").write_text("Bad.com\n8.8.8.8\n")
    config = UrlFilter(domains=str(tmp_path / "hosts"))

    assert decisions(config, ["https://WWW.BAD.com/", "http://8.8.8.8/x", "http://8.8.8.9/x"]) == [
        "url_domain",
        "url_subdomain",
        None,
    ]


def test_empty_lines_and_entries_name_nothing(tmp_path):
    """On purpose unlike datatrove, where an empty line becomes the word that every URL with a `/` at its end has."""
    (tmp_path / "words").write_text("\n  \n!!!\ncasino\n")
    config = UrlFilter(hard_words=str(tmp_path / "words"), substrings=str(tmp_path / "words"))

    assert decisions(config, ["https://fine.org/", "https://casino.org/"]) == [None, "url_hard_words"]


def test_a_document_without_a_url_is_kept(lists):
    config = UrlFilter(**lists)
    metadata = [{}, {"url": None}, {"url": ""}, {"url": 7}, {"url": " "}]

    scores = config.scores(TextBatch([""] * len(metadata), metadata))

    assert all(math.isnan(value) for values in scores.values() for value in values)
    assert not any(rule.drops(scores).any() for rule in config.rules())


def test_a_changed_threshold_decides_anew_from_the_same_scores(lists):
    urls = ["https://fine.org/buy/", "https://fine.org/buy-cheap", "https://fine.org/buy-cheap-pills"]

    assert decisions(UrlFilter(**lists, max_soft_words=0), urls) == ["url_soft_words"] * 3
    assert decisions(UrlFilter(**lists, max_soft_words=2), urls) == [None, None, "url_soft_words"]


def test_the_content_hash_is_that_of_the_entries(tmp_path, lists):
    config = UrlFilter(**lists)
    before = config.content_hash()
    hosts = tmp_path / "domains"

    moved = tmp_path / "other.txt.gz"
    with gzip.open(moved, "wt") as file:
        file.write("\n".join(reversed(LISTS["domains"])))
    assert UrlFilter(**{**lists, "domains": str(moved)}).content_hash() == before

    hosts.write_text(hosts.read_text() + "worse.com\n")
    assert config.content_hash() != before
    assert decisions(config, ["https://worse.com/"]) == ["url_domain"]
    assert UrlFilter().content_hash() != before
    assert UrlFilter(domains=lists["urls"]).content_hash() != UrlFilter(urls=lists["urls"]).content_hash()


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    for path, message in ((tmp_path / "none", "No such file"), (tmp_path / "latin", "can't decode")):
        config = UrlFilter(domains=str(path))
        with pytest.raises(UsageError, match=message) as raised:
            config.scores(TextBatch([""]))
        assert "filters.url.domains" in str(raised.value)
        with pytest.raises(UsageError, match=message):
            config.content_hash()


@given(st.text(max_size=40), st.sampled_from(["", "http://", "http://[", "//", "http://a@"]))
def test_no_url_raises(text, scheme):
    assert len(decisions(UrlFilter(), [scheme + text])) == 1


def test_a_byte_order_mark_is_no_part_of_the_first_entry(tmp_path):
    marked, plain = tmp_path / "marked.txt", tmp_path / "plain.txt"
    marked.write_bytes("\ufeffbad.com\r\nworse.com\r\n".encode())
    plain.write_text("bad.com\nworse.com\n")

    hashes = [UrlFilter(domains=str(path)).content_hash() for path in (marked, plain)]

    assert hashes[0] == hashes[1]
