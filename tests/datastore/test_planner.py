"""The planner: which index a size gets, to the byte, and what it says when a budget is too small."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datastore import Datastore
from datastore.checks import parse_bytes
from datastore.errors import OverBudgetError, UsageError
from datastore.index.config import IndexConfig
from datastore.index.dense import Plan, Vectors, build_index, index_footprint
from datastore.planning.costs import exact_rows_us, query_us
from datastore.planning.expected import coverage, expect
from datastore.planning.planner import alternatives, needed_and_allowed, plan_index, ram_bytes
from datastore.planning.preference import lists_for, subquantizers_for
from datastore.planning.sizing import plan_store

AUTO = IndexConfig()
ROWS = st.integers(min_value=1, max_value=3_000_000_000)
FAMILIES = st.sampled_from(["flat", "ivf_pq", "ivf_rabitq", "hnsw_sq8"])


def planned(rows: int, dimension: int, **config: object) -> Plan | None:
    return plan_index(rows, dimension, "cosine", IndexConfig.model_validate(config))


# What a size gets


@pytest.mark.parametrize(
    ("rows", "family"),
    [(0, None), (1, None), (1_999, None), (2_000, "flat"), (300_000, "flat"), (300_001, "ivf_pq")],
)
def test_the_family_goes_by_the_number_of_passages(rows, family):
    plan = plan_index(rows, 384, "cosine", AUTO)
    assert (plan and plan.family) == family


def test_a_million_gets_4_bit_codes_of_two_dimensions_each():
    assert plan_index(1_000_000, 384, "cosine", AUTO) == Plan(
        "ivf_pq", {"lists": 4_000, "subquantizers": 192, "bits": 4}
    )


def test_the_same_question_has_the_same_answer():
    assert len({str(plan_index(1_000_000, 768, "cosine", AUTO)) for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("rows", "lists"), [(0, 1), (1, 1), (100, 12), (40_000, 800), (1_000_000, 4_000), (10**9, 65_536)]
)
def test_lists_grow_with_the_square_root(rows, lists):
    assert lists_for(rows) == lists


@pytest.mark.parametrize(
    ("dimension", "each", "count"),
    [
        (384, 2, 192),
        (384, 4, 96),
        (6, 2, 3),
        (6, 4, 2),
        (100, 8, 20),
        (257, 2, 257),
        (1536, 2, 768),
        (1, 2, 1),
    ],
)
def test_subquantizers_share_the_dimension_out_evenly(dimension, each, count):
    assert subquantizers_for(dimension, each) == count


@pytest.mark.parametrize("dimension", [1, 6, 100, 257, 1536])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("rows", [10, 40_000, 1_000_000])
def test_every_dimension_and_metric_has_a_plan(rows, dimension, metric):
    store = plan_store(rows, dimension, metric, AUTO)
    assert store.recall == pytest.approx(0.95) or store.index is None
    assert all(count >= 0 for count in store.ram_bytes.values())


def test_what_is_asked_for_by_name_is_taken_and_the_rest_is_chosen():
    assert planned(40_000, 384, family="ivf_rabitq", parameters={"bits": 2}) == Plan(
        "ivf_rabitq", {"lists": 800, "bits": 2}
    )
    assert planned(500, 384, family="ivf_pq") == Plan(
        "ivf_pq", {"lists": 62, "subquantizers": 192, "bits": 4}
    )
    assert planned(10**6, 384, family="exact") is None
    graph = planned(10**6, 384, family="hnsw_sq8")
    assert graph is not None
    assert graph.family == "hnsw_sq8"


def test_parameters_alone_choose_among_the_families_that_have_them():
    plan = planned(40_000, 384, parameters={"lists": 100})
    assert plan is not None
    assert (plan.family, plan.parameters["lists"]) == ("ivf_pq", 100)


def test_little_ram_gets_shorter_codes_and_less_ram_still_shorter_ones():
    plans = [planned(10**6, 384, ram_bytes=budget * 10**6) for budget in (125, 80, 60)]
    assert [plan and (plan.family, plan.parameters.get("subquantizers")) for plan in plans] == [
        ("ivf_pq", 192),
        ("ivf_pq", 96),
        ("ivf_pq", 64),
    ]


def test_one_bit_a_dimension_is_for_candidates_from_disk_and_for_recall_beyond_shorter_codes():
    budget = IndexConfig(ram_bytes=80 * 10**6)
    from_disk = plan_index(10**6, 384, "cosine", budget, machine_ram_bytes=500 * 10**6)
    beyond = planned(380 * 10**6, 768, ram_bytes=50 * 10**9)
    for plan in (from_disk, beyond):
        assert plan is not None
        assert (plan.family, plan.parameters["bits"]) == ("ivf_rabitq", 1)


def test_exact_vectors_beyond_the_page_cache_get_codes_of_more_bits():
    warm = plan_index(10**6, 384, "cosine", AUTO, machine_ram_bytes=4 * 10**9)
    cold = plan_index(10**6, 384, "cosine", AUTO, machine_ram_bytes=500 * 10**6)
    assert warm == plan_index(10**6, 384, "cosine", AUTO)
    assert cold is not None
    assert (cold.family, cold.parameters["bits"]) == ("ivf_rabitq", 4)


def test_a_recall_that_inverted_lists_do_not_reach_gets_a_scan():
    plan = planned(10**6, 384, recall=0.999)
    assert plan is not None
    assert plan.family == "flat"


def test_a_flat_index_has_the_same_codes_at_any_size():
    assert [planned(rows, 100, family="flat") for rows in (300_000, 300_001, 10**9)] == [
        Plan("flat", {"bits": 4, "engine": "faiss"})
    ] * 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bit": 4}, "flat has no parameter 'bit'"),
        ({"bits": 0}, "index.parameters.bits must be at least 1, got 0"),
        ({"bits": "four"}, "index.parameters.bits must be a whole number"),
        ({"reduction": {"kind": "pca", "dimension": 385}}, "cannot reduce 384 dimensions to 385"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        planned(40_000, 384, family="flat", parameters=parameters)


# To the byte


def test_bytes_of_a_million_in_inverted_lists():
    ram = plan_store(1_000_000, 384, "cosine", AUTO).ram_bytes
    assert ram["ids"] == 8_000_000
    assert ram["centroids"] == 4_000 * (2 * 384 + 192 // 2)
    assert ram["live mask"] == 1_000_000
    assert ram["filter masks"] == 2_000_000
    assert ram["row tables"] == 8 * 501
    # 96 bytes a code; lists are padded to whole blocks of 32 codes
    assert 96_000_000 <= ram["codes"] <= 96_000_000 + 4_000 * (31 * 96 + 500)


def test_bytes_of_more_lists_than_passages():
    config = IndexConfig(family="ivf_pq", parameters={"lists": 65_536})
    ram = plan_store(1_000, 384, "cosine", config).ram_bytes
    assert ram["centroids"] == 1_000 * (2 * 384 + 192 // 2)
    assert ram["codes"] > 0


def test_bytes_of_a_graph():
    config = IndexConfig(family="hnsw_sq8")
    ram = plan_store(250_000, 384, "cosine", config).ram_bytes
    assert ram["codes"] == 250_000 * 384
    # 32 links of 4 bytes on the lowest level, 16 on the others with 1/15 of the nodes, a level and an offset
    assert ram["graph"] == round(250_000 * (128 + 64 / 15 + 12))


def test_bytes_on_disk():
    disk = plan_store(1_000, 6, "cosine", AUTO, vectors="float32", passage_bytes=100).disk_bytes
    assert disk == {"vectors": 24_000, "text and metadata": 100_000, "lookups": 32_000, "index": 0}


def test_a_reduction_shrinks_the_codes_and_counts_its_projection():
    config = IndexConfig(family="hnsw_sq8", parameters={"reduction": {"kind": "pca", "dimension": 192}})
    ram = plan_store(250_000, 384, "cosine", config).ram_bytes
    assert (ram["codes"], ram["projection"]) == (250_000 * 192, 4 * 384 * 192)


def test_compactds_takes_what_its_paper_says():
    """arXiv 2507.01297: 456 GB with 256 bytes a vector and 125 GB with 64; both are N (M + 8) bytes in GiB."""
    for subquantizers, gib in ((256, 456), (64, 125)):
        config = IndexConfig(
            family="ivf_pq", parameters={"lists": 65_536, "subquantizers": subquantizers, "bits": 8}
        )
        ram = plan_store(1_851_800_000, 768, "inner_product", config).ram_bytes
        assert ram["codes"] + 8 * 1_851_800_000 == pytest.approx(gib * 2**30, rel=0.01)


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from datastore.index.dense import open_index

def resident():
    kinds = ("RssAnon", "RssShmem")  # what is mapped from files is the page cache's
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(kinds)) * 1024

family, dimension, small, folder = sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:])
query = np.ones((1, dimension), dtype=np.float32)
open_index(family, small).search(query, 10)  # packages, threads
before = resident()
index = open_index(family, folder)
index.search(query, 10)
print(resident() - before)
"""


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("flat", {"bits": 8, "engine": "faiss"}),
        ("ivf_pq", {"lists": 100, "subquantizers": 48}),
        ("ivf_rabitq", {"lists": 100, "bits": 1}),
        ("hnsw_sq8", {"links": 8, "construction_effort": 20}),
    ],
    ids=["flat", "ivf_pq", "ivf_rabitq", "hnsw_sq8"],
)
def test_files_and_memory_are_as_predicted(tmp_path, family, parameters):
    vectors = np.random.default_rng(0).standard_normal((10_000, 96)).astype(np.float16)
    plan = Plan(family, parameters)
    for name, rows in (("small", 500), ("index", 10_000)):
        (tmp_path / name).mkdir()
        build_index(plan, Vectors([vectors[:rows]], "inner_product", 96), tmp_path / name)
    predicted = index_footprint(plan, 10_000, 96)
    written = sum(file.stat().st_size for file in (tmp_path / "index").iterdir())
    assert written == pytest.approx(predicted.file_bytes, rel=0.02)
    grown = subprocess.run(
        [sys.executable, "-c", MEASURED, family, "96", str(tmp_path / "small"), str(tmp_path / "index")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(grown.stdout) == pytest.approx(predicted.ram_bytes, rel=0.05, abs=1_500_000)


# Expectations


def test_expected_settings_are_near_those_measured_at_a_million():
    """64 of 4,000 lists: .957 with 60 candidates; .951 with 300 of codes half as long; .9505 with 150 of one bit.

    Flat codes of 4 bits: 15 to 17 candidates .95 to .99.
    """
    setting = expect("ivf_pq", {"lists": 4_000, "subquantizers": 192, "bits": 4}, 10**6, 384, 0.95)
    assert setting.effort == 64
    assert 30 <= setting.candidates <= 45
    short = expect("ivf_pq", {"lists": 4_000, "subquantizers": 96, "bits": 4}, 10**6, 384, 0.95)
    assert (short.effort, short.recall) == (64, 0.95)
    assert 150 <= short.candidates <= 220
    flat = expect("flat", {"bits": 4}, 10**6, 384, 0.99)
    assert flat.effort is None
    assert 15 <= flat.candidates <= 25
    one_bit = expect("ivf_rabitq", {"lists": 4_000, "bits": 1}, 10**6, 384, 0.95)
    assert one_bit.effort == 64
    assert 100 <= one_bit.candidates <= 150


def test_coverage_at_the_measured_points_is_what_was_measured():
    parameters = {"lists": 4_000}
    assert coverage("ivf_pq", parameters, 10**6, 64) == pytest.approx(0.960)
    assert coverage("ivf_pq", parameters, 10**6, 4_000) == 1.0
    assert coverage("hnsw_sq8", {}, 250_000, 128) == pytest.approx(0.978)


@given(effort=st.integers(1, 1_000), lists=st.integers(1, 65_536))
def test_more_lists_probed_never_cover_less_and_more_lists_never_more(effort, lists):
    here = coverage("ivf_pq", {"lists": lists}, 10**6, effort)
    assert 0 <= here <= coverage("ivf_pq", {"lists": lists}, 10**6, effort + 1) <= 1
    assert coverage("ivf_pq", {"lists": 2 * lists}, 10**6, effort) <= here


# Monotone


@given(family=FAMILIES, rows=ROWS, more=ROWS, dimension=st.sampled_from([6, 100, 257, 384, 768]))
def test_more_passages_never_cost_less_ram(family, rows, more, dimension):
    config = IndexConfig(family=family)
    fewer, many = (
        ram_bytes(plan_index(count, dimension, "cosine", config), count, dimension)
        for count in (rows, rows + more)
    )
    assert fewer <= many


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(2_000, 3_000_000_000),
    dimension=st.sampled_from([6, 100, 257, 384, 768, 1536]),
    share=st.floats(0.01, 1.2),
    more=st.floats(1, 5),
    recall=st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]),
    family=st.sampled_from(["auto", "flat", "ivf_pq", "ivf_rabitq"]),
)
def test_a_bigger_budget_never_gives_less_recall(rows, dimension, share, more, recall, family):
    small = int(rows * dimension * share)
    found = []
    for budget in (small, int(small * more)):
        config = IndexConfig(family=family, ram_bytes=budget, recall=recall)
        try:
            store = plan_store(rows, dimension, "cosine", config)
        except OverBudgetError:
            found.append(0.0)
        else:
            assert sum(store.ram_bytes.values()) <= budget
            found.append(store.recall)
    assert found[0] <= found[1]


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(2_000, 3_000_000_000),
    dimension=st.sampled_from([6, 100, 257, 384, 768, 1536]),
    share=st.floats(0.01, 0.6),
    recall=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
    family=st.sampled_from(["auto", "ivf_pq", "hnsw_sq8"]),
)
def test_what_a_refusal_suggests_fits(rows, dimension, share, recall, family):
    config = IndexConfig(family=family, ram_bytes=max(1, int(rows * dimension * share)), recall=recall)
    try:
        plan_index(rows, dimension, "cosine", config)
    except OverBudgetError:
        pass
    else:
        assume(False)
    instead = alternatives(rows, dimension, "cosine", config)
    assert instead.needed_bytes > (config.ram_bytes or 0)
    plan_index(rows, dimension, "cosine", config.model_copy(update={"ram_bytes": instead.needed_bytes}))
    if instead.recall:
        lower = config.model_copy(update={"recall": instead.recall})
        assert ram_bytes(plan_index(rows, dimension, "cosine", lower), rows, dimension) <= lower.ram_bytes
    assert instead.rows < rows
    plan_index(instead.rows, dimension, "cosine", config)
    if instead.dimension:
        plan_index(rows, instead.dimension, "cosine", config)


