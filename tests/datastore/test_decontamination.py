from __future__ import annotations

import gzip
import json
import pickle
import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datastore import IntegrityError, NotFoundError
from datastore.decontamination import (
    DecontaminationConfig,
    Question,
    build_matcher,
    open_matcher,
)
from datastore.decontamination.folding import folded_word_spans, folded_words
from datastore.decontamination.near import common_subsequence

ROBE = (
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
)
PLANET = (
    "An astronomer observes that a planet rotates faster after a meteorite impact. Which is the most likely "
    "effect of this increase in rotation?"
)
SHORT = "Which gas do green plants take from the air?"  # 9 words
QUESTIONS = [("gsm8k", "0", ROBE), ("arc", "7", PLANET), ("arc", "8", SHORT)]
BEFORE, AFTER = (
    "The tailor of the village was known for her patience.",
    "Nobody ever asked her about it again.",
)


@pytest.fixture(scope="module")
def matcher():
    return build_matcher(QUESTIONS)


def planted(leak):
    return f"{BEFORE} {leak} {AFTER}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: well-known, “quoted” words!", ["dont", "stop", "well", "known", "quoted", "words"]),
        ("don\u2019t DON\u02bcT", ["dont", "dont"]),
        ("infor-\nmation and so\u00adft hy-phens", ["information", "and", "soft", "hy", "phens"]),
        ("Caf\u00e9 cafe\u0301 CAFE", ["cafe", "cafe", "cafe"]),
        ("\ufb01ne \uff37\uff29\uff24\uff25 \u00bd stra\u00dfe", ["fine", "wide", "1", "2", "strasse"]),
        ("snake_case *bold* $x^2$", ["snake", "case", "bold", "x", "2"]),
        ("\u6c34\u306f H2O", ["\u6c34", "\u306f", "h2o"]),
        ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", ["привет", "мир"]),
        ("a\u200bb zero", ["ab", "zero"]),
        (" \n", []),
    ],
)
def test_words_have_no_case_accents_punctuation_or_variants(text, words):
    assert folded_words(text) == words


@given(st.text() | st.text(alphabet="aB'-\n \u00e9\u00ad\u0301\ufb01\u6c34\u00bd\u2019."))
def test_spans_are_where_the_words_are(text):
    spans = folded_word_spans(text)

    for word, (start, end) in zip(folded_words(text), spans, strict=True):
        assert word in folded_words(text[start:end])  # a fraction is one character and two words
    assert spans == sorted(spans)


def test_a_verbatim_question_is_found_with_its_place(matcher):
    text = planted(ROBE)

    (match,) = matcher.matches(text)

    assert (match.task, match.item, match.words, match.place) == ("gsm8k", "0", 22, 0)
    assert match.span == text[match.start : match.end] == ROBE.rstrip("?")


@pytest.mark.parametrize(
    "edit",
    [
        str.upper,
        lambda text: text.replace(" ", "\n  "),
        lambda text: re.sub(r"[.?]", "", text),
        lambda text: text.replace("planet", "pla\u00adnet").replace("meteorite", "meteor-\nite"),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
        lambda text: text.replace(" ", " *").replace(".", " --"),
    ],
    ids=["case", "white space", "no punctuation", "hyphens", "full width", "markup"],
)
def test_edits_that_change_no_word_hide_nothing(matcher, edit):
    (match,) = matcher.matches(planted(edit(PLANET)))

    assert (match.task, match.item, match.words) == ("arc", "7", 23)


def test_runs_are_as_long_as_they_can_be(matcher):
    words = ROBE.split()
    fifteen = " ".join(words[3:18])

    (match,) = matcher.matches(f"robe {fifteen} things")
    assert (match.words, match.place, match.span) == (15, 3, fifteen)
    assert matcher.matches(f"robe {' '.join(words[3:15])} things") == []  # 12 words


def test_a_short_question_counts_only_whole_as_a_run():
    matcher = of_rule("any")
    (match,) = matcher.matches(f"Quiz: {SHORT} Carbon dioxide.")

    assert (match.item, match.words) == ("8", 9)
    assert matcher.matches("Which gas do green plants take from the water?") == []


