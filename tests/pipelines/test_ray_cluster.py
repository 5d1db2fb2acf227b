"""Two Ray nodes on this machine, of which one is killed in the middle of a build: the same store."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from pipelines import build, make_recipe


@pytest.fixture
def cluster():
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False},
    )
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_is_killed_in_the_middle(recipe, tmp_path: Path, content_of, cluster):
    # Passages are many, so that the build goes on for a while after the loss.
    data = {**recipe.model_dump(mode="json"), "shard": {"documents": 2}}
    many = make_recipe(data, environment={})
    build(many, tmp_path / "undisturbed")
    second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    cluster.wait_for_nodes()
    published_at_the_kill = []

    def kill() -> None:
        segments = tmp_path / "store" / "segments"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len([*segments.glob("[!.]*")]) < 3:
            time.sleep(0.01)
        cluster.remove_node(second, allow_graceful=False)
        published_at_the_kill.append(len([*segments.glob("[!.]*")]))

    killer = threading.Thread(target=kill)
    killer.start()
    build(many, tmp_path / "store", executor="ray", address=cluster.address)
    killer.join()

    assert published_at_the_kill[0] < len([*(tmp_path / "store" / "segments").iterdir()])
    assert content_of(tmp_path / "store") == content_of(tmp_path / "undisturbed")
