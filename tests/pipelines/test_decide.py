"""The decision over a corpus against a plain loop over documents."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import make_recipe
from pipelines.decide import Decision, decide
from pipelines.recipe import ShardConfig
from pipelines.sources import units
from pipelines.stages.read import ReadTask, read_units
from pipelines.stages.score import ScoredShard, ScoreTask, score_shard

documents = st.tuples(
    st.sampled_from(["a", "b", "c", "d"]),  # id
    st.sampled_from(["one", "One", "one two", "one  TWO", "one two three", "three four five six"]),
)


def scored(work: Path, name: str, rows: list[tuple[str, str]], filters, shard: int) -> list[ScoredShard]:
    file = work / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in rows))
    recipe = make_recipe(
        {"name": "t", "sources": [{"name": name, "kind": "files", "path": str(file)}]}, environment={}
    )
    (source,) = recipe.sources
    task = ReadTask(str(work), name, source, tuple(units(source)), ShardConfig(documents=shard))
    found = []
    for number, one in enumerate(read_units(task).shards):
        score_shard(ScoreTask(str(work), f"{name}-{number}", one, filters, None))
        found.append(ScoredShard(work / "scored" / f"{name}-{number}", one))
    return found


def by_hand(corpus: dict[str, list[tuple[str, str]]], min_words: int, limit: int | None) -> list[str]:
    """The reason for each document, by a plain loop; empty: it stays."""
    reasons = []
    texts: set[str] = set()
    for rows in corpus.values():
        ids: dict[str, str] = {}
        for name, text in rows:
            normal = " ".join(text.lower().split())
            if name in ids:
                reasons.append("duplicate_id" if ids[name] == normal else "repeated_id")
                continue
            if limit is not None and len(ids) >= limit:
                reasons.append("beyond_limit")
            elif len(text.split()) < min_words:
                reasons.append("too_short")
            elif normal in texts:
                reasons.append("exact_duplicate")
            else:
                reasons.append("")
                texts.add(normal)
            ids[name] = normal
    return reasons


def found_by(decision: Decision) -> list[str]:
    return [decision.reasons[code] for code in decision.reason]


@given(
    first=st.lists(documents, max_size=12),
    second=st.lists(documents, max_size=12),
    min_words=st.integers(1, 3),
    limit=st.none() | st.integers(1, 4),
    shard=st.integers(1, 5),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_a_plain_loop_decides(tmp_path_factory, first, second, min_words, limit, shard):
    work = tmp_path_factory.mktemp("work")
    (work / "read").mkdir()
    (work / "scored").mkdir()
    corpus = {"s1": first, "s2": second}
    filters = make_recipe(
        {
            "name": "t",
            "sources": [{"name": "x", "kind": "files", "path": "x"}],
            "filters": {"length": {"min_words": min_words}},
        },
        environment={},
    ).filters
    shards = [one for name, rows in corpus.items() for one in scored(work, name, rows, filters, shard)]

    decision = decide(
        shards, dict.fromkeys(corpus, filters), dict.fromkeys(corpus, limit), exact_duplicates=True
    )

    expected = by_hand(corpus, min_words, limit)
    assert found_by(decision) == expected
    kept = [len(positions) for positions in decision.kept()]
    assert sum(kept) == expected.count("")
    totals: Counter[str] = Counter()
    for by_reason in decision.totals("documents").values():
        totals.update(by_reason)
    assert totals == Counter(expected)
    for source, reject in decision.rejects(work):
        assert reject.reason in expected
        assert source in corpus
        if reject.reason == "exact_duplicate":
            assert reject.detail.startswith("the same as s")


@pytest.mark.parametrize("exact", [True, False])
def test_copies_in_another_source_name_the_one_that_stays(tmp_path, exact):
    for name in ("read", "scored"):
        (tmp_path / name).mkdir()
    filters = make_recipe(
        {"name": "t", "sources": [{"name": "x", "kind": "files", "path": "x"}]}, environment={}
    ).filters
    shards = [
        *scored(tmp_path, "s1", [("a", "the same text")], filters, 10),
        *scored(tmp_path, "s2", [("z", "another"), ("y", "THE same\ntext")], filters, 10),
    ]

    decision = decide(
        shards, {"s1": filters, "s2": filters}, {"s1": None, "s2": None}, exact_duplicates=exact
    )

    assert found_by(decision) == ["", "", "exact_duplicate" if exact else ""]
    assert decision.instead.tolist() == [0, 1, 0 if exact else 2]
    if exact:
        ((source, reject),) = decision.rejects(tmp_path)
        assert (source, reject.detail) == ("s2", "the same as s1.jsonl:1")
        assert decision.totals("words") == {"s1": {"": 3}, "s2": {"": 1, "exact_duplicate": 3}}
