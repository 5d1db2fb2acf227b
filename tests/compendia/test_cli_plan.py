"""`compendia plan`: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
from functools import partial

import pytest

pytestmark = pytest.mark.smoke


@pytest.fixture
def plan(invoke):
    """`plan("--passages", "1M", …)` as typed."""
    return partial(invoke, "plan")


def test_the_json_of_a_plan(plan):
    done = plan("--passages", "40k", "--dimension", "100", "--ram", "8GB", "--recall", "0.95", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["schema"] == "compendia.plan/1"
    assert set(found) == {
        "schema", "passages", "dimension", "family", "parameters", "bytes", "effort", "candidates", "recall",
        "cold_share", "query_us", "build",
    }  # fmt: skip
    assert (found["passages"], found["dimension"]) == (40_000, 100)
    assert (found["family"], found["parameters"]) == ("flat", {"bits": 4, "engine": "faiss"})
    assert (found["effort"], found["recall"], found["cold_share"]) == (None, 0.95, None)
    for place in ("ram", "disk"):
        parts = dict(found["bytes"][place])
        assert parts.pop("total") == sum(parts.values())
    assert set(found["bytes"]["ram"]) == {"codes", "row tables", "live mask", "filter masks", "total"}
    assert found["bytes"]["disk"]["vectors"] == 40_000 * 200
    assert found["query_us"].keys() == {"warm", "cold"}
    assert all(times.keys() == {"batch_1", "batch_64"} for times in found["query_us"].values())
    assert found["build"]["seconds"].keys() == {"encode", "total"}
    assert found["build"]["ram_bytes"] > 0


def test_a_plan_to_read(plan):
    done = plan("--passages", "1.5M", "--dimension", "384", "--machine-ram", "64GiB")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "1,500,000 passages, 384 dimensions"
    assert lines[1] == "index       ivf_pq, lists 4899, subquantizers 192, bits 4"
    assert [line.split()[0] for line in lines] == [
        "1,500,000", "index", "RAM", "disk", "search", "warm", "cold", "build", "page",
    ]  # fmt: skip
    assert "ids 12.0 MB, centroids 4.2 MB" in lines[2]
    assert lines[-1] == "page cache  100% of the exact vectors"


def test_a_store_without_an_index(plan):
    done = plan("--passages", "3", "--dimension", "6")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1] == "index       no index"
    assert json.loads(plan("--passages", 3, "--dimension", 6, "--json").out)["family"] == "exact"


def test_over_budget_has_its_own_exit_code_and_says_what_fits(plan):
    done = plan("--passages", "1.85B", "--dimension", "768", "--ram", "125GiB")
    assert (done.code, done.out) == (5, "")
    assert "134.2 GB are allowed" in done.err
    assert "what fits: recall 0." in done.err


def test_parameters_of_the_family(plan):
    done = plan(
        "--passages", "40k", "--dimension", "384", "--family", "hnsw_sq8",
        "--set", "links=8", "--set", "reduction={kind: pca, dimension: 192}", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    parameters = json.loads(done.out)["parameters"]
    assert parameters["links"] == 8
    assert parameters["reduction"] == {"kind": "pca", "dimension": 192}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--passages", "many"], "'many' is no number of passages"),
        (["--passages", "1.5"], "'1.5' is no number of passages"),
        (["--passages", "0"], "'0' is no number of passages"),
        (["--ram", "8 gigs"], "'8 gigs' is not a size"),
        (["--recall", "1"], "recall: Input should be less than 1"),
        (["--family", "annoy"], "family: Input should be"),
        (["--metric", "euclid"], "there is no metric 'euclid'"),
        (["--vectors", "int8"], "there is no vectors 'int8'"),
        (["--set", "bits"], "--set takes NAME=VALUE"),
        (["--set", "bits=[1"], "--set bits=[1"),
        (["--set", "bits=many"], "index.parameters.bits must be a whole number, got 'many'"),
        (["--set", "bitz=4"], 'did you mean "bits"?'),
        (["--dimension", "0"], "Invalid value"),
    ],
)
def test_what_means_nothing_is_a_usage_error(plan, arguments, message):
    given = {"--passages": "40k", "--dimension": "384"}
    given.update(zip(arguments[::2], arguments[1::2], strict=True))
    done = plan(*(word for pair in given.items() for word in pair))
    assert done.code == 2
    assert message in done.err


def test_counts_may_be_abbreviated(plan):
    for text, rows in (
        ("250000", 250_000),
        ("250,000", 250_000),
        ("380M", 380_000_000),
        ("1.85b", 1_850_000_000),
    ):
        done = plan("--passages", text, "--dimension", 8, "--json")
        assert json.loads(done.out)["passages"] == rows


def test_what_no_index_should_reach_is_refused_but_planned_by_name(plan):
    asked = ("--passages", "1000000000000B", "--dimension", "384")

    done = plan(*asked)

    assert (done.code, done.out) == (2, "")
    assert "should reach recall 0.95" in done.err
    assert "--family flat" in done.err
    assert plan(*asked, "--family", "flat").code == 0


def test_one_passage_and_powers_of_ten(plan):
    assert plan("--passages", "1", "--dimension", "6").out.startswith("1 passage, 6 dimensions\n")
    assert plan("--passages", "1e6", "--dimension", "384").out.startswith("1,000,000 passages, ")
