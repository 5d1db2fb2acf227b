"""A store whose index is one encoder's and whose exact vectors are another's."""

from __future__ import annotations

import numpy as np
import pytest

from datastore import Datastore, UsageError, describe, verify
from datastore.encoders import load_encoder
from pipelines import build, make_recipe


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "notes"
    folder.mkdir()
    words = ["tides", "comets", "rivers", "storms", "glaciers", "deserts", "forests", "volcanoes"]
    for i in range(2_100):
        (folder / f"{i:04}.txt").write_text(
            f"Note {i} of {words[i % 8]} and {words[(i // 8) % 8]} in year {1000 + i}, with remarks on {words[(i // 64) % 8]}."
        )
    recipe = make_recipe(
        {
            "name": "two",
            "root": str(folder),
            "sources": [{"name": "notes", "kind": "files", "path": "."}],
            "encoder": {"model": "hashing"},
            # It reads the beginning only: other vectors with other scores.
            "exact_encoder": {"model": "hashing", "max_tokens": 9},
        },
        [],
    )
    build(recipe, folder.parent / "store")
    return Datastore.open(folder.parent / "store")


def encoded(store, texts):
    first, second = (stored.config for stored in (store.manifest.encoder, store.manifest.exact_encoder))
    return load_encoder(first).encode_queries(texts), load_encoder(second).encode_queries(texts)


def test_the_second_encoder_decides(store):
    questions = ["comets and rivers in year 1500", "storms"]
    rows = np.arange(len(store))
    _, second = encoded(store, questions)
    expected = second @ store.snapshot.vectors.take(rows).astype(np.float32).T

    assert (store.snapshot.vectors.take(rows) != store.snapshot.index_vectors.take(rows)).any()
    hits = store.search(questions, k=5, candidates=len(store))

    for line, scores, found in zip(expected, hits.scores, hits.rows, strict=True):
        np.testing.assert_allclose(scores, np.sort(line)[::-1][:5], atol=1e-5)
        np.testing.assert_allclose(line[found], scores, atol=1e-5)
    np.testing.assert_allclose(store.search(questions, k=5, recall=1).scores, hits.scores, atol=1e-6)


def test_fused_scores_are_the_mean_of_both(store):
    questions = ["glaciers in year 2000"]
    rows = np.arange(len(store))
    first, second = encoded(store, questions)
    mean = (
        first @ store.snapshot.index_vectors.take(rows).astype(np.float32).T
        + second @ store.snapshot.vectors.take(rows).astype(np.float32).T
    ) / 2

    for options in ({"candidates": len(store)}, {"recall": 1.0}):
        hits = store.search(questions, k=7, fused=True, **options)
        np.testing.assert_allclose(hits.scores[0], np.sort(mean[0])[::-1][:7], atol=1e-5)


def test_two_encoders_are_described_and_verified(store):
    assert describe(store)["exact_encoder"]["max_tokens"] == 9
    assert verify(store.path) == []
    assert store.manifest.indexes[0].family == "flat"


def test_what_two_encoders_cannot_do_is_said(store, make_store):
    with pytest.raises(UsageError, match="ask it with text"):
        store.search(np.ones((1, 256)))
    with pytest.raises(UsageError, match="is built, not added to"):
        store.add(texts=["more"])
    with pytest.raises(UsageError, match="two encoders"):
        make_store(["one"]).search("one", fused=True)
