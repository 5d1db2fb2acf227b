"""A store inside an application: threads, processes, other writers, disks that are full or cannot be written to."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest

from datastore import CompendiaError, Datastore, NotFoundError, UsageError, diff, verify
from datastore.changes.prune import Pruned, prune
from datastore.errors import OverBudgetError, SearchTimeoutError
from datastore.files import writer_lock
from datastore.manifest import current_version

ADD = {"name": "add", "seed": 2, "rows": 90}
DELETE = {"name": "delete", "where": 3}
QUERIES = np.random.default_rng(3).standard_normal((40, 16)).astype(np.float32)


@pytest.fixture
def store(store_path) -> Iterator[Datastore]:
    with Datastore.open(store_path) as opened:
        yield opened


def same(hits, expected) -> bool:
    return bool((hits.rows == expected.rows).all() and (hits.scores == expected.scores).all())


def test_a_closed_store_cannot_be_searched_but_its_hits_can_be_read(store_path, writer):
    with Datastore.open(store_path) as store:
        hits = store.search(QUERIES, k=3)

    with pytest.raises(UsageError, match="is closed") as caught:
        store.search(QUERIES)
    assert "open it again" in caught.value.hint
    assert "closed" in repr(store)
    assert [len(found) for found in hits] == [3] * 40
    writer.perform(store_path, ADD)
    assert prune(store_path).held == [2]  # by the hits
    del hits
    assert prune(store_path).removed == [2]


def test_a_closed_store_cannot_be_changed(store_path, writer):
    before = writer.contents_of(store_path)
    store = Datastore.open(store_path)
    store.close()

    for change in (
        lambda: store.delete(where="year = 3"),
        lambda: store.upsert(QUERIES[:1], ids=["1-0"]),
        lambda: store.add(QUERIES[:1], ids=["new"]),
        lambda: store.rollback(1),
        lambda: store.add_index("bm25"),
        lambda: store.drop_index("bm25"),
        store.compact,
        store.prune,
    ):
        with pytest.raises(UsageError, match="is closed"):
            change()
    assert writer.contents_of(store_path) == before
    assert current_version(store_path) == 2


def test_a_child_that_is_forked_while_another_thread_refreshes(store, monkeypatch):
    began, go_on, parent = threading.Event(), threading.Event(), os.getpid()

    def slow(path):
        if os.getpid() == parent:
            began.set()
            go_on.wait(30)
        return current_version(path)

    monkeypatch.setattr("datastore.store.current_version", slow)
    thread = threading.Thread(target=store.refresh)
    thread.start()
    began.wait(30)
    try:
        ended = _in_child(store.refresh, seconds=30)
    finally:
        go_on.set()
        thread.join()

    assert ended == 0


def test_lengths_that_differ_are_told(tmp_path):
    with Datastore.create(tmp_path / "s", dimension=8, metric="l2") as store:
        store.add(np.eye(8), ids=list("abcdefgh"))
        store.upsert(np.eye(8)[:1] * 4, ids=["a"])

        found = diff(store.path, store.path, version_a=2)

        assert (found.equal, found.lowest_cosine, found.lowest_length_ratio) == (True, 1.0, 0.25)


def test_threads_get_the_same_answers_as_one_caller(store):
    expected = {
        where: store.search(QUERIES, k=10, where=where)
        for where in (None, "year < 3", "year = 1", "year > 4")
    }
    wrong: list[str] = []

    def ask(number: int) -> None:
        for where in [*expected][number:] + [*expected][:number]:
            hits = store.search(QUERIES, k=10, where=where)
            if not same(hits, expected[where]) or hits[number] != expected[where][number]:
                wrong.append(f"{number}: {where}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, [number % 4 for number in range(24)]))

    assert wrong == []


CHANGES = [
    ADD,
    {"name": "delete", "ids": [f"1-{number}" for number in range(0, 200, 4)]},
    {"name": "prune", "keep": 1},
    {"name": "upsert", "seed": 3, "rows": 40, "ids": [f"2-{number}" for number in range(30)]},
    {"name": "compact"},
    {"name": "prune", "keep": 1},
    {"name": "delete", "where": 5},
    {"name": "prune", "keep": 2},
]


def test_searches_while_the_store_is_refreshed_and_another_process_changes_it(store, writer, elsewhere):
    contents = writer.contents_of(store.path)
    by_version = {store.version: contents}
    answers: list[tuple[int, list[list[tuple[str, str]]]]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            store.refresh()
            hits = store.search(writer.QUERIES, k=10, recall=1.0)
            answers.append((hits.version, [[(hit.passage_id, hit.text) for hit in found] for found in hits]))

    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(ask) for _ in range(3)]
        try:
            for change in CHANGES:
                contents = writer.changed(contents, change, {})
                assert elsewhere(store.path, change) == 0
                by_version[current_version(store.path)] = contents
        finally:
            stop.set()
        for thread in threads:
            thread.result()

    store.refresh()
    assert store.version == current_version(store.path) == max(by_version)
    assert {version for version, _ in answers} <= set(by_version)
    best = {version: _best(known, writer.QUERIES) for version, known in by_version.items()}
    for version, found in answers:
        assert found == best[version], version


def _best(contents, queries: np.ndarray) -> list[list[tuple[str, str]]]:
    vectors = np.array([np.frombuffer(row.vector, dtype=np.float32) for row in contents.values()])
    named = [(name, row.text) for name, row in contents.items()]
    order = np.argsort(-(queries.astype(np.float64) @ vectors.T.astype(np.float64)), axis=1)[:, :10]
    return [[named[row] for row in line] for line in order.tolist()]


def test_refreshing_again_and_again_while_versions_are_pruned(store, elsewhere):
    """A version may be pruned between the moment that CURRENT names it and the moment that it is opened."""
    stop = threading.Event()

    def refresh() -> None:
        while not stop.is_set():
            store.refresh()
            Datastore.open(store.path).close()

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(refresh) for _ in range(2)]
        try:
            for number in range(6):
                assert elsewhere(store.path, {"name": "upsert", "seed": number, "rows": 1}) == 0
                assert elsewhere(store.path, {"name": "prune", "keep": 1}) == 0
        finally:
            stop.set()
        for thread in threads:
            thread.result()


@pytest.mark.parametrize("opening", [Datastore.refresh, lambda store: Datastore.open(store.path)])
def test_a_version_that_is_pruned_while_it_is_being_opened(store, writer, monkeypatch, opening):
    """The same, at the very moment."""
    from datastore import manifest

    reading, pruned = manifest.manifest_path, []

    def change_meanwhile(path: Path, version: int) -> Path:
        if not pruned:
            pruned.append(version)
            writer.perform(path, DELETE)
            writer.perform(path, {"name": "prune", "keep": 1})
        return reading(path, version)

    writer.perform(store.path, ADD)
    monkeypatch.setattr(manifest, "manifest_path", change_meanwhile)

    opened = opening(store)

    assert pruned == [3]
    assert (store if opened is True else opened).version == 4


def test_an_old_version_is_searched_and_read_while_others_compact_and_prune(store, writer, elsewhere):
    expected = store.search(QUERIES, k=10)
    texts = [[hit.text for hit in found] for found in expected]
    earlier = store.search(QUERIES, k=10)
    for change in (ADD, DELETE, {"name": "compact"}, {"name": "prune", "keep": 1}):
        assert elsewhere(store.path, change) == 0
        assert same(store.search(QUERIES, k=10), expected)
        assert [[hit.text for hit in found] for found in earlier] == texts
    assert {hit.metadata["year"] for found in store.search(QUERIES, where="year = 3") for hit in found} == {3}
    assert len(store.get_by_ids(["1-3", "1-150", "2-0"])) == 2

    assert store.refresh()
    assert [[hit.text for hit in found] for found in earlier] == texts  # of version 2 still
    assert {hit.metadata["year"] for hit in store.get_by_ids(["1-3", "1-4"])} == {4}
    del expected, earlier
    assert prune(store.path).removed == [2]
    assert verify(store.path) == []


def test_prune_says_which_versions_are_held(store, writer):
    with Datastore.open(store.path) as other:
        writer.perform(store.path, ADD)
        store.refresh()
        writer.perform(store.path, DELETE)
        assert store.prune() == Pruned(removed=[1], held=[2, 3], freed_bytes=0)
        assert other.version == 2
    pruned = prune(store.path)
    assert (pruned.removed, pruned.held) == ([2], [3])
    with pytest.raises(UsageError, match="keep must be at least 1"):
        store.prune(keep=0)
    assert prune(store.path, keep=5).removed == []


def _in_child(action: Callable[[], None], seconds: int = 60) -> int:
    """Run something in a forked child; its exit code, or minus the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
        child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        try:
            action()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the child must end here)
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_in_the_middle_of_other_threads_searches(store):
    hits = store.search(QUERIES, k=5)
    expected = [[hit.passage_id for hit in found] for found in hits]
    filtered = store.search(QUERIES, k=5, where="year < 3")
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            for _ in hits:
                pass
            store.search(QUERIES[:3], where="year < 3")

    def ask() -> None:
        assert [[hit.passage_id for hit in found] for found in hits] == expected  # hits of the parent
        assert same(store.search(QUERIES, k=5), hits)
        assert same(store.search(QUERIES, k=5, where="year < 3"), filtered)

    threads = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        ended = [_in_child(ask) for _ in range(6)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert ended == [0] * 6


def test_a_child_that_is_forked_during_a_write_does_not_keep_the_lock(store_path):
    with writer_lock(store_path):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with writer_lock(store_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("No space left on device (os error 28)"),  # of a library in Rust
        OSError(
            "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"
        ),  # of Arrow
        OSError("8192 requested and 1024 written"),  # of NumPy, when space was freed since
    ],
)
def test_a_full_disk_is_called_that_whoever_says_it(store_path, error):
    with pytest.raises(CompendiaError, match="stays as it was") as raised, writer_lock(store_path):
        raise error

    assert raised.value.hint == "free some space, then run the command again"