def test_questions_that_are_no_evidence_are_counted():
    matcher = build_matcher(
        [
            ("t", "short", "Too few words to count here"),
            ("t", "numbers", "1 2 3 4 5 6 7 8 9 10 11 12 13 14"),
            *(("t", str(i), "Which of the following statements must be true?") for i in range(9)),
            *(
                ("u", str(i), f"Which of the following statements must be true? Item {i} of {i}")
                for i in range(9)
            ),
            ("t", "good", ROBE),
        ]
    )

    # A question is one however many items have it: the phrase is in ten.
    assert matcher.unused == {"too_short": 1, "no_evidence": 10}
    assert (
        matcher.matches("Which of the following statements must be true? 1 2 3 4 5 6 7 8 9 10 11 12 13 14")
        == []
    )
    assert [match.item for match in matcher.matches(ROBE)] == ["good"]


def test_a_turn_of_phrase_is_part_of_a_run_that_holds_evidence():
    phrase = "Read the following text with care and then answer all of the questions about it that you can:"
    matcher = build_matcher(
        [("t", str(i), f"{phrase} {' '.join(f'word{i}x{j}' for j in range(14))}") for i in range(6)]
    )

    assert matcher.matches(f"{phrase} and so on") == []
    (match,) = matcher.matches(f"{phrase} {' '.join(f'word3x{j}' for j in range(14))}")
    assert (match.item, match.words, match.place) == ("3", 18 + 14, 0)


def test_equal_hashes_alone_are_no_match(matcher, monkeypatch):
    """With one hash for every n-gram, the words decide."""
    text = planted(f"{ROBE} In between there is enough to read for a while, all of it harmless. {PLANET}")
    expected = matcher.matches(text)
    monkeypatch.setattr(
        "datastore.decontamination.ngrams._mixed", lambda values: np.zeros(len(values), dtype=np.uint64)
    )

    assert build_matcher(QUESTIONS).matches(text) == expected
    assert len(expected) == 2


words_of_few = st.lists(st.sampled_from(["aa", "bb", "cc", "dd"]), max_size=30)


@given(st.lists(words_of_few, min_size=1, max_size=3), words_of_few, st.integers(2, 5))
def test_matches_equal_a_plain_search(questions, text, size):
    config = DecontaminationConfig(
        rule="any", ngram_words=size, min_question_words=3, max_questions=1000, min_letter_words=0
    )
    matcher = build_matcher([("t", str(i), " ".join(words)) for i, words in enumerate(questions)], config)

    found = {(m.item, m.start, m.place, m.words) for m in matcher.matches(" ".join(text))}

    expected = set()
    for item, words in enumerate(questions):
        for i in range(len(text) if len(words) >= 3 else 0):
            for j in range(len(words)):
                if text[i] != words[j] or (i and j and text[i - 1] == words[j - 1]):
                    continue
                run = 0
                while i + run < len(text) and j + run < len(words) and text[i + run] == words[j + run]:
                    run += 1
                if run >= min(size, len(words)):
                    expected.add((str(item), 3 * i, j, run))
    assert found == expected


def test_many_texts_are_as_one_by_one(matcher):
    texts = [
        "",
        planted(ROBE),
        "   ",
        PLANET,
        BEFORE,
        " ".join(ROBE.split()[:11]),
        " ".join(ROBE.split()[11:]),
    ]

    assert matcher.matches_of(texts) == [matcher.matches(text) for text in texts]
    assert [len(found) for found in matcher.matches_of(texts)] == [0, 1, 0, 1, 0, 0, 0]
    assert matcher.matches_of([]) == []


def test_a_leak_across_two_passages_contaminates_both(matcher):
    text = planted(ROBE)
    middle = text.index("half that")
    ranges = [(0, 20), (21, middle), (middle, text.index("again")), (text.index("again"), len(text))]

    leaks = matcher.leaks([BEFORE, text], [[(0, len(BEFORE))], ranges])

    assert [(leak.text, leak.passage, leak.task, leak.item, leak.words, leak.value) for leak in leaks] == [
        (1, 1, "gsm8k", "0", 22, 22.0),
        (1, 2, "gsm8k", "0", 22, 22.0),
    ]
    assert leaks[0].span == ROBE.rstrip("?")


def of_rule(rule, **parameters):
    return build_matcher(QUESTIONS, DecontaminationConfig(rule=rule, **parameters))


def values(matcher, text):
    return [(leak.item, leak.value) for leak in matcher.leaks([text], [[(0, len(text))]])]


