"""The four heuristic families decide as datatrove does, document by document."""

from __future__ import annotations

import gzip
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils import text as datatrove_text
from hypothesis import example, given, settings
from hypothesis import strategies as st

from datastore.text import normalise
from pipelines.filters import c4, fineweb_quality, gopher_quality, gopher_repetition, punctuation
from pipelines.filters.batch import TextBatch
from pipelines.filters.words import EnglishTokenizer, Words, english

REASONS = {
    "gopher_short_doc": "gopher_short_document",
    "gopher_long_doc": "gopher_long_document",
    "gopher_below_avg_threshold": "gopher_short_words",
    "gopher_above_avg_threshold": "gopher_long_words",
    "gopher_too_many_hashes": "gopher_hashes",
    "gopher_too_many_ellipsis": "gopher_ellipses",
    "gopher_too_many_bullets": "gopher_bullet_lines",
    "gopher_too_many_end_ellipsis": "gopher_ellipsis_lines",
    "gopher_below_alpha_threshold": "gopher_few_alphabetic_words",
    "gopher_enough_stop_words": "gopher_few_stop_words",
    "dup_para_frac": "gopher_duplicate_paragraphs",
    "dup_para_char_frac": "gopher_duplicate_paragraph_characters",
    "dup_line_frac": "gopher_duplicate_lines",
    "dup_line_char_frac": "gopher_duplicate_line_characters",
    **{f"top_{n}_gram": f"gopher_top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"gopher_duplicate_{n}_grams" for n in range(5, 11)},
    "lorem_ipsum": "c4_lorem_ipsum",
    "curly_bracket": "c4_curly_bracket",
    "too_few_sentences": "c4_too_few_sentences",
    "line_punct_ratio": "fineweb_few_punctuated_lines",
    "short_line_ratio": "fineweb_short_lines",
    "char_dup_ratio": "fineweb_duplicate_lines",
    "list_ratio": "fineweb_newlines",
}
EMPTY = {"gopher_repetition": "gopher_empty", "fineweb_quality": "fineweb_empty"}

PAIRS: dict[str, tuple[Any, Any]] = {
    "gopher_repetition": (gopher_repetition.GopherRepetitionFilter(), GopherRepetitionFilter()),
    "gopher_quality": (gopher_quality.GopherQualityFilter(), GopherQualityFilter()),
    "fineweb_quality": (fineweb_quality.FineWebQualityFilter(), FineWebQualityFilter()),
    "c4": (c4.C4Filter(), C4QualityFilter()),
    "c4_as_fineweb": (
        c4.C4Filter(remove_unpunctuated_lines=False),
        C4QualityFilter(filter_no_terminal_punct=False),
    ),
    "c4_with_citations": (
        c4.C4Filter(remove_citations=False, least_line_words=1, min_sentences=1, longest_word_characters=9),
        C4QualityFilter(remove_citations=False, min_words_per_line=1, min_num_sentences=1, max_word_length=9),
    ),
}


def ours(family: Any, batch: TextBatch) -> list[str | None]:
    """The reason of the first rule that drops each document."""
    scores = family.scores(batch)
    reasons: list[str | None] = [None] * len(batch)
    for rule in reversed(family.rules()):
        for row in np.flatnonzero(rule.drops(scores)):
            reasons[row] = rule.reason
    return reasons


def theirs(name: str, text: str) -> tuple[str | None, str]:
    document = Document(text=text, id="0")
    result = PAIRS[name][1].filter(document)
    if result is True:
        return None, document.text
    reason = result[1]
    return EMPTY[name] if reason == "empty" else REASONS[reason], document.text


def assert_equal_decisions(texts: Sequence[str]) -> set[str]:
    """The reasons that occurred."""
    batch = TextBatch(texts)
    # A document after the other: datatrove remembers the words of the last few texts.
    expected = [{name: theirs(name, text) for name in PAIRS} for text in texts]
    seen: set[str] = set()
    for name, (family, _) in PAIRS.items():
        reasons = ours(family, batch)
        assert reasons == [by_family[name][0] for by_family in expected], name
        if hasattr(family, "edit"):
            for by_family, edited in zip(expected, family.edit(batch), strict=True):
                reason, text = by_family[name]
                assert reason is not None or edited == text, name
        seen.update(reason for reason in reasons if reason)
    return seen


def words_of(words: Words) -> list[list[str]]:
    strings = list(words.vocabulary.numbers)
    return [[strings[number] for number in words.ids[start:stop]] for start, stop in pairwise(words.starts)]


# Real texts ---------------------------------------------------------------------------------------


def _texts(path: Path, field: str = "text") -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)[field]


