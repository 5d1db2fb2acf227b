from __future__ import annotations

import numpy as np
import pytest

from pipelines.filters.batch import TextBatch
from pipelines.filters.c4 import C4Filter

PROSE = "One is here now. Two is here too! Is three here?\nFour follows three at once.\nFive ends it all."


def edited(text: str, **fields: object) -> str:
    return C4Filter(**fields).edit(TextBatch([text]))[0]


def reasons(text: str, **fields: object) -> list[str]:
    family = C4Filter(**fields)
    scores = family.scores(TextBatch([text]))
    return [rule.reason for rule in family.rules() if rule.drops(scores)[0]]


def test_prose_is_kept_as_it_is() -> None:
    assert edited(PROSE) == PROSE
    assert reasons(PROSE) == []
    assert C4Filter().scores(TextBatch([PROSE]))["c4_sentences"].tolist() == [5]


@pytest.mark.parametrize(
    "line",
    [
        "A line without an end",
        "A line that trails off...",
        "Too short.",
        "Please enable JavaScript to go on.",
        "Read our Privacy Policy and be happy.",
        f"A word that is too {'l' * 998}ong.",
    ],
)
def test_lines_that_are_removed(line: str) -> None:
    assert edited(f"{PROSE}\n{line}\n{PROSE}") == f"{PROSE}\n{PROSE}"


def test_lines_without_terminal_punctuation_stay_where_that_is_asked() -> None:
    text = f"A line without an end\n{PROSE}"
    assert edited(text, remove_unpunctuated_lines=False) == text


def test_citations_are_cut_out_behind_the_count_of_words() -> None:
    assert edited("Cited [1] here[citation needed].\nOne [2].\nOne [3] .") == "Cited  here.\nOne  ."
    assert edited("Is this [12] so?", remove_citations=False) == "Is this [12] so?"


def test_the_first_reason_of_the_lines_counts() -> None:
    brackets, lorem = "Some {code} is here.", "Lorem ipsum dolor sit amet."
    assert reasons(f"{PROSE}\n{brackets}\n{lorem}") == ["c4_curly_bracket"]
    assert reasons(f"{PROSE}\n{lorem}\n{brackets}") == ["c4_lorem_ipsum"]
    assert reasons(f"{PROSE}\n{lorem}\n{brackets}", refuse_lorem_ipsum=False) == ["c4_curly_bracket"]
    assert reasons(f"{PROSE}\n{{code}} on a line that goes\n{PROSE}") == []


def test_a_refused_document_keeps_its_text_and_has_no_sentences() -> None:
    text = f"Some {{code}} is here.\n{PROSE}\nand a line"
    assert edited(text) == text
    assert np.isnan(C4Filter().scores(TextBatch([text]))["c4_sentences"][0])


def test_too_few_sentences_are_those_of_the_lines_that_stay() -> None:
    assert reasons(f"{PROSE}", min_sentences=6) == ["c4_too_few_sentences"]
    assert reasons("A menu\n" * 10) == ["c4_too_few_sentences"]
    assert C4Filter().scores(TextBatch(["A menu\n" * 10, ""]))["c4_sentences"].tolist() == [0, 0]


def test_an_empty_batch() -> None:
    assert C4Filter().edit(TextBatch([])) == []
    assert {len(values) for values in C4Filter().scores(TextBatch([])).values()} == {0}