def test_longest_run_by_hand():
    part = " ".join(ROBE.split()[:14])  # of 22 words: .6364

    assert values(of_rule("longest_run"), part) == [("0", 0.6364)]
    assert values(of_rule("longest_run", min_run_share=0.6364), part) == [("0", 0.6364)]
    assert values(of_rule("longest_run", min_run_share=0.6365), part) == []
    assert values(of_rule("longest_run", min_run_words=15), part) == []
    assert values(of_rule("longest_run", min_run_words=15), SHORT) == [("8", 1.0)]


def test_jaccard_by_hand():
    """22 words are ten 13-grams; a passage of 25 has thirteen, and of 28 sixteen."""
    jaccard = of_rule("jaccard")

    assert values(jaccard, ROBE) == [("0", 1.0)]
    assert values(jaccard, f"So it is: {ROBE}") == [("0", 0.7692)]  # 10 of 13
    assert values(jaccard, f"So it is: {ROBE} Tell us now.") == []  # 10 of 16
    assert values(of_rule("jaccard", max_jaccard=0.6249), f"So it is: {ROBE} Tell us now.") == [("0", 0.625)]


def test_jaccard_looks_at_the_passage_alone():
    text = f"So it is: {ROBE} {BEFORE} {AFTER}"
    leaks = of_rule("jaccard").leaks([text], [[(0, 10 + len(ROBE)), (11 + len(ROBE), len(text))]])

    assert [(leak.passage, leak.value) for leak in leaks] == [(0, 0.7692)]


def test_coverage_finds_a_question_with_words_changed():
    words = PLANET.split()
    words[4], words[11], words[17] = "the", "collision", "outcome"  # of 23; runs of 4, 6, 5 and 5 words
    edited = planted(" ".join(words))

    assert values(of_rule("any"), edited) == []
    assert values(of_rule("coverage", ngram_words=5), edited) == [("7", round(16 / 23, 4))]
    assert values(of_rule("coverage", ngram_words=5, min_coverage=0.7), edited) == []
    assert values(of_rule("coverage", ngram_words=5, min_run_words=17), edited) == []


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda words: words, 23),
        (
            lambda words: [
                *words[:4],
                "the",
                *words[5:11],
                "collision",
                *words[12:17],
                "outcome",
                *words[18:],
            ],
            20,
        ),
        (lambda words: [word for i, word in enumerate(words) if i % 6 != 5], 20),  # 3 of 23 left out
        (lambda words: [part for word in words[:4] for part in (word, "indeed")] + words[4:], 23),
        (lambda words: words[2:4] + words[:2] + words[4:], 21),
    ],
    ids=["verbatim", "replaced", "left out", "added", "swapped"],
)
def test_a_question_with_words_changed_is_near(matcher, edit, words):
    leak = " ".join(edit(re.sub(r"[.?]", "", PLANET).split()))
    match = max(matcher.matches(planted(leak)), key=lambda match: match.words)

    assert (match.task, match.item, match.words) == ("arc", "7", words)
    assert match.span in leak


def test_near_by_hand():
    """SHORT has 9 words: 8 are .8889 of it, 7 are .7778."""
    one, two = (
        "Which gas do green plants take from the water?",
        "Which gas do green cells take from the water?",
    )

    assert values(of_rule("near"), one) == [("8", 8.0)]
    assert values(of_rule("near"), two) == []
    assert values(of_rule("near", min_in_order=0.7778), two) == [("8", 7.0)]
    assert values(of_rule("near", min_in_order=0.8889), one) == [("8", 8.0)]
    assert values(of_rule("near", min_in_order=0.889), one) == []


def test_words_in_another_order_or_far_apart_are_not_near(matcher):
    words = SHORT.rstrip("?").split()
    apart = [part for word in words for part in (word, "and", "so")]

    assert matcher.matches(planted(" ".join([*words[5:], *words[:5]]))) == []
    assert matcher.matches(planted(" ".join(apart))) == []
    assert matcher.matches(planted(" ".join([*words[:4], *BEFORE.split(), *words[4:]]))) == []


def test_a_run_that_says_as_much_stands_for_a_near_question(matcher):
    words = ROBE.split()
    cut = " ".join(words[:18])  # of 22: .8182, a run of 18

    assert [(m.words, m.span) for m in matcher.matches(f"{BEFORE} {cut}")] == [(18, cut)]
    both = matcher.matches(planted(" ".join([*words[:15], "small", *words[16:]])))
    assert [(m.words, m.place) for m in both] == [(15, 0), (21, 0)]


few_words = st.lists(st.sampled_from(range(5)), max_size=14)


