from __future__ import annotations

import numpy as np

from pipelines.filters.batch import TextBatch
from pipelines.filters.fineweb_quality import FineWebQualityFilter

LONG = "A line of more than thirty characters"


def reasons(text: str, **fields: float) -> list[str]:
    family = FineWebQualityFilter(**fields)
    scores = family.scores(TextBatch([text]))
    return [rule.reason for rule in family.rules() if rule.drops(scores)[0]]


def test_shares_are_of_lines_that_are_not_blank() -> None:
    text = f"{LONG}.\n \n\nshort\nshort\n{LONG}？"  # noqa: RUF001 (a full-width end)
    scores = {name: values[0] for name, values in FineWebQualityFilter().scores(TextBatch([text])).items()}
    assert scores == {
        "fineweb_quality_lines": 4,
        "fineweb_quality_punctuated_lines": 2 / 4,
        "fineweb_quality_short_lines": 2 / 4,
        "fineweb_quality_duplicate_line_characters": len("short") / (len(text) - 5),
        "fineweb_quality_newlines_per_word": 5 / (8 + 1 + 1 + 8),
    }


def test_bounds_are_kept() -> None:
    text = "\n".join(
        [f"{LONG} {number}" for number in range(22)] + [f"{LONG} at its end."] * 1 + ["z " * 20 + "."] * 2
    )
    share = 3 / 25
    assert "fineweb_few_punctuated_lines" not in reasons(text, min_punctuated_lines=share)
    assert "fineweb_few_punctuated_lines" in reasons(text, min_punctuated_lines=np.nextafter(share, 1))


def test_a_blank_text_is_dropped_as_empty() -> None:
    assert reasons(" \n ") == ["fineweb_empty"]
    assert reasons("") == ["fineweb_empty"]


def test_lists_fall_to_their_line_breaks() -> None:
    assert "fineweb_newlines" in reasons("one\ntwo\nthree\nfour")


def test_an_empty_batch_has_no_scores() -> None:
    assert {len(values) for values in FineWebQualityFilter().scores(TextBatch([])).values()} == {0}