def test_another_error_is_not_called_a_full_disk(store_path):
    with pytest.raises(OSError, match="a file that ends too soon"), writer_lock(store_path):
        raise OSError("a file that ends too soon")


def test_a_handle_goes_to_a_spawned_process_and_its_hits_come_back(store, writer):
    expected = store.search(QUERIES, k=5)
    writer.perform(store.path, DELETE)  # the handle's version goes there, not the current one

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        hits = pool.apply(methodcaller("search", QUERIES, 5), (store,))

    assert hits.version == store.version == 2
    assert same(hits, expected)
    assert hits[7] == expected[7]


@pytest.mark.slow
def test_a_handle_goes_into_a_ray_task(store):
    from pipelines.executors.ray import ray_tasks

    expected = store.search(QUERIES, k=5)
    tasks = [methodcaller("search", QUERIES, 5), methodcaller("search", QUERIES, 5, where="year < 3")]

    with ray_tasks(1) as ray:
        found = dict(ray.map(lambda task: task(store), tasks))

    assert same(found[tasks[0]], expected)
    assert found[tasks[0]][3] == expected[3]
    assert {hit.metadata["year"] for hits in found[tasks[1]] for hit in hits} == {0, 1, 2}


@contextmanager
def mounted(target: Path, *arguments: str) -> Iterator[None]:
    """Something mounted on a folder; the test is skipped where that is not allowed."""
    target.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


