"""A store from a stranger, or from a failing disk: an error of ours or a normal answer, never code, never a crash.

Random damage is tried in a process of its own, this file run as a script, which a crash of the interpreter would end.
"""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datastore import CompendiaError, Datastore, IntegrityError, NotFoundError, verify
from datastore.changes import fold
from datastore.errors import MissingPackageError
from datastore.index.config import IndexConfig
from datastore.manifest import manifest_path

DIMENSION = 32
ROWS = 150
MOST_BYTES = 1_500_000_000  # of a process that tries damage after damage; 250 MB are its packages
ADDRESSES_BYTES = 12_000_000_000
FAMILIES = {
    "flat-faiss": ("flat", {"bits": 8, "engine": "faiss"}),
    "flat-faiss-rabitq": ("flat", {"bits": 4, "engine": "faiss"}),
    "flat-turbovec": ("flat", {"bits": 4, "engine": "turbovec"}),
    "flat-pca": ("flat", {"bits": 8, "engine": "faiss", "reduction": {"kind": "pca", "dimension": 16}}),
    "hnsw": ("hnsw_sq8", {"links": 8, "construction_effort": 40}),
    "hnsw-ordered": ("hnsw_sq8", {"links": 8, "construction_effort": 40, "order": "intrinsic_dimension"}),
    "ivf_pq": ("ivf_pq", {"lists": 4, "subquantizers": 16, "bits": 4}),
    "ivf_rabitq": ("ivf_rabitq", {"lists": 4, "bits": 1}),
}
QUERIES = np.random.default_rng(1).standard_normal((3, DIMENSION)).astype(np.float32)


def make(path: Path, family: str) -> Path:
    """A store of two segments, the first one indexed and with deleted rows, and of queries for calibration."""
    generator = np.random.default_rng(0)
    name, parameters = FAMILIES[family]
    with Datastore.create(
        path,
        dimension=DIMENSION,
        index=IndexConfig(family=name, parameters=parameters),
        calibration_queries=generator.standard_normal((10, DIMENSION)),
    ) as store:
        for start, rows in ((0, ROWS), (ROWS, 20)):
            numbers = range(start, start + rows)
            store.add(
                generator.standard_normal((rows, DIMENSION)),
                ids=[f"p{number}" for number in numbers],
                texts=[f"text of number {number} " * 9 for number in numbers],
                metadata=[{"year": number % 9, "document_id": f"d{number // 3}"} for number in numbers],
            )
        store.delete(ids=["p3", "p8"])
        store.prune()
    return path


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(family: str = "flat-faiss") -> Path:
        if family not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fold, "SMALLEST_INDEX", ROWS)
                patch.setattr(fold, "_LARGEST_TAIL", ROWS)
                try:
                    made[family] = make(tmp_path_factory.mktemp("stores") / family, family)
                except MissingPackageError as error:
                    pytest.skip(str(error))
            assert len(Datastore.open(made[family]).manifest.indexes) == 1
        return made[family]

    return get


@pytest.fixture
def store(originals, tmp_path) -> Path:
    return shutil.copytree(originals(), tmp_path / "store")


def use(path: Path) -> None:
    """Everything that a reader does."""
    with Datastore.open(path) as store:
        every = max(store.snapshot.rows, 10)
        for options in ({}, {"candidates": every}, {"recall": 1.0}, {"where": "year < 4", "effort": 64}):
            for hits in store.search(QUERIES, k=5, **options):
                assert all(isinstance(hit.text, str) for hit in hits)
        store.get_by_ids([f"p{number}" for number in range(ROWS)])
        store.snapshot.catalog.rows_of_documents(["d1", "d50"])
        store.read_column("text")
        for _ in store.snapshot.catalog.read_passages():
            pass
        store.snapshot.feature("bm25")
        fold.read_queries(path, store.manifest)


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name not in ("LOCK", "CURRENT"))


def rewrite_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = manifest_path(path, 4)
    manifest = json.loads(file.read_text())
    del manifest["checksum"]  # whoever forges the rest leaves it out, or makes a right one
    change(manifest)
    file.write_text(json.dumps(manifest))


class Trap:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sprung),)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_file_is_unpickled(originals, tmp_path, family):
    path, sprung = shutil.copytree(originals(family), tmp_path / "store"), tmp_path / "sprung"
    trap = np.array([Trap(sprung)] * 4, dtype=object)
    tried = 0
    for file in files_of(path):
        content = file.read_bytes()
        for evil in (_saved(trap), pickle.dumps(Trap(sprung))):
            file.write_bytes(evil)
            if file.name == "metadata.parquet" or file.parent.name == "calibration":
                _only_our_errors(path)  # not read by every use
            else:
                with pytest.raises(CompendiaError):
                    use(path)
            assert not sprung.exists(), file
            tried += 1
        file.write_bytes(content)
    assert tried >= 20
    use(path)