def _in_parts(texts: Iterator[str]) -> Iterator[str]:
    """Parts of about 400 words, lines kept."""
    for text in texts:
        pieces = text.split(" ")
        for start in range(0, len(pieces), 400):
            yield " ".join(pieces[start : start + 400])


def _visible(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def _posts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if body := re.search(r' Body="([^"]*)"', line):
                yield _visible(html.unescape(body[1]))


def real_texts(data: Path, each: int) -> list[str]:
    sources = (
        _texts(data / "c4_sample/test_c4.jsonl.gz"),
        _in_parts(_texts(data / "textbooks/psychology-2e.jsonl.gz")),
        _in_parts(_texts(data / "textbooks/university-physics-volume-1.jsonl.gz")),
        _texts(data / "wikipedia/vital_en.jsonl.gz"),
        _texts(data / "wikipedia/vital_es.jsonl.gz"),
        _texts(data / "web_pages/articles181.truth.jsonl.gz"),
        _in_parts(map(_visible, _texts(data / "web_pages/trafilatura_eval.jsonl.gz", "html"))),
        _in_parts(_texts(data / "web_pages/trafilatura_eval.jsonl.gz", "html")),
        _in_parts(map(_visible, _texts(data / "web_html_docs/apache_postgres_html.jsonl.gz", "html"))),
        _posts(data / "stackexchange/coffee.Posts.xml.gz"),
        _in_parts(_texts(data / "code_docs/python311_rst.jsonl.gz")),
        _in_parts(_texts(data / "stacks_project/chapters.jsonl.gz")),
        _in_parts(_texts(data / "speeches/inaugural.jsonl.gz")),
        _texts(data / "reference/foldoc.jsonl.gz"),
    )
    return [normalise(text)[:4000] for source in sources for text in islice(source, each)]


def test_real_documents_are_decided_and_edited_as_datatrove_does(test_data: Path) -> None:
    texts = real_texts(test_data, each=100)
    seen = assert_equal_decisions(texts)
    assert len(texts) > 1300
    assert len(seen) >= 20  # most rules drop something


def test_words_and_sentences_of_real_documents_are_those_of_datatrove(test_data: Path) -> None:
    texts = real_texts(test_data, each=30)
    tokenizer = EnglishTokenizer()
    assert words_of(tokenizer.words(texts)) == [datatrove_text.split_into_words(text) for text in texts]
    lines = [line for text in texts for line in text.splitlines()][::4]
    assert tokenizer.sentence_counts(lines).tolist() == [
        len(datatrove_text.split_into_sentences(line)) for line in lines
    ]


# Each score, exactly ------------------------------------------------------------------------------

OFF = np.inf
SINGLE: dict[str, Callable[[float], Any]] = {
    "gopher_quality_words": lambda bound: _quality(min_doc_words=bound),
    "gopher_quality_mean_word_characters": lambda bound: _quality(min_avg_word_length=bound),
    "gopher_quality_hashes_per_word": lambda bound: _quality(max_symbol_word_ratio=bound),
    "gopher_quality_bullet_lines": lambda bound: _quality(max_bullet_lines_ratio=bound),
    "gopher_quality_ellipsis_lines": lambda bound: _quality(max_ellipsis_lines_ratio=bound),
    "gopher_quality_alphabetic_words": lambda bound: _quality(max_non_alpha_words_ratio=bound),
    "gopher_quality_stop_words": lambda bound: _quality(min_stop_words=bound),
    "gopher_repetition_duplicate_paragraphs": lambda bound: _repetition(dup_para_frac=bound),
    "gopher_repetition_duplicate_paragraph_characters": lambda bound: _repetition(dup_para_char_frac=bound),
    "gopher_repetition_duplicate_lines": lambda bound: _repetition(dup_line_frac=bound),
    "gopher_repetition_duplicate_line_characters": lambda bound: _repetition(dup_line_char_frac=bound),
    **{
        f"gopher_repetition_top_{n}_gram": lambda bound, n=n: _repetition(top_n_grams=((n, bound),))
        for n in (2, 3, 4)
    },
    **{
        f"gopher_repetition_duplicate_{n}_grams": lambda bound, n=n: _repetition(dup_n_grams=((n, bound),))
        for n in range(5, 11)
    },
    "c4_sentences": lambda bound: C4QualityFilter(min_num_sentences=bound),
    "fineweb_quality_punctuated_lines": lambda bound: _fineweb(line_punct_thr=bound),
    "fineweb_quality_short_lines": lambda bound: _fineweb(short_line_thr=bound),
    "fineweb_quality_duplicate_line_characters": lambda bound: _fineweb(char_duplicates_ratio=bound),
    "fineweb_quality_newlines_per_word": lambda bound: _fineweb(new_line_ratio=bound),
}


def _quality(**one: float) -> GopherQualityFilter:
    names = (
        "min_doc_words",
        "max_doc_words",
        "min_avg_word_length",
        "max_avg_word_length",
        "max_symbol_word_ratio",
        "max_bullet_lines_ratio",
        "max_ellipsis_lines_ratio",
        "max_non_alpha_words_ratio",
        "min_stop_words",
    )
    return GopherQualityFilter(**{**dict.fromkeys(names), **one})


def _repetition(**one: Any) -> GopherRepetitionFilter:
    off = dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"))
    return GopherRepetitionFilter(**{**off, "top_n_grams": (), "dup_n_grams": (), **one})


def _fineweb(**one: float) -> FineWebQualityFilter:
    off = {
        "line_punct_thr": 0.0,
        "short_line_thr": OFF,
        "char_duplicates_ratio": OFF,
        "new_line_ratio": OFF,
    }
    return FineWebQualityFilter(**{**off, **one})


def assert_exact_scores(texts: Sequence[str]) -> int:
    """datatrove keeps a document at a bound that equals our score and drops it at the next number. The comparisons."""
    batch = TextBatch(texts)
    families = [PAIRS[name][0] for name in ("gopher_quality", "gopher_repetition", "c4", "fineweb_quality")]
    scores = {name: values for family in families for name, values in family.scores(batch).items()}
    maxima = {rule.score for family in families for rule in family.rules() if rule.maximum < OFF}
    maxima.discard("gopher_quality_words")
    maxima.discard("gopher_quality_mean_word_characters")
    compared = 0
    for row, text in enumerate(texts):
        for name, alone in SINGLE.items():
            score = float(scores[name][row])
            # Where there is nothing to divide by, datatrove raises or another rule has dropped the document before;
            # a bound of 0 means to it that the rule is off, and a document of hashes may fall to its ellipses.
            if np.isnan(score) or (score == 0 and not name.startswith(("c4", "fineweb"))) or not text.strip():
                continue
            if name == "gopher_quality_hashes_per_word" and ("…" in text or "..." in text):
                continue
            beyond = np.nextafter(score, -OFF if name in maxima else OFF)
            assert alone(score).filter(Document(text=text, id="0")) is True, (name, text)
            assert alone(beyond).filter(Document(text=text, id="0")) is not True, (name, text)
            compared += 1
    return compared


def test_scores_of_real_documents_are_exact(test_data: Path) -> None:
    texts = [text[:3000] for text in real_texts(test_data, each=12)]
    assert assert_exact_scores(texts) > 1500


# Made up to be difficult --------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        *["the", "be", "to", "of", "and", "that", "have", "with", "a", "co", "b.", "a.", "id", "ca"],
        *[
            "alpha",
            "beta",
            "gamma",
            "delta",
            "word",
            "words.",
            "data",
            "base",
            "database",
            "end!",
            "why?",
            "so.",
        ],
        *[
            ":",
            ")",
            "(",
            ":)",
            ":))",
            "(:",
            "):",
            ";-)",
            "''",
            "'",
            "'s",
            "'em",
            "etc.",
            "a.m.",
            "10a.m.",
            "p.m.",
            "°C.",
            "°F.",
            "Ph.D.",
            "(and/or)",
            "co.",
            "co",
            ".",
        ],
        *[
            "(foo):",
            "foo:)",
            ")",
            ":(",
            "x:(",
            "don't",
            "dont.",
            "Id.",
            "e.g.,",
            "i.e.",
            "U.S.",
            "3.14",
            "1,000",
            "$5",
            "50%",
            "10km",
            "well-known",
            "and/or",
        ],
        *["http://a.b/c?d=e", "me@x.org", "#tag", "##", "…", "...", "....", "wait…", "•", "-", "—", "*"],
        *[
            "[1]",
            "[edit]",
            "[citation",
            "needed]",
            "[]",
            "{",
            "}",
            "{}",
            "javascript",
            "JavaScript",
            "Java[1]script",
            "lorem",
            "ipsum",
            "Lorem",
        ],
        "cookie policy",
        "Terms of Use",
        "citation needed]",
        "「日本語。」",
        "ﬁ",
        "é",
        "e\u0301",
        "İ",
        "naïve",
        "😀",
        "\U0001f468\u200d\U0001f469",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\x1f",
        "x" * 12,
    ]
)
SPACES = st.sampled_from(
    [" "] * 8 + ["\n"] * 3 + ["\n\n", "\n\n\n", "  ", "   ", "\t", " \t ", "\xa0", " \xa0", "\u2003", "\u2028"]
    + ["\x85", "\x0b", "\x1c", "\r\n", "\r", "", "", " \n ", ".\n", "! ", "...\n", "\n- ", "\n• "]
)  # fmt: skip