def _read_everything(path: Path, writer) -> None:
    assert len(writer.contents_of(path)) == 200
    assert verify(path) == []
    with Datastore.open(path) as store:
        assert not store.refresh()
        assert diff(path, path).equal


def _refuses_every_change(path: Path, writer) -> None:
    changes = ({"name": "compact"}, {"name": "prune", "keep": 1}, {"name": "rollback", "version": 1})
    for change in (ADD, DELETE, *changes):
        with pytest.raises(CompendiaError, match="cannot be written to") as caught:
            writer.perform(path, change)
        assert "it can be read" in caught.value.hint


def test_a_read_only_mount_is_read_and_not_written(store_path, writer, tmp_path):
    image = tmp_path / "mounted"
    with mounted(image, "--bind", str(store_path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(image)], check=True)
        _read_everything(image, writer)
        _refuses_every_change(image, writer)


def test_a_store_of_another_user_is_read_and_not_written(store_path, writer):
    nobody = 65534
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to others
    try:
        path = shutil.copytree(store_path, folder / "store")
        folder.chmod(0o755)
        for file in (path, *path.rglob("*")):
            file.chmod(0o555 if file.is_dir() else 0o444)

        def use() -> None:
            if os.geteuid() == 0:
                os.setuid(nobody)
            _read_everything(path, writer)
            _refuses_every_change(path, writer)

        Datastore.open(path).search(
            QUERIES, where="year = 1"
        )  # all is imported that the other user may not read
        assert _in_child(use) == 0
    finally:
        for file in (path, *path.rglob("*")):
            if file.is_dir():
                file.chmod(0o755)
        shutil.rmtree(folder)