def _saved(array: np.ndarray) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _only_our_errors(path: Path) -> None:
    with suppress(CompendiaError):
        use(path)


HEADERS = [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 32), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 32), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }",
    b"{'descr': '<f2', 'fortran_order': True, 'shape': (150, 32), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (150, 32), }",
    b"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (150,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (150, 32",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (150L, 32L), }",
    b"(" * 9000,
    b"'''",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_array_headers_of_nonsense(originals, tmp_path, family):
    path = shutil.copytree(originals(family), tmp_path / "store")
    for file in files_of(path):
        if file.suffix != ".npy" or file.parent.name == "calibration":
            continue
        content = file.read_bytes()
        for header in HEADERS:
            padded = header + b" " * (-len(header) % 64) + b"\n"
            file.write_bytes(
                b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + content[128:]
            )
            with pytest.raises(IntegrityError):
                use(path)
        file.write_bytes(content)
    use(path)


OUTSIDE = [
    "../..",
    "../../x.npy",
    "/etc/passwd",
    "a/b",
    "a\\..\\b/..",
    "",
    ".",
    "..",
    ".hidden",
    "a\0b",
    "a\n",
]
PLACES: dict[str, Callable[[dict[str, Any], str], object]] = {
    "segment": lambda m, name: m["segments"][0].update(id=name),
    "segment file": lambda m, name: m["segments"][0]["files"].update({name: {"bytes": 1, "checksum": "0"}}),
    "index": lambda m, name: m["indexes"][0].update(id=name),
    "index file": lambda m, name: m["indexes"][0]["files"].update({name: {"bytes": 1, "checksum": "0"}}),
    "covered segment": lambda m, name: m["indexes"][0].update(segments=[name]),
    "deletes": lambda m, name: m["segments"][0]["deletes"].update(name=name),
    "calibration": lambda m, name: m["calibration"].update(name=name),
    "build": lambda m, name: m.update(build=name),
    "family": lambda m, name: m["indexes"][0].update(family=name),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_name_in_a_manifest_leaves_the_store(store, place):
    manifest = manifest_path(store, 4).read_text()
    for name in OUTSIDE:
        manifest_path(store, 4).write_text(manifest)
        rewrite_manifest(store, lambda found, name=name: PLACES[place](found, name))

        with pytest.raises(IntegrityError, match="is not a manifest"):
            Datastore.open(store)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["indexes"][0].update(family="os"),
        lambda m: m["indexes"][0].update(family="vectors"),
        lambda m: m["indexes"][0].update(kind="evil"),
        lambda m: m["indexes"][0].update(segments=["unknown"]),
        lambda m: m["indexes"][0].update(segments=[]),
        lambda m: m["indexes"][0].update(segments=[m["segments"][0]["id"]] * 2),
        lambda m: m["indexes"][0].update(segments=[m["segments"][1]["id"]]),
        lambda m: m["segments"].append(m["segments"][0]),
        lambda m: m["segments"][0].update(rows=10**18),
        lambda m: m["segments"][0].update(rows=10**30),
        lambda m: m["segments"][0].update(rows=-1),
        lambda m: m["segments"][0].update(rows=ROWS - 1),
        lambda m: m["segments"][0].update(rows=ROWS + 1),
        lambda m: m["segments"][0].update(rows=0),
        lambda m: m["segments"][0]["deletes"].update(rows=10**18),
        lambda m: m["segments"][0]["deletes"].update(rows=1),
        lambda m: m.update(dimension=10**18),
        lambda m: m.update(dimension=16),
        lambda m: m.update(dtype="object"),
        lambda m: m.update(dtype="float32"),
        lambda m: m.update(metric="code"),
        lambda m: m.update(segments=None),
        lambda m: m.update(unknown=1),
        lambda m: m.update(format=10**30),
        lambda m: m["segments"][0].update(rows=1.5),
    ],
)
def test_manifests_that_cannot_be(store, change):
    rewrite_manifest(store, change)

    with pytest.raises(IntegrityError):
        use(store)
    assert _verdict(store)


def _verdict(path: Path) -> list[str]:
    try:
        return verify(path)
    except IntegrityError as error:
        return [error.message]


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "1.5", "²", "9" * 30, "9" * 300, "9" * 5_000, "1\n2", "../1", "\0", "99999"],
)
def test_a_current_version_of_nonsense(store, text):
    (store / "CURRENT").write_text(text)

    with pytest.raises(CompendiaError):
        Datastore.open(store)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"format": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_manifest_of_nonsense(store, content):
    manifest_path(store, 4).write_bytes(content)

    with pytest.raises(IntegrityError):
        Datastore.open(store)