def test_a_refusal_says_what_is_needed_and_what_would_fit():
    with pytest.raises(OverBudgetError) as refused:
        planned(1_850_000_000, 768, ram_bytes=parse_bytes("125GiB"))
    assert refused.value.exit_code == 5
    assert re.fullmatch(
        r"1,850,000,000 passages of 768 dimensions at recall 0.95 take [\d.]+ GB of RAM at least \(ivf_rabitq, .*\), "
        r"134.2 GB are allowed",
        refused.value.message,
    )
    assert re.fullmatch(
        r"what fits: recall 0.\d\d \(ivf_pq, .*\) or [\d,]+ passages or \d+ dimensions \(.*\)",
        refused.value.hint or "",
    )


# Time


@pytest.mark.parametrize(
    ("family", "parameters", "effort", "candidates", "queries_per_s"),
    [
        ("ivf_pq", {"subquantizers": 192, "bits": 4}, 64, 60, 4_583),
        ("ivf_pq", {"subquantizers": 192, "bits": 4}, 288, 80, 1_234),
        ("ivf_pq", {"subquantizers": 96, "bits": 4}, 64, 300, 5_066),
        ("ivf_pq", {"subquantizers": 96, "bits": 4}, 96, 300, 3_551),
        ("ivf_rabitq", {"bits": 1}, 64, 150, 2_370),
        ("ivf_rabitq", {"bits": 1}, 80, 150, 1_915),
    ],
)
def test_the_time_of_an_index_is_near_that_measured_at_a_million(
    family, parameters, effort, candidates, queries_per_s
):
    predicted_us = query_us(family, {"lists": 4_000, **parameters}, 10**6, 384, effort, candidates)
    predicted_us -= exact_rows_us(candidates, 384)  # measured without
    assert predicted_us == pytest.approx(1e6 / queries_per_s, rel=0.2)