@st.composite
def difficult(draw: st.DrawFn) -> str:
    """Fragments and odd white space; some runs of them more than once."""
    parts = draw(st.lists(st.tuples(FRAGMENTS, SPACES).map("".join), max_size=30))
    for _ in range(draw(st.integers(0, 3))):
        if parts:
            start = draw(st.integers(0, len(parts) - 1))
            parts += parts[start : start + draw(st.integers(1, 12))] * draw(st.integers(1, 3))
    return "".join(parts)


@settings(max_examples=200)
@given(st.lists(st.one_of(difficult(), difficult().map(normalise), st.text(max_size=60)), max_size=4))
@example(["foo:) ) bar"])  # a candidate across the blank keeps `:)` from being put together
@example(["(foo): 3 x:( ( y", "see co .)"])
@example(["the end.  ) and . then [1] [2] x", "One two three. [1] [2]"])
def test_words_and_sentences_of_difficult_texts(texts: list[str]) -> None:
    tokenizer = english()
    assert words_of(tokenizer.words(texts)) == [datatrove_text.split_into_words(text) for text in texts]
    lines = [line for text in texts for line in text.splitlines()]
    assert tokenizer.sentence_counts(lines).tolist() == [
        len(datatrove_text.split_into_sentences(line)) for line in lines
    ]


