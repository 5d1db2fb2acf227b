from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datastore.errors import UsageError
from datastore.protocols import LogLikelihood
from eval.llm.answers.asking import Answer
from eval.llm.answers.grading import grade
from eval.llm.config import Options
from eval.llm.passages.clean import clean
from eval.llm.passages.context import render
from eval.llm.passages.finders import condition
from eval.llm.passages.surface import answer_rank, right_texts
from eval.llm.report.outcomes import Outcomes, check_same_questions
from eval.llm.report.score import differences, measures, subjects
from eval.statistics import RESAMPLES
from eval.tasks.task import Item, Passage

ONE = Passage("a", "First {text} of all.", "A title", "wiki", 2.0)
TWO = Passage("b", "Second.", "", "news", 1.0)


def outcomes(right, subjects=None, **metrics):
    n = len(right)
    names = ("answer_rank", "gold_rank", "removed", "cut", "passages", "prompt_tokens")
    columns = {name: np.zeros(n) for name in (*names, "unparsed", "tokens", "seconds", "cached")}
    return Outcomes(
        [f"q{i}" for i in range(n)],
        subjects or [""] * n,
        {**columns, "right": np.array(right, dtype=np.float64)},
        {name: np.array(values, dtype=np.float64) for name, values in metrics.items()},
        [],
    )


def test_the_best_passage_stands_last_unless_it_is_to_stand_first():
    assert render([ONE, TWO], Options()) == ("Second.\n\nFirst {text} of all.", 0)
    assert render([ONE, TWO], Options(order="best-first")).text == "First {text} of all.\n\nSecond."
    assert render([], Options()) == ("", 0)


def test_a_template_shows_what_it_names_and_passages_are_cut_to_length():
    options = Options(template="[{rank}] {title} ({source}): {text}", characters=5)
    assert render([ONE, TWO], options) == (
        "[2]  (news): Secon\n\n[1] A title (wiki): First",
        len(ONE.text) - 5 + len(TWO.text) - 5,
    )


@pytest.mark.parametrize("template", ["{text:.20}", "{rank:>3} {text}", "{text!r}"])
def test_a_template_that_would_change_what_it_shows_is_refused(template):
    with pytest.raises(ValueError, match="a field is shown as it is"):
        Options(template=template)


def test_sources_become_a_filter():
    assert condition(Options()) is None
    assert condition(Options(keep=("wiki",), leave_out=("o'brien", "news"))) == (
        "source IN ('wiki') AND source NOT IN ('o''brien', 'news')"
    )


def test_the_first_passage_with_the_answer_counts_whatever_its_case():
    answers = ("New York", "N.Y.")
    texts = ["York is new.", "The NEW  york-based paper", "new york"]
    passages = [Passage(str(i), text) for i, text in enumerate(texts)]
    assert answer_rank(answers, passages) == 2
    assert answer_rank(answers, passages, characters=8) == 3
    assert answer_rank(answers, passages[:1]) is None
    assert answer_rank(["no"], [Passage("a", "note")]) is None


def test_what_is_right_is_the_option_unless_the_model_writes(make_task):
    item = Item("q", "", "Who?", ("no", "yes"), 1, references=("Yes, they do.",))
    assert right_texts(make_task([item]), item) == ("yes",)
    assert right_texts(make_task([item], "likelihood"), item) == ("Yes, they do.",)
    assert right_texts(make_task([item], "generate"), replace(item, references=())) == ("yes",)


def test_what_gives_the_question_away_is_left_out_of_given_passages():
    question = "which of these seven old rivers of the plain flows past the mill to the sea"
    ranked = [Passage("a", "Mill."), Passage("b", f"Quiz: {question.upper()}!"), Passage("c", "Sea."), TWO]
    found = clean(question, ranked, 2)
    assert [passage.id for passage in found.passages] == ["a", "c"]
    assert [removed.id for removed in found.removed] == ["b"]
    assert [passage.id for passage in clean("short?", ranked, 2).passages] == ["a", "b"]


def test_options_are_chosen_by_the_scores_of_the_task(make_task):
    item = Item("q", "", "?", ("a", "bbbb"), 1)
    scores = [LogLikelihood(-2.0, 1), LogLikelihood(-4.0, 4)]
    for normalise, parsed in (("none", "a"), ("tokens", "bbbb"), ("option_characters", "bbbb")):
        task = make_task([item], normalise=normalise)
        graded = grade(task, item, Answer(scores))
        assert (graded.parsed, graded.right) == (parsed, parsed == "bbbb")
        assert graded.metrics == {"nats": 4.0}
    task = make_task([item], normalise="unconditional")
    alone = [LogLikelihood(-1.0, 1), LogLikelihood(-9.0, 4)]
    assert grade(task, item, Answer(scores, alone)).parsed == "bbbb"


def test_the_likeliest_reference_counts_and_several_have_no_perplexity(make_task):
    item = Item("q", "", "?", references=("a", "b"))
    task = make_task([item], "likelihood")
    scores = [LogLikelihood(-3.0, 2), LogLikelihood(-2.5, 3)]
    assert grade(task, item, Answer(scores)).metrics == {"nats": 2.5}
    assert grade(task, item, Answer(scores[:1])).metrics == {"nats": 3.0, "tokens": 2.0}


def test_the_clustered_interval_is_that_of_a_plain_loop():
    rng = np.random.default_rng(4)
    names = [f"s{i}" for i in rng.integers(0, 6, 80)]
    right, before = rng.integers(0, 2, (2, 80)).astype(float)
    arm, baseline = outcomes(right, names), outcomes(before, names)
    found = differences(arm, baseline, seed=0)["accuracy"]
    clusters = list(dict.fromkeys(names))
    places = {name: [i for i, other in enumerate(names) if other == name] for name in clusters}
    draw = np.random.default_rng(9)
    means = []
    for _ in range(RESAMPLES // 2):
        chosen = [i for number in draw.integers(0, 6, 6) for i in places[clusters[number]]]
        means.append(right[chosen].mean() - before[chosen].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert found["value"] == pytest.approx(right.mean() - before.mean())
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.01)


def test_micro_counts_questions_and_macro_subjects():
    arm = outcomes([1, 1, 1, 0, 0], ["a", "a", "a", "a", "b"])
    found = measures(arm, seed=0)
    assert found["accuracy"]["value"] == 0.6
    assert found["macro accuracy"]["value"] == 0.375
    assert {name: of["value"]["value"] for name, of in subjects(arm, 0).items()} == {"a": 0.75, "b": 0.0}
    assert "macro accuracy" not in measures(outcomes([1, 0]), seed=0)


def test_perplexities_of_other_tokens_are_not_compared():
    arm = outcomes([np.nan] * 2, nats=[1.0, 2.0], tokens=[2.0, 2.0])
    other = outcomes([np.nan] * 2, nats=[1.0, 2.0], tokens=[2.0, 3.0])
    assert "perplexity" in differences(arm, arm, 0)
    assert "perplexity" not in differences(arm, other, 0)


def test_arms_over_other_questions_cannot_be_compared():
    one, other = outcomes([1, 0]), outcomes([1, 0, 1])
    check_same_questions({"a": one, "b": one})
    with pytest.raises(UsageError, match='a answers 2 questions and b 3, not the same: "q2"'):
        check_same_questions({"a": one, "b": other})