@given(few_words, few_words)
def test_common_subsequences_equal_dynamic_programming(one, other):
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else max(lengths[i][j + 1], lengths[i + 1][j])
    longest = lengths[-1][-1]

    assert common_subsequence(one, other) == (longest, lengths[-1].index(longest))


def test_a_near_question_across_passages_contaminates_both(matcher):
    leak = PLANET.replace("meteorite", "stone")
    text = planted(leak)
    middle = text.index("stone")

    leaks = matcher.leaks([text], [[(0, middle), (middle, len(text))]])

    assert [(found.passage, found.item, found.value) for found in leaks] == [(0, "7", 22.0), (1, "7", 22.0)]


def test_one_leak_a_passage_and_item_the_strongest(matcher):
    part = " ".join(ROBE.split()[:13])
    text = f"{part}. And again: {ROBE} {part}"

    assert len(matcher.matches(text)) == 3
    assert values(matcher, text) == [("0", 22.0)]


def test_the_order_of_questions_changes_nothing():
    one, other = build_matcher(QUESTIONS), build_matcher([*reversed(QUESTIONS), QUESTIONS[1]])

    assert one.key == other.key
    np.testing.assert_array_equal(one.index.ngrams, other.index.ngrams)
    assert one.key != build_matcher(QUESTIONS, DecontaminationConfig(ngram_words=12)).key
    assert one.key != build_matcher([*QUESTIONS[:2], ("arc", "9", SHORT)]).key


def test_saved_and_opened(matcher, tmp_path):
    saved = matcher.save(tmp_path / "a" / matcher.key)
    text = planted(f"{ROBE} {PLANET}")

    for again in (saved, open_matcher(tmp_path / "a" / matcher.key), pickle.loads(pickle.dumps(saved))):
        assert again.matches(text) == matcher.matches(text)
        assert (again.key, again.config, again.unused) == (matcher.key, matcher.config, matcher.unused)
        assert isinstance(again.index.ngrams, np.memmap)
        assert isinstance(again.seeds.ngrams, np.memmap)
    assert len(pickle.dumps(saved)) < 1000
    assert pickle.loads(pickle.dumps(matcher)).matches(text) == matcher.matches(text)


def test_a_folder_that_is_not_complete_is_an_error(matcher, tmp_path):
    with pytest.raises(NotFoundError, match="there are no saved questions"):
        open_matcher(tmp_path)

    folder = matcher.save(tmp_path / "questions").folder
    (folder / "ngrams.npy").unlink()
    with pytest.raises(IntegrityError, match="is not complete"):
        open_matcher(folder)

    about = json.loads((folder / "questions.json").read_text())
    (folder / "questions.json").write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(IntegrityError, match="has format 99"):
        open_matcher(folder)


def test_without_questions_nothing_matches():
    matcher = build_matcher([])

    assert matcher.matches(planted(ROBE)) == []
    assert matcher.unused == {}


def test_runs_shorter_than_their_ngrams_are_refused():
    with pytest.raises(ValidationError, match="min_run_words 12 is below ngram_words 13"):
        DecontaminationConfig(rule="longest_run", min_run_words=12)


def records(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_planted_in_real_text_all_are_found_and_clean_text_is_kept(test_data):
    questions = [
        *(
            Question("gsm8k", str(i), r["question"])
            for i, r in enumerate(records(test_data / "gsm8k" / "test_half.jsonl.gz"))
        ),
        *(Question("arc", r["id"], r["question"]) for r in records(test_data / "arc_c" / "test.jsonl.gz")),
    ]
    matcher = build_matcher(questions)
    texts = [r["text"] for r in records(test_data / "wikipedia" / "vital_en.jsonl.gz")[:2000]]
    draw = random.Random(0)
    chosen = [q for q in draw.sample(questions, 300) if len(folded_words(q.text)) >= 8]
    leaked = []
    for question in chosen:
        host = draw.choice(texts).split(" ")
        at = draw.randrange(len(host) + 1)
        leaked.append(" ".join([*host[:at], question.text.upper().replace(",", " --"), *host[at:]]))

    found = matcher.leaks(leaked, [[(0, len(text))] for text in leaked])

    named = {(leak.text, leak.task, leak.item) for leak in found}
    missed = [i for i, q in enumerate(chosen) if (i, q.task, q.item) not in named]
    assert len(missed) <= 1, [chosen[i].text for i in missed]  # a turn of phrase of eight words can be one
    assert matcher.leaks(texts, [[(0, len(text))] for text in texts]) == []