@settings(max_examples=150)
@given(st.lists(difficult(), max_size=4))
@example(["", " ", "\n", "[1]\n[1]\n[1]"])
def test_difficult_texts_are_decided_and_edited_as_datatrove_does(texts: list[str]) -> None:
    assert_equal_decisions([*texts, *map(normalise, texts)])


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")  # datatrove's
@settings(max_examples=60)
@given(difficult())
def test_scores_of_difficult_texts_are_exact(text: str) -> None:
    assert_exact_scores([text, normalise(text)])


# On purpose ---------------------------------------------------------------------------------------


def test_punctuation_is_that_of_datatrove() -> None:
    assert punctuation.TERMINAL == datatrove_text.TERMINAL_PUNCTUATION
    assert punctuation.PUNCTUATION == datatrove_text.PUNCTUATION_SET


def test_a_build_decides_on_the_normal_form_that_it_stores() -> None:
    """A blank behind a full stop is not stored. To datatrove, which sees it, such a line has no punctuation."""
    raw = "\n".join(f"Line {number} of this text tells of nothing but the weather. " for number in range(9))
    batch = TextBatch([raw, normalise(raw)])

    assert theirs("fineweb_quality", raw)[0] == "fineweb_few_punctuated_lines"
    assert theirs("fineweb_quality", normalise(raw))[0] is None
    assert ours(PAIRS["fineweb_quality"][0], batch) == ["fineweb_few_punctuated_lines", None]


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")  # datatrove's
def test_a_text_without_words_is_scored_where_datatrove_divides_by_zero() -> None:
    """One odd document must not stop a build: where there is nothing to divide by, a score does not apply."""
    with pytest.raises(ZeroDivisionError):
        _quality(max_symbol_word_ratio=0.1).filter(Document(text="", id="0"))
    scores = gopher_quality.GopherQualityFilter().scores(TextBatch([""]))
    assert np.isnan(scores["gopher_quality_hashes_per_word"][0])
    assert scores["gopher_quality_words"][0] == 0


def test_half_a_surrogate_pair_is_a_letter_where_datatrove_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        datatrove_text.split_into_words("half \ud800 pair")
    assert words_of(EnglishTokenizer().words(["half \ud800 pair"])) == [["half", "\ud800", "pair"]]


def test_a_word_that_breaks_spacy_is_a_word_where_datatrove_removes_it_the_second_time() -> None:
    """datatrove's words then depend on the documents before; ours on the document alone."""
    tokenizer = EnglishTokenizer()
    for text in ("first (IS_ALPHA)", "second (IS_ALPHA)"):
        assert words_of(tokenizer.words([text])) == [[text.split()[0], "(", "IS_ALPHA", ")"]]
    # In a process of its own: what spaCy has seen before decides here.
    script = (
        "from datatrove.utils.text import split_into_words as split\n"
        "split('first IS_ALPHA')\n"
        "print(split('second IS_ALPHA'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['second']"


def test_a_very_long_run_of_marks_is_one_word_where_datatrove_takes_minutes() -> None:
    """spaCy cuts `____` into single marks in quadratic time: a line of 100,000 would hold up a worker for 20 minutes."""
    assert words_of(EnglishTokenizer().words(["_" * 40, "_" * 100_000])) == [["_"] * 40, ["_" * 100_000]]
    assert len(datatrove_text.split_into_words("_" * 40)) == 40
