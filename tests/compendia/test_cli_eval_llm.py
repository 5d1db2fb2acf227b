"""`compendia eval llm` and `compendia eval compare`, with a model that answers by what it is shown."""

from __future__ import annotations

import json

import pytest
import yaml

from datastore.protocols import LogLikelihood
from eval.engines import EngineFingerprint, RequestsFailedError

QUESTIONS = [
    ("Do leaves fall in autumn?", "Leaves fall in autumn, yes they do.", "yes"),
    ("Is snow warm in winter?", "Snow was measured, and no, it is cold.", "no"),
    ("May birds sing at night?", "Some birds sing at dawn, maybe at night.", "maybe"),
    ("Do stones swim in water?", "Stones, no matter which, do not swim.", "no"),
]


class Reader:
    """Believes the first choice that stands before the question; without one, yes."""

    retries = 0

    def __init__(self, model: str) -> None:
        self.fingerprint = EngineFingerprint(
            model=model, revision="1", dtype="float32", context_tokens=500, engine="test"
        )

    def log_likelihoods(self, prompts, continuations):
        return [
            LogLikelihood(-1.0 if text.strip() in before else -2.0 - (text != " yes"), 1)
            for before, text in zip(
                (prompt.partition("Question:")[0] for prompt in prompts), continuations, strict=True
            )
        ]

    def count_tokens(self, prompts):
        return [len(prompt.split()) for prompt in prompts]

    def close(self):
        pass


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr("eval.load_engine", lambda config: Reader(config.model))
    (tmp_path / "data").mkdir()
    lines = [
        {"pmid": str(i), "question": question, "contexts": [text], "long_answer": f"{choice}.", "final_decision": choice}
        for i, (question, text, choice) in enumerate(QUESTIONS)
    ]  # fmt: skip
    (tmp_path / "data" / "pqal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    source = {
        "name": "pubmed", "kind": "files", "path": "pqal.jsonl", "format": "jsonl",
        "fields": {"id": "pmid", "text": "contexts"},
    }  # fmt: skip
    evaluation = {
        "name": "abstracts",
        "task": "pubmedqa",
        "root": "data",
        "data": "pqal.jsonl",
        "options": {"k": 1},
        "corpus": {"sources": [source]},
        "arms": [
            {"kind": "none"},
            {"kind": "retriever", "name": "retrieved", "retriever": "bm25"},
            {"kind": "gold"},
        ],
    }
    path = tmp_path / "abstracts.yaml"
    path.write_text(yaml.safe_dump(evaluation))
    return path