def test_cold_is_slower_than_warm_and_a_batch_faster_than_a_query():
    for rows in (1_000, 40_000, 1_000_000):
        times = plan_store(rows, 384, "cosine", AUTO).query_us
        assert times["warm"][64] <= times["warm"][1] < times["cold"][1]
        assert times["cold"][64] <= times["cold"][1]


def test_the_cold_share_is_what_the_machine_has_no_room_for():
    store = plan_store(1_000_000, 384, "cosine", AUTO, machine_ram_bytes=parse_bytes("32GB"))
    assert store.cold_share == 0
    assert plan_store(1_000_000, 384, "cosine", AUTO).cold_share is None
    # beside half of the vectors: a mask, masks of filters, and the rows of one segment
    small = plan_store(1_000, 384, "cosine", AUTO, machine_ram_bytes=384_000 + 1_000 + 2_000 + 16)
    assert small.cold_share == pytest.approx(0.5)


# Sizes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8GB", 8_000_000_000),
        ("512MiB", 536_870_912),
        ("1.5 TB", 1_500_000_000_000),
        ("1kib", 1_024),
        ("64", 64),
        (64, 64),
        ("0.0015kB", 1),
    ],
)
def test_sizes_are_decimal_and_binary(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "8 gigs", "-1GB", "1e9", "8G B", "iB", "٣GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is not a size"):
        parse_bytes(text)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(UsageError, match="at least one byte"):
        parse_bytes("0GB")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reduction": {"kind": "PCA", "dimension": 8}}, "there is no reduction 'PCA'"),
        ({"reduction": 8}, "must name its kind and dimension"),
        ({"reduction": {"kind": "pca", "dimension": 65}}, "cannot reduce 64 dimensions to 65"),
        ({"reduction": {"kind": "leanvec", "dimension": 8}}, "leanvec learns from queries"),
        ({"links": 1}, "links must be at least 2"),
        ({"links": 2_000}, "links must be at most 1,024"),
        ({"construction_effort": 10**10}, "construction_effort must be at most 65,536"),
        ({"engine": "bogus"}, "engine must be one of turbovec, faiss"),
        ({"order": "bogus"}, "order must be one of given, intrinsic_dimension"),
        ({"seed": "x"}, "seed must be"),
    ],
)
def test_parameters_that_no_build_could_use_are_refused_before_there_are_rows(tmp_path, parameters, message):
    with pytest.raises(UsageError, match=message):
        Datastore.create(tmp_path / "s", dimension=64, index=IndexConfig(parameters=parameters))
    assert not (tmp_path / "s").exists()