def test_folders_and_links_instead_of_files(store, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"not ours")
    for name in ("CURRENT", "versions/00000004.json", *_one_of_each(store)):
        file = store / name
        content = file.read_bytes()
        file.unlink()
        for instead in (file.mkdir, lambda file=file: file.symlink_to(tmp_path / "elsewhere"), lambda: None):
            instead()
            if not name.endswith((".parquet",)) and "calibration" not in name:
                with pytest.raises(CompendiaError):
                    use(store)
            assert _faults(store), name
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink(missing_ok=True)
        file.write_bytes(content)
    use(store)


def _faults(path: Path) -> list[str]:
    try:
        return verify(path)
    except (IntegrityError, NotFoundError) as error:
        return [error.message]


def _one_of_each(path: Path) -> list[str]:
    names: dict[str, str] = {}
    for file in files_of(path):
        if "versions" not in file.parts:
            names.setdefault(file.name, str(file.relative_to(path)))
    return list(names.values())


def test_an_index_over_other_vectors_than_it_claims(originals, store, tmp_path):
    """Files of a right form, of another number of rows or of another dimension."""
    with pytest.MonkeyPatch.context() as patch:
        for rows, dimension in ((ROWS + 60, DIMENSION), (ROWS - 60, DIMENSION), (ROWS, DIMENSION * 2)):
            patch.setattr(fold, "SMALLEST_INDEX", 50)
            patch.setattr(fold, "_LARGEST_TAIL", 50)
            name, parameters = FAMILIES["flat-faiss"]
            other = tmp_path / f"other-{rows}-{dimension}"
            with Datastore.create(
                other, dimension=dimension, index=IndexConfig(family=name, parameters=parameters)
            ) as filled:
                filled.add(np.random.default_rng(2).standard_normal((rows, dimension)))
            (theirs,) = (other / "indexes").iterdir()
            (ours,) = (store / "indexes").iterdir()
            for file in theirs.iterdir():
                shutil.copy(file, ours / file.name)

            with pytest.raises(IntegrityError):
                use(store)


def test_verify_names_each_damaged_file(store):
    originals = {file: file.read_bytes() for file in files_of(store) if "versions" not in file.parts}
    folders = {file.relative_to(store).parts[0] for file in originals}
    assert folders == {"segments", "features", "indexes", "deletes", "calibration"}
    for file, content in originals.items():
        middle = len(content) // 2
        for damaged in (
            content[:middle],
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        ):
            file.write_bytes(damaged)
            (fault,) = verify(store)
            assert fault.startswith(f"{file.relative_to(store)}: has ")
        file.write_bytes(content)

    for file, content in originals.items():
        file.write_bytes(content + b"x")
    assert len(verify(store)) == len(originals)
    done = subprocess.run(
        [sys.executable, "-m", "compendia", "verify", str(store)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == {
        str(file.relative_to(store)) for file in originals
    }


@pytest.mark.parametrize(
    ("family", "kind", "tries"),
    [("flat-faiss", "", 120), *((family, "indexes", 50) for family in FAMILIES)],
    ids=["all files", *FAMILIES],
)
def test_random_damage(originals, tmp_path, family, kind, tries):
    path = shutil.copytree(originals(family), tmp_path / "store")

    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(path), kind, str(tries)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-4_000:])


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Some bits flipped, numbers made extreme, or cut off; the beginning and the end, where lengths stand, first."""
    changed = bytearray(content)

    def place() -> int:
        window = draw.choice([128, 1024, len(changed)])
        offset = draw.randrange(min(window, len(changed)))
        return offset if draw.random() < 0.7 else len(changed) - 1 - offset

    match draw.choice(["bits", "bits", "number", "cut", "zeros"]):
        case "bits":
            for _ in range(draw.choice([1, 1, 4, 64])):
                changed[place()] ^= 1 << draw.randrange(8)
        case "number":
            start = place() & ~7
            extreme = draw.choice([2**63 - 1, 2**64 - 1, 2**40, 2**34, 2**31, 2**31 - 1, 2**16, 1])
            changed[start : start + 8] = extreme.to_bytes(8, "little")
        case "cut":
            del changed[place() :]
        case "zeros":
            start = place()
            changed[start : start + 64] = bytes(len(changed[start : start + 64]))
    return bytes(changed)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Damage one file after another, and use the store; ends with the first answer that is none of ours."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
    path, kind, tries = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    use(path)
    draw = random.Random(f"{path.name} {kind}")
    files = [file for file in files_of(path) if kind in str(file.relative_to(path))]
    refused = 0
    for number in range(tries):
        file = draw.choice(files)
        content = file.read_bytes()
        changed = damaged(content, draw)
        # A new file each time: an old one may be mapped still.
        file.unlink()
        file.write_bytes(changed)
        tell(f"{number} {file.relative_to(path)}")
        try:
            use(path)
        except CompendiaError:
            refused += 1
        if changed != content and "versions" not in file.parts:
            assert verify(path)
        file.unlink()
        file.write_bytes(content)
    use(path)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used < MOST_BYTES, f"{used / 1e9:.1f} GB"
    tell(f"{refused} of {tries} refused, {used / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
