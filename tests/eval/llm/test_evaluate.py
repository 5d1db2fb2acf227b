from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from datastore.errors import CompendiaError, UsageError
from eval import llm
from eval.llm.bound import derangement
from eval.tasks.task import Item, Passage

NONE, GOLD, WRONG = {"kind": "none"}, {"kind": "gold"}, {"kind": "wrong"}
BM25 = {"kind": "retriever", "retriever": "bm25", "options": {"k": 1}}


@pytest.fixture
def items(make_cities):
    return make_cities()


@pytest.fixture
def store(make_store, items):
    texts = [item.gold[0].text for item in items]
    return make_store([*texts, "Rivers run downhill."], ids=[*(item.id for item in items), "rivers"])


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_arm_asks_the_same_questions_and_shows_what_its_name_says(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    evaluation = make_evaluation([NONE, BM25, GOLD, WRONG, {"kind": "wrong", "of": "bm25"}])
    report = llm.evaluate(evaluation, scripted(), store)
    ordered = sorted(items, key=lambda item: item.subject)
    shown = {
        path.stem: [[p["id"] for p in row["passages"]] for row in rows(path)]
        for path in (evaluation.folder / "passages").iterdir()
    }
    assert {tuple(row["id"] for row in rows(path)) for path in (evaluation.folder / "samples").iterdir()} == {
        tuple(item.id for item in ordered)
    }
    assert shown["none"] == [[]] * 12
    assert shown["gold"] == [[item.gold[0].id] for item in ordered]
    others = derangement(12, 0)
    assert shown["wrong"] == [[ordered[other].gold[0].id] for other in others]
    assert shown["bm25"] == [[f"test/{item.id}#0"] for item in ordered]
    assert shown["wrong-bm25"] == [shown["bm25"][other] for other in others]
    accuracy = {arm["arm"]: arm["measures"]["accuracy"]["value"] for arm in report["arms"]}
    assert accuracy["gold"] == accuracy["bm25"] == 1.0
    assert accuracy["none"] < 1
    assert accuracy["wrong"] == accuracy["wrong(bm25)"] < 1
    answer = {arm["arm"]: arm["retrieval"] and arm["retrieval"]["answer"] for arm in report["arms"]}
    assert answer["none"] is None
    assert answer["bm25"]["questions_by_rank"] == [12]
    assert answer["bm25"]["when_shown"]["value"] == 1.0
    assert answer["bm25"]["when_not"] is None


def test_the_difference_is_that_of_the_paired_answers(make_task, make_evaluation, scripted, items, store):
    make_task(items)
    evaluation = make_evaluation([NONE, GOLD])
    report = llm.evaluate(evaluation, scripted(), store)
    none = {row["id"]: row["right"] for row in rows(evaluation.folder / "samples" / "none.jsonl")}
    wrong_before = sum(not right for right in none.values())
    assert 0 < wrong_before < 12
    difference = report["arms"][1]["difference"]["accuracy"]
    assert difference["value"] == pytest.approx(wrong_before / 12)
    assert difference["mcnemar"] == {
        "only_arm": wrong_before, "only_baseline": 0, "p_value": pytest.approx(2 * 0.5**wrong_before),
    }  # fmt: skip
    assert report["arms"][1]["measures"]["nats"]["value"] == pytest.approx(1.0)
    assert report["arms"][0]["measures"]["nats"]["value"] > 2.0
    flips = report["flips"][0]
    assert len(flips["gained"]) == min(5, wrong_before)
    assert flips["lost"] == []
    for sample in flips["gained"]:
        assert not none[sample["id"]]
        assert (sample["arm"]["right"], sample["baseline"]["right"]) == (True, False)
        assert sample["answers"][0] in sample["passages"][0]["text"]
        assert sample["answer_rank"] == 1


def test_the_report_and_the_page_hold_the_same_and_need_nothing_else(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    arms = [NONE, {**BM25, "ks": [2, 3]}, GOLD]
    evaluation = make_evaluation(arms)
    report = llm.evaluate(evaluation, scripted(), store)
    assert json.loads((evaluation.folder / "report.json").read_text()) == report
    assert report["store"]["version"] == 1
    assert report["store"]["recipe_hash"] is None
    assert report["engine"]["model"] == "scripted"
    assert report["code"]["version"]
    page = (evaluation.folder / "report.html").read_text()
    assert page.count("<svg") == page.count("</svg>") >= 6
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    for arm in report["arms"]:
        assert arm["arm"] in page
        assert f"{arm['measures']['accuracy']['value']:.3f}" in page
    assert "How many passages" in page
    assert "Questions that changed" in page
    assert "By subject" in page


def test_what_others_wrote_stays_text_on_the_page(make_task, make_evaluation, scripted):
    evil = "<script>alert('&')</script>"
    passage = Passage(f"1{evil}", f"{evil} says yes.", f"Title {evil}", f"source {evil}", 1.0)
    items = [
        Item(f"{n}{evil}", f"subject {n % 2} {evil}", f"{n} {evil}?", references=("yes",), gold=(passage,))
        for n in range(6)
    ]
    make_task(items, form="generate")
    engine = scripted(write=lambda prompt: "yes" if "says yes" in prompt else f"no {evil}")
    evaluation = make_evaluation([{**NONE, "name": f"none {evil}"}, {**GOLD, "name": f"gold {evil}"}])
    report = llm.evaluate(evaluation, engine)
    assert len(report["flips"][0]["gained"]) == 5
    page = (evaluation.folder / "report.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert") > 40


def test_equal_runs_give_equal_reports(make_task, make_evaluation, scripted, items, store, tmp_path):
    make_task(items)
    reports = []
    for name in ("one", "two"):
        report = llm.evaluate(make_evaluation([NONE, BM25], out=str(tmp_path / name)), scripted(), store)
        for arm in report["arms"]:
            arm.pop("seconds_per_question")
        reports.append({key: report[key] for key in ("arms", "flips", "engine", "store", "questions")})
    assert reports[0] == reports[1]


def test_a_sweep_and_each_source_left_out_are_arms(make_task, make_evaluation, scripted, items, tmp_path):
    make_task(items)
    lines = [
        {
            "id": item.id,
            "ctxs": [
                {"id": "a", "source": "atlas", "retrieval text": item.gold[0].text, "retrieval score": "2.5"},
                {"id": "b", "source": "news", "retrieval text": "Nothing new.", "retrieval score": "1.5"},
                {"id": "c", "source": "news", "retrieval text": "Rain.", "retrieval score": "0.5"},
            ],
        }
        for item in items
    ]
    (tmp_path / "found.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arm = {"kind": "file", "path": "found.jsonl", "ks": [1, 2], "leave_one_out": True, "options": {"k": 2}}
    evaluation = make_evaluation([NONE, arm])
    report = llm.evaluate(evaluation, scripted())
    names = [arm["arm"] for arm in report["arms"]]
    assert names == ["none", "found", "found k=1", "found without atlas", "found without news"]
    shown = [
        [p["id"] for p in rows(evaluation.folder / "passages" / f"{name}.jsonl")[0]["passages"]]
        for name in ("found", "found-k=1", "found-without-atlas", "found-without-news")
    ]
    assert shown == [["a", "b"], ["a"], ["b", "c"], ["a"]]
    without_atlas = report["arms"][3]["difference_to_parent"]["accuracy"]
    assert without_atlas["value"] == pytest.approx(report["arms"][0]["measures"]["accuracy"]["value"] - 1)
    assert report["arms"][4]["difference_to_parent"]["accuracy"]["value"] == 0.0
    page = (evaluation.folder / "report.html").read_text()
    assert "Each source left out" in page
    assert "without atlas" in page


def test_an_unparsed_answer_is_counted_apart_from_a_wrong_one(make_task, make_evaluation, scripted):
    items = [Item(f"q{i}", "", f"Question {i}?", references=(f"a{i}",)) for i in range(4)]
    make_task(items, "generate", metrics={"contains": lambda text, item: float(item.references[0] in text)})
    answers = {0: "a0", 1: "no", 2: "", 3: "a3 indeed"}
    engine = scripted(write=lambda prompt: answers[int(re.findall(r"Question (\d)\?", prompt)[-1])])
    report = llm.evaluate(make_evaluation([NONE]), engine)
    arm = report["arms"][0]
    assert arm["unparsed"] == 1
    assert arm["measures"]["accuracy"]["value"] == 0.25
    assert arm["measures"]["contains"]["value"] == 0.5
    assert report["subjects"] == 1


def test_likelihoods_become_nats_and_a_perplexity(make_task, make_evaluation, scripted, make_store):
    items = [Item(f"q{i}", "", f"What is number {i}?", references=(f"it is {i} indeed",)) for i in range(4)]
    make_task(items, "likelihood")
    store = make_store([f"We know it is {i} indeed." for i in range(4)])
    report = llm.evaluate(make_evaluation([NONE, {**BM25, "options": {"k": 4}}]), scripted(), store)
    arm = report["arms"][1]
    assert arm["measures"]["nats"]["value"] == 1.0
    assert arm["measures"]["perplexity"]["value"] == pytest.approx(2.718281828 ** (1 / 4))
    assert arm["unparsed"] is None
    assert arm["difference"]["nats"]["value"] < -1
    assert len(report["flips"][0]["gained"]) == 4


def test_the_oracle_keeps_what_makes_the_right_answer_likelier(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    oracle = {"kind": "oracle", "retriever": "bm25", "candidates": 12, "options": {"k": 1}}
    evaluation = make_evaluation([NONE, oracle])
    report = llm.evaluate(evaluation, scripted(), store)
    found = rows(evaluation.folder / "passages" / "oracle-bm25.jsonl")
    assert [row["passages"][0]["id"] for row in found] == [f"test/{row['id']}#0" for row in found]
    assert all(row["passages"][0]["score"] > 0.9 for row in found)  # nats gained
    assert report["arms"][1]["measures"]["accuracy"]["value"] == 1.0


def test_a_passage_that_gives_the_question_away_makes_room_for_the_next(
    make_task, make_evaluation, scripted, make_store
):
    question = "Which of the many rivers of the old country runs past the great mill into the northern sea?"
    items = [Item("q0", "", question, ("Aller", "Bode"), 0), Item("q1", "", "Why?", ("a", "b"), 0)]
    make_task(items)
    store = make_store([f"Exam. {question} A: Aller", "The river runs past the great mill.", "Mills."])
    evaluation = make_evaluation([NONE, {**BM25, "options": {"k": 2}}])
    report = llm.evaluate(evaluation, scripted(), store)
    row = rows(evaluation.folder / "passages" / "bm25.jsonl")[0]
    assert "test/0#0" not in [passage["id"] for passage in row["passages"]]
    assert row["removed"][0][0] == "test/0#0"
    assert row["removed"][0][1].startswith("Which of the many rivers")
    assert report["arms"][1]["retrieval"]["removed"] == {"passages": 1, "questions": 1}
    kept = make_evaluation([{**BM25, "options": {"k": 2, "decontaminate": False}}], out="run2")
    assert kept.options.decontaminate


def test_a_prompt_that_does_not_fit_is_named_before_anything_is_asked(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    engine = scripted(context_tokens=20)
    with pytest.raises(UsageError, match=r"question 'q000' does not fit in the arm gold: .* 20") as error:
        llm.evaluate(make_evaluation([NONE, GOLD]), engine, store)
    assert "options.k" in error.value.hint
    assert engine.asked == []


@pytest.fixture
def refusing(scripted):
    class Refusing(scripted):
        """Counts no tokens of a text that it fails on."""

        def count_tokens(self, prompts):
            return self._checked(prompts, super().count_tokens(prompts))

    return Refusing


def test_a_server_that_cannot_count_a_prompt_is_an_error_that_names_the_question(
    make_task, make_evaluation, refusing, items
):
    make_task(items)
    engine = refusing(fail=lambda text: "number 4 on" in text)
    with pytest.raises(CompendiaError, match="question 'q004' in the arm none: error 500") as error:
        llm.evaluate(make_evaluation([NONE]), engine)
    assert "options.k" in error.value.hint
    assert "--set max_failed=1" in error.value.hint
    assert engine.asked == []


def test_questions_whose_tokens_cannot_be_counted_may_be_allowed_to_fail(
    make_task, make_evaluation, refusing, items
):
    make_task(items)
    fail = re.compile("The capital of country [48] ").match
    with pytest.raises(CompendiaError, match="question 'q008' in the arm gold"):
        llm.evaluate(make_evaluation([NONE, GOLD], max_failed=1), refusing(fail=fail))
    evaluation = make_evaluation([NONE, GOLD], max_failed=2)
    for engine in (
        refusing(fail=fail),
        refusing(fail=fail),
    ):  # the second time from where the first one ended
        report = llm.evaluate(evaluation, engine)
        assert report["left_out"] == ["q004", "q008"]
        assert report["questions"] == 10
        assert [arm["failed"] for arm in report["arms"]] == [0, 2]
        assert not any(fail(prompt) for prompt in engine.asked)
    failed = [row for row in rows(evaluation.folder / "passages" / "gold.jsonl") if "error" in row]
    assert failed == [{"id": name, "error": "error 500"} for name in ("q004", "q008")]


def test_answers_whose_tokens_cannot_be_counted_are_failures_too(make_task, make_evaluation, refusing, items):
    make_task(items)
    engine = refusing(fail=lambda text: text == f" {items[5].options[0]}")
    report = llm.evaluate(make_evaluation([NONE], max_failed=1), engine)
    assert report["left_out"] == ["q005"]


def test_a_question_that_an_oracle_cannot_ask_about_is_a_failure_like_others(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    oracle = {"kind": "oracle", "retriever": "bm25", "candidates": 3, "options": {"k": 1}}
    engine = scripted(fail=lambda prompt: "number 7 on" in prompt)
    evaluation = make_evaluation([{**BM25, "name": "found"}, oracle])
    with pytest.raises(CompendiaError, match=r"question 'q007' in the arm oracle\(bm25\): error 500"):
        llm.evaluate(evaluation, engine, store)
    report = llm.evaluate(evaluation.model_copy(update={"max_failed": 1}), engine, store)
    assert report["left_out"] == ["q007"]
    assert [arm["failed"] for arm in report["arms"]] == [1, 1]
    assert report["arms"][1]["retrieval"]["passages"] == 1.0


def test_what_a_passage_loses_is_counted(make_task, make_evaluation, scripted, items, store):
    make_task(items)
    evaluation = make_evaluation([NONE, GOLD], options={"characters": 10})
    report = llm.evaluate(evaluation, scripted(), store)
    lost = sum(len(item.gold[0].text) - 10 for item in items)
    assert report["arms"][1]["retrieval"]["cut"] == {"characters": lost, "questions": 12}
    assert f"{lost:,} characters of passages cut off" in (evaluation.folder / "report.html").read_text()


def test_arms_that_cannot_be_are_errors(make_task, make_evaluation, scripted, items, store):
    make_task([*items, Item("bare", "x", "No gold?", ("a", "b"), 0)])
    with pytest.raises(UsageError, match="question 'bare' of test has no gold passage"):
        llm.evaluate(make_evaluation([NONE, GOLD]), scripted(), store)
    with pytest.raises(UsageError, match="bm25 needs a store"):
        llm.evaluate(make_evaluation([BM25]), scripted())
    with pytest.raises(UsageError, match="two arms are named 'bm25'"):
        llm.evaluate(make_evaluation([BM25, BM25]), scripted(), store)
    with pytest.raises(UsageError, match="no arm of that name before it shows any"):
        llm.evaluate(make_evaluation([{"kind": "wrong", "of": "bm25"}, BM25]), scripted(), store)
    wrong_twice = [{**WRONG, "name": "other"}, {"kind": "wrong", "of": "other"}]
    with pytest.raises(UsageError, match="no arm of that name before it shows any of its own"):
        llm.evaluate(make_evaluation([NONE, *wrong_twice]), scripted(), store)
    with pytest.raises(UsageError, match="takes passages from 1 source"):
        llm.evaluate(make_evaluation([{**BM25, "leave_one_out": True}]), scripted(), store)


def test_a_control_shows_as_its_arm_does_but_for_what_it_sets_itself(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    form = {"k": 2, "characters": 9, "template": "T: {text}", "order": "best-first", "position": "question"}
    shown = {"kind": "retriever", "name": "shown", "retriever": "bm25", "options": form, "ks": [1]}
    controls = [
        {"kind": "wrong", "of": "shown"},
        {"kind": "wrong", "of": "shown k=1"},
        {"kind": "wrong", "name": "own k", "of": "shown", "options": {"k": 3}},
        {**WRONG, "name": "not gold"},
        {**GOLD, "options": {"characters": 4}},
    ]
    report = llm.evaluate(make_evaluation([NONE, shown, *controls]), scripted(), store)
    arms = {arm["arm"]: arm for arm in report["arms"]}
    assert arms["wrong(shown)"]["options"] == arms["shown"]["options"]
    assert arms["wrong(shown k=1)"]["options"] == arms["shown k=1"]["options"]
    assert arms["own k"]["options"] == {**arms["shown"]["options"], "k": 3}
    assert arms["not gold"]["options"] == arms["gold"]["options"]
    for name, k in (("wrong(shown)", 2), ("wrong(shown k=1)", 1), ("own k", 3)):
        assert (arms[name]["k"], arms[name]["retrieval"]["passages"]) == (k, k)
        assert arms[name]["retrieval"]["cut"]["questions"] == 12


def test_failed_requests_are_counted_kept_apart_and_asked_again(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    broken = scripted(fail=lambda prompt: "number 3 " in prompt.rpartition("Question:")[2])
    evaluation = make_evaluation([NONE, GOLD])
    with pytest.raises(
        CompendiaError, match=r"1 of 12 questions of the arm none were not answered.*error 500"
    ):
        llm.evaluate(evaluation, broken, store)
    engine = scripted()
    report = llm.evaluate(evaluation, engine, store)
    closed = [prompt for prompt in engine.asked if not prompt.startswith("The capital")]
    assert len(set(closed)) == 1
    assert "number 3 " in closed[0]
    assert [arm["failed"] for arm in report["arms"]] == [0, 0]
    assert report["questions"] == 12


def test_failures_that_are_allowed_leave_a_question_out_of_every_arm(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    broken = scripted(fail=lambda prompt: prompt.startswith("The capital of country 3 "))
    report = llm.evaluate(make_evaluation([NONE, GOLD], max_failed=1), broken, store)
    assert report["questions"] == 11
    assert report["left_out"] == ["q003"]
    assert [arm["failed"] for arm in report["arms"]] == [0, 1]


def test_a_server_that_is_gone_stops_the_run_at_once(make_task, make_evaluation, scripted, items):
    make_task(items)
    engine = scripted(fail=lambda _: True)
    with pytest.raises(CompendiaError, match="4 of 12 questions"):
        llm.evaluate(make_evaluation([NONE], batch=4), engine)
    assert len(engine.asked) == 16  # four questions of four options


def test_another_run_in_the_same_folder_is_an_error_and_a_new_arm_is_not(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    llm.evaluate(make_evaluation([NONE]), scripted(), store)
    with pytest.raises(UsageError, match="other are engine"):
        llm.evaluate(make_evaluation([NONE]), scripted(revision="2"), store)
    with pytest.raises(UsageError, match="other are questions, questions_hash"):
        llm.evaluate(make_evaluation([NONE], limit=4), scripted(), store)
    engine = scripted()
    report = llm.evaluate(make_evaluation([NONE, GOLD]), engine, store)
    assert all(prompt.startswith("The capital") for prompt in engine.asked)
    assert [arm["arm"] for arm in report["arms"]] == ["none", "gold"]
    with pytest.raises(UsageError, match="other are arm gold"):
        llm.evaluate(
            make_evaluation([NONE, {**GOLD, "options": {"order": "best-first", "k": 2}}]), engine, store
        )
    again = scripted(revision="2")
    llm.evaluate(make_evaluation([NONE]), again, store, restart=True)
    assert again.asked


def test_an_arm_that_comes_back_changed_is_found_and_asked_anew(
    make_task, make_evaluation, scripted, items, store
):
    make_task(items)
    shown = {"kind": "retriever", "retriever": "bm25", "name": "shown"}
    llm.evaluate(make_evaluation([NONE, shown], options={"k": 1}), scripted(), store)
    llm.evaluate(make_evaluation([NONE], options={"k": 1}), scripted(), store)
    back = make_evaluation([NONE, {**shown, "options": {"k": 2}}], options={"k": 1})
    report = llm.evaluate(back, scripted(), store)
    assert [len(row["passages"]) for row in rows(back.folder / "passages" / "shown.jsonl")] == [2] * 12
    assert report["arms"][1]["retrieval"]["passages"] == 2.0


def test_runs_of_other_questions_with_equal_ids_are_not_compared(
    make_task, make_evaluation, scripted, items, tmp_path
):
    make_task(items)
    first = make_evaluation([NONE], out=str(tmp_path / "first"))
    llm.evaluate(first, scripted())
    make_task([replace(item, question=f"{item.question} Now?") for item in items])
    second = make_evaluation([NONE], out=str(tmp_path / "second"))
    llm.evaluate(second, scripted())
    with pytest.raises(UsageError, match="have equal ids and are not the same"):
        llm.compare(first.folder, second.folder)


def test_runs_with_allowed_failures_are_compared_on_what_both_answered(
    make_task, make_evaluation, scripted, items, tmp_path
):
    make_task(items)
    runs = []
    for name, number in (("first", 3), ("second", 5)):
        runs.append(make_evaluation([NONE, GOLD], max_failed=1, out=str(tmp_path / name)))
        llm.evaluate(
            runs[-1], scripted(fail=lambda text, n=number: text.startswith(f"The capital of country {n} "))
        )
    compared = llm.compare(*(evaluation.folder for evaluation in runs))
    assert compared["left_out"] == ["q003", "q005"]
    assert compared["questions"] == 10
    assert [arm["difference"]["accuracy"]["value"] for arm in compared["arms"]] == [0.0, 0.0]
    samples = runs[0].folder / "samples" / "none.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UsageError, match="first lacks answers of the arm none, to 2 questions"):
        llm.compare(*(evaluation.folder for evaluation in runs))


def test_examples_and_no_examples_before_the_same_questions_are_compared(
    make_task, make_evaluation, scripted, items, tmp_path
):
    example = replace(items[0], id="example", references=("Rome",))
    make_task(items, few_shot=lambda _: {"": (example,)})
    runs = [make_evaluation([NONE], shots=shots, out=str(tmp_path / f"{shots}")) for shots in (0, 1)]
    for evaluation in runs:
        llm.evaluate(evaluation, scripted())
    assert llm.compare(*(evaluation.folder for evaluation in runs))["questions"] == 12


def test_answers_of_the_cache_are_not_asked_again_unless_something_that_matters_differs(
    make_task, make_evaluation, scripted, items, tmp_path
):
    make_task(items)
    cache = str(tmp_path / "cache")

    def asked(name, **options):
        engine = scripted(**options)
        report = llm.evaluate(make_evaluation([NONE], out=str(tmp_path / name), cache=cache), engine)
        return len(engine.asked), report["arms"][0]["cached"]

    assert asked("one") == (48, 0)
    assert asked("two") == (0, 12)
    assert asked("three", revision="2") == (48, 0)
    make_task(items, continuations=lambda item: tuple(f" {text}!" for text in item.options))
    assert asked("four") == (48, 0)


def test_prompts_can_be_printed_without_a_model(make_task, make_evaluation, items, store):
    make_task(items)
    evaluation = make_evaluation([NONE, BM25, {"kind": "wrong", "of": "bm25"}])
    prompts = dict(llm.prompts_of(evaluation, 1, store, None))
    assert prompts["none"] == "Question: Which town is the capital of country number 0 on the map?\nAnswer:"
    assert prompts["bm25"] == f"{items[0].gold[0].text}\n\n{prompts['none']}"
    assert prompts["wrong(bm25)"].endswith(prompts["none"])
    assert prompts["wrong(bm25)"] != prompts["bm25"]
    assert llm.needs_engine(make_evaluation([NONE, {"kind": "oracle", "retriever": "bm25"}]))
    ranking = {"kind": "retriever", "retriever": "bm25 >> rerank_lm(model = 'engine')"}
    assert llm.needs_engine(make_evaluation([NONE, ranking]))
    assert not llm.needs_engine(evaluation)
    with pytest.raises(UsageError, match="no question 13, there are 12"):
        llm.prompts_of(evaluation, 13, store, None)


@pytest.mark.slow
def test_a_real_model_reads_the_right_abstract_better_than_a_wrong_one(
    offline_engine, make_evaluation, make_store, test_data
):
    from eval.tasks import find_task

    items = find_task("pubmedqa:likelihood").read(test_data / "pubmedqa")
    texts = [item.gold[0].text for item in items[:200]]
    store = make_store(texts, ids=[item.gold[0].id for item in items[:200]])
    evaluation = make_evaluation(
        [NONE, BM25, GOLD, WRONG],
        task="pubmedqa:likelihood",
        root=str(test_data),
        data="pubmedqa",
        limit=8,
        options={"query": "question", "k": 1},
    )
    report = llm.evaluate(evaluation, offline_engine, store)
    perplexity = {arm["arm"]: arm["measures"]["perplexity"]["value"] for arm in report["arms"]}
    assert perplexity["gold"] < 0.75 * perplexity["none"]
    assert perplexity["gold"] < 0.75 * perplexity["wrong"]


def test_what_a_reader_has_to_know_stands_in_the_report(make_task, make_evaluation, scripted, items, store):
    named = [
        replace(item, subject=f"subject {number % 3}", question=f"The capital of country {number} is?")
        for number, item in enumerate(items)
    ]
    make_task(named)
    evaluation = make_evaluation([NONE, {**BM25, "options": {"query": "question"}}])

    report = llm.evaluate(evaluation, scripted(), store)

    few, short = report["cautions"]
    assert few.startswith("intervals by 3 subjects are too narrow")
    assert short.startswith(f"bm25: {len(items)} queries have fewer than 8 words")
    page = (evaluation.folder / "report.html").read_text()
    assert few in page


@pytest.mark.parametrize(
    ("options", "own", "message", "hint"),
    [
        ({"keep": ["tset"]}, {}, "no source 'tset' to keep", 'did you mean "test"'),
        ({}, {"leave_out": ["tets"]}, "no source 'tets' to keep", 'did you mean "test"'),
        ({"leave_out": ["test"]}, {}, "the arm bm25 keeps none of its sources", "known: test"),
    ],
)
def test_sources_that_are_not_there_are_refused(
    make_task, make_evaluation, scripted, items, store, options, own, message, hint
):
    make_task(items)
    evaluation = make_evaluation([NONE, {**BM25, "options": own}], options=options)
    with pytest.raises(UsageError, match=message) as error:
        llm.evaluate(evaluation, scripted(), store)
    assert hint in error.value.hint


def test_a_source_of_one_arm_may_be_left_out_for_all(
    make_task, make_evaluation, scripted, items, store, tmp_path
):
    make_task(items)
    contexts = [{"source": source, "retrieval text": source} for source in ("atlas", "news")]
    lines = [json.dumps({"id": item.id, "ctxs": contexts}) for item in items]
    (tmp_path / "found.jsonl").write_text("\n".join(lines))
    file = {"kind": "file", "path": "found.jsonl"}
    evaluation = make_evaluation([NONE, BM25, file], options={"k": 1, "leave_out": ["atlas"]})
    report = llm.evaluate(evaluation, scripted(), store)
    assert [arm["retrieval"] and arm["retrieval"]["passages"] for arm in report["arms"]] == [None, 1.0, 1.0]


def test_questions_that_were_shown_too_few_passages_are_counted(
    make_task, make_evaluation, scripted, items, tmp_path
):
    make_task(items)
    lines = [
        {"id": item.id, "ctxs": [{"retrieval text": f"{item.id} {rank}"} for rank in range(count)]}
        for item, count in zip(items, [0, 0, 1, *[2] * 9], strict=True)
    ]
    (tmp_path / "found.jsonl").write_text("\n".join(map(json.dumps, lines)))
    arms = [NONE, {"kind": "file", "path": "found.jsonl"}, GOLD, WRONG]
    report = llm.evaluate(make_evaluation(arms, options={"k": 2}), scripted())
    counts = [arm["few_passages"] for arm in report["arms"]]
    assert counts == [None, {"none": 2, "fewer": 1}, *[{"none": 0, "fewer": 12}] * 2]
    assert [
        caution for caution in report["cautions"] if "no passage" in caution or "fewer than 2" in caution
    ] == ["found: no passage before 2 questions, fewer than 2 before 1 questions"]