def test_json_names_the_store_the_model_and_the_code(invoke, config):
    done = invoke("eval", "llm", "--config", config, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert report["schema"] == "compendia.eval.llm/2"
    assert (report["task"], report["questions"]) == ("pubmedqa", 4)
    assert report["engine"]["model"] == "offline"
    assert (report["store"]["version"], len(report["store"]["recipe_hash"])) == (1, 32)
    assert report["code"]["version"]
    accuracy = {arm["arm"]: arm["measures"]["accuracy"]["value"] for arm in report["arms"]}
    assert accuracy == {"none": 0.25, "retrieved": 1.0, "gold": 1.0}
    assert report["arms"][1]["retrieval"]["gold_shown"] == 1.0


def test_a_corpus_may_leave_out_what_gives_the_task_away(invoke, config):
    rule = "{questions: [pubmedqa=pqal.jsonl], ngram_words: 4, min_question_words: 4}"
    done = invoke("eval", "llm", "--config", config, "--json", "--set", f"corpus.decontaminate={rule}")
    assert done.code == 0, done.err
    assert (
        done.json["arms"][1]["retrieval"]["gold_shown"] == 0.75
    )  # but for the first, "leaves fall in autumn"


def test_a_table_is_printed_and_the_page_named(invoke, config):
    printed = invoke("eval", "llm", "--config", config, "--limit", "3", "--out", "there").out
    assert "pubmedqa: 3 questions, offline float32; 95 % intervals over questions" in printed
    assert "retrieved  1.000 [1.000, 1.000]  +" in printed
    assert "McNemar" in printed
    assert printed.rstrip().endswith("there/report.html")


def test_prompts_are_printed_without_a_run(invoke, config, tmp_path):
    done = invoke("eval", "llm", "--config", config, "--print-prompt", "2")
    question, text, _ = QUESTIONS[1]
    assert done.out.split("--- ")[1] == f"none\nQuestion: {question}\nAnswer:\n"
    assert done.out.split("--- ")[2] == f"retrieved\n{text}\n\nQuestion: {question}\nAnswer:\n"
    assert not (tmp_path / "runs").exists()
    refused = invoke("eval", "llm", "--config", config, "--print-prompt", "5")
    assert (refused.code, "no question 5, there are 4" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("taks=mmlu", "unknown key 'taks': did you mean \"task\"?"),
        ("options.orders=x", 'did you mean "order"?'),
        ("arms.retrieved.options.kk=2", 'did you mean "k"?'),
        ("arms.retrieved.retriver=dense", 'did you mean "retriever"?'),
        ("engine.modle=x", 'did you mean "model"?'),
        ("task=pubmedqq", 'did you mean "pubmedqa"?'),
        ("options.template=hello", "without its {text}"),
        ("options.template={title}: {text}", """--set 'options.template="{title}: {text}"'"""),
        ("options.template={titel}", "expected text, got {'titel': None}; in quotes it is text"),
        ('options.template="{titel}"', "there is no {titel}, only text"),
        ("options.characters=0", "greater than or equal to 1"),
        ("arms.retrieved.retriever=bm52", 'did you mean "bm25"?'),
        ("data=nowhere.jsonl", "nowhere.jsonl"),
        ("shots=3", "has 0 examples for pubmedqa, not 3"),
        ("corpus={}", "sources"),
        ("corpus={sources: wikipedia}", "sources"),
        ("corpus={sources: [wikipedia]}", "sources"),
    ],
)
def test_what_cannot_be_evaluated_says_why(invoke, config, setting, message):
    refused = invoke("eval", "llm", "--config", config, "--set", setting)
    assert refused.code in (2, 3)
    assert message in refused.err, refused.err


def test_a_template_in_quotes_is_text(invoke, config):
    done = invoke("eval", "llm", "--config", config, "--json", "--set", 'options.template="{title}: {text}"')
    assert done.code == 0, done.err
    assert {arm["options"]["template"] for arm in done.json["arms"]} == {"{title}: {text}"}


def test_two_runs_are_compared_on_the_same_questions(invoke, config):
    for out, model in (("first", "small"), ("second", "large")):
        assert (
            invoke("eval", "llm", "--config", config, "--out", out, "--set", f"engine.model={model}").code
            == 0
        )
    compared = invoke("eval", "compare", "first", "second", "--json").json
    assert compared["schema"] == "compendia.eval.compare/1"
    assert [run["engine"]["model"] for run in compared["runs"]] == ["small", "large"]
    assert [arm["arm"] for arm in compared["arms"]] == ["none", "retrieved", "gold"]
    assert {arm["difference"]["accuracy"]["value"] for arm in compared["arms"]} == {0.0}
    assert compared["left_out"] == []
    printed = invoke("eval", "compare", "first", "second").out
    assert "pubmedqa: 4 questions in both" in printed
    assert invoke("eval", "llm", "--config", config, "--out", "third", "--limit", "3").code == 0
    refused = invoke("eval", "compare", "first", "third")
    assert refused.code == 2
    assert "answers 4 questions and third 3, not the same" in refused.err


def test_questions_that_one_run_did_not_answer_are_left_out_and_named(invoke, config, monkeypatch):
    class Refusing(Reader):
        def log_likelihoods(self, prompts, continuations):
            answers = super().log_likelihoods(prompts, continuations)
            failures = {number: "error 500" for number, text in enumerate(prompts) if "snow warm" in text}
            if not failures:
                return answers
            raise RequestsFailedError(
                [None if number in failures else answer for number, answer in enumerate(answers)], failures
            )

    assert invoke("eval", "llm", "--config", config, "--out", "first").code == 0
    monkeypatch.setattr("eval.load_engine", lambda config: Refusing(config.model))
    done = invoke("eval", "llm", "--config", config, "--out", "second", "--set", "max_failed=1")
    assert done.code == 0, done.err
    compared = invoke("eval", "compare", "first", "second")
    assert "pubmedqa: 3 questions in both" in compared.out
    assert "left out as one of them did not answer: 1 questions, 1\n" in compared.out