def test_a_store_that_grows_by_adds_stays_within_its_budget(tmp_path):
    """Small indexes that would not fit together become one; what fits in no way is not added."""
    budget, vectors = 1_100_000, np.random.default_rng(0).standard_normal((40_000, 128))
    config = IndexConfig(ram_bytes=budget)
    with Datastore.create(tmp_path / "s", dimension=128, index=config) as store:
        for start in range(0, 20_000, 2_500):
            store.add(vectors=vectors[start : start + 2_500], ids=[*map(str, range(start, start + 2_500))])
            assert sum(index.rows for index in store.manifest.indexes) == len(store)
            Datastore.open(tmp_path / "s", ram=budget).close()
        whole = plan_index(20_000, 128, "cosine", config)
        assert whole is not None
        (index,) = store.manifest.indexes
        assert (index.family, index.parameters) == (whole.family, whole.parameters)

        with pytest.raises(OverBudgetError, match="40,000 passages of 128 dimensions"):
            store.add(vectors=vectors[20_000:], ids=[*map(str, range(20_000, 40_000))])
        assert (len(store), store.version) == (20_000, 9)
    Datastore.open(tmp_path / "s", ram=budget).close()


def test_a_refusal_tells_two_sizes_apart():
    assert needed_and_allowed(3_040_000, 3_000_000) == ("3.04 MB", "3.00 MB")
    assert needed_and_allowed(2_100_000_000, 1_900_000_000) == ("2.1 GB", "1.9 GB")