def test_a_full_disk(store_path, writer, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=2m", "none"):
        path = disk / "store"
        shutil.copytree(store_path, path)
        contents = writer.contents_of(path)
        failed = 0
        changes = (ADD, {"name": "delete", "ids": [f"1-{n}" for n in range(90)]}, {"name": "compact"})
        for free_kb in (0, 4, 12, 28, 44, 60, 76, 92, 400):
            for change in changes:
                before, filler = current_version(path), disk / "filler"
                with filler.open("wb") as file:
                    free = shutil.disk_usage(disk).free
                    os.posix_fallocate(file.fileno(), 0, max(free - free_kb * 1024, 1))
                try:
                    writer.perform(path, change)
                except CompendiaError as error:
                    failed += 1
                    assert "cannot be written to, and stays as it was" in error.message  # noqa: PT017
                    assert "free some space" in error.hint  # noqa: PT017
                    assert writer.leftovers(path) == []
                    filler.unlink()
                    assert writer.contents_of(path) == contents
                else:
                    filler.unlink()
                    writer.perform(path, {"name": "rollback", "version": before})
                assert verify(path) == []
                prune(path, keep=2)
        assert failed >= 8
        writer.perform(path, ADD)
        assert writer.contents_of(path) == writer.changed(contents, ADD, {})


def test_a_second_writer_gets_an_error_at_once(store, writer, elsewhere):
    started = time.monotonic()
    with writer_lock(store.path):
        for change in (
            lambda: store.add(QUERIES),
            lambda: store.upsert(QUERIES),
            lambda: store.delete(["1-0"]),
            store.compact,
            store.prune,
            lambda: store.rollback(1),
        ):
            with pytest.raises(CompendiaError, match="another process is writing") as caught:
                change()
            assert "wait until it ends" in caught.value.hint
        assert elsewhere(store.path, ADD) == CompendiaError.exit_code
    assert time.monotonic() - started < 20
    assert elsewhere(store.path, ADD) == 0
    assert len(store.search(QUERIES)) == 40  # of the version that is open


def test_two_processes_that_write_at_once_lose_nothing(store_path, writer, elsewhere):
    """Whoever is refused tries again: in the end all rows are there."""

    def insist(change: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not change():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def here(seed: int) -> bool:
        try:
            writer.perform(store_path, {"name": "add", "seed": seed, "rows": 3})
        except CompendiaError as error:
            assert "another process is writing" in error.message  # noqa: PT017
            return False
        return True

    def there() -> None:
        for seed in range(100, 108):
            insist(lambda seed=seed: elsewhere(store_path, {"name": "add", "seed": seed, "rows": 3}) == 0)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(there)
        for seed in range(200, 208):
            insist(lambda seed=seed: here(seed))
        other.result()

    assert len(writer.contents_of(store_path)) == 200 + 16 * 3
    assert current_version(store_path) == 2 + 16


def test_a_folder_that_is_no_store(tmp_path, writer):
    for change in (ADD, DELETE, {"name": "compact"}, {"name": "rollback", "version": 1}):
        with pytest.raises(NotFoundError, match="there is no datastore at"):
            writer.perform(tmp_path / "nowhere", change)
    assert not (tmp_path / "nowhere").exists()


def test_a_budget_of_ram(store_path):
    assert Datastore.open(store_path, ram="100MB").version == 2
    with pytest.raises(OverBudgetError, match="are allowed") as caught:
        Datastore.open(store_path, ram="1kB")
    assert "compendia plan --passages 200 --dimension 16" in caught.value.hint
    with pytest.raises(UsageError, match="is not a size"):
        Datastore.open(store_path, ram="much")


def test_a_search_that_takes_too_long_ends(store):
    assert len(store.search(QUERIES, timeout_s=60)) == 40
    for options in ({}, {"recall": 1.0}, {"where": "year = 2"}):
        with pytest.raises(SearchTimeoutError, match=r"longer than (its timeout_s|the 0 s it has)"):
            store.search(QUERIES, timeout_s=1e-9, **options)
    with pytest.raises(UsageError, match="timeout_s must be a positive number"):
        store.search(QUERIES, timeout_s=0)


def test_a_filter_that_takes_too_long_ends(tmp_path):
    store = Datastore.create(tmp_path / "s", dimension=4)
    store.add(np.eye(4).repeat(1_000, axis=0), metadata=[{"note": "a" * 2_000}] * 4_000)
    slow = " OR ".join(f"note LIKE '%a_%{number}%b'" for number in range(200))

    with pytest.raises(
        SearchTimeoutError, match=r"the filter took longer than the 0\.0\d+ s it has"
    ) as caught:
        store.search(np.eye(4), where=slow, timeout_s=0.05)

    assert "timeout_s" in caught.value.hint
    assert len(store.search(np.eye(4), where="note LIKE 'a%'", timeout_s=60)) == 4


async def test_the_event_loop_goes_on_during_a_search(store):
    many = np.repeat(QUERIES, 200, axis=0)
    ticks = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            ticks.append(time.monotonic())

    ticker = asyncio.create_task(tick())
    started = time.monotonic()
    first, second = await asyncio.gather(
        store.asearch(many, k=5, recall=1.0), store.asearch(QUERIES, 5, where="year = 1")
    )
    took = time.monotonic() - started
    ticker.cancel()

    assert len(first) == len(many)
    assert {hit.metadata["year"] for found in second for hit in found} == {1}
    # A loop that was held up would not have ticked at all.
    assert len([moment for moment in ticks if moment < started + took]) >= min(took / 0.01, 30) / 3


def test_a_rollback_is_seen_by_another_handle_after_refresh(store, writer):
    with Datastore.open(store.path) as other:
        before = writer.contents_of(store.path)
        assert store.delete(where="year = 3") == 29
        assert other.refresh()
        assert (len(other), other.version) == (171, 3)
        assert store.rollback(2) == 4
        assert len(store) == 200
        assert len(other) == 171
        assert other.refresh()
        assert not other.refresh()
        assert len(other) == 200
        assert writer.contents_of(store.path) == before
        assert {hit.metadata["year"] for hit in other.get_by_ids(["1-3"])} == {3}


def test_an_earlier_version_can_be_opened_and_compared(store, writer):
    store.delete(where="year = 3")
    store.upsert(QUERIES[:2], ids=["1-0", "new"], texts=["changed", "new"])

    found = diff(store.path, store.path, version_a=2, version_b=store.version)

    assert (found.added, found.removed, found.changed, found.same) == (1, 29, 1, 170)
    assert (found.examples["added"], found.examples["changed"]) == (["new"], ["1-0"])
    assert found.examples["removed"] == [f"1-{number}" for number in range(3, 73, 7)]
    assert not found.equal
    assert found.lowest_cosine < 0.9
    itself = diff(store.path, store.path, version_b=store.version)
    assert (itself.lowest_cosine, itself.lowest_length_ratio) == (1.0, 1.0)
    with Datastore.open(store.path, version=2) as old:
        assert [hit.text for hit in old.get_by_ids(["1-0", "new", "1-3"])] == ["text 0 of 1", "text 3 of 1"]
