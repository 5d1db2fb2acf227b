"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: three formats, one bad line."""
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "tea.txt").write_text("Green tea is steeped at eighty degrees for two minutes.")
    (folder / "deep" / "bread.md").write_text(
        "# Sourdough\n\nFeed the starter twice a day. Bake at 240 degrees."
    )
    planets = {
        "id": "p1",
        "title": "Planets",
        "text": "Jupiter has the most moons but Saturn the rings.",
        "year": 1610,
    }
    (folder / "planets.jsonl").write_text(f"{json.dumps(planets)}\nthis is no JSON\n")
    (folder / "ignored.xyz").write_text("unknown suffix")
    return folder


@pytest.fixture
def store(invoke, folder, tmp_path) -> Path:
    built = invoke("build", folder, "--out", "store")
    assert built.code == 0, built.err
    return tmp_path / "store"


def test_bad_input_is_set_aside_and_loses_nothing_good(invoke, folder):
    (folder / "moss.html").write_text(
        "<html><head><title>Moss</title></head><body><article><p>Moss grows on the shady side of old stones, "
        "and holds a great deal of water after rain.</p></article><script>var tracking = 1;</script></body></html>"
    )
    more = [
        {"id": "p2"},
        {"id": "p3", "text": "First text."},
        {"id": "p3", "text": "Another text with the same id."},
    ]
    (folder / "more.jsonl").write_text("\n".join(map(json.dumps, more)))
    (folder / "latin.jsonl").write_bytes(
        b'{"id": "l", "text": "caf\xe9"}\n{"id": "m", "text": "A good line after a bad one."}\n'
    )
    lines = [json.dumps({"id": f"g{i}", "text": f"Line {i} of a long archive."}) for i in range(2_000)]
    whole = gzip.compress("\n".join(lines).encode())
    (folder / "broken.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    huge = b'{"id": "h", "text": "' + b"x" * 50_000_000 + b'"}\n'
    (folder / "huge.jsonl").write_bytes(huge + b'{"id": "i", "text": "A small line after a huge one."}\n')

    assert invoke("build", folder, "--out", "store").code == 0

    source = invoke("info", "store", "--json").json["sources"]["notes"]
    assert source["dropped"] == {
        "broken_archive": 1,
        "invalid_json": 1,
        "invalid_utf8": 1,
        "no_field": 1,
        "repeated_id": 1,
        "too_large": 1,
    }
    assert source["documents"] == source["records"] - 6 > 500
    for question, document in [
        ("steep green tea", "tea.txt"),
        ("feed the starter", "deep/bread.md"),
        ("moss shady side of stones", "moss.html"),
        ("jupiter moons saturn rings", "p1"),
        ("first text", "p3"),
        ("a good line after a bad one", "m"),
        ("a small line after a huge one", "i"),
        ("line 3 of a long archive", "g3"),
    ]:
        assert (
            invoke("search", "store", question, "-k", 1, "--json").json["hits"][0]["document_id"] == document
        )
    rejects = invoke("info", "store", "--rejects", "--json").json["rejects"]
    assert sorted(reject["reason"] for reject in rejects) == sorted(source["dropped"])


def test_rejects_can_be_read(invoke, store):
    listed = invoke("info", store, "--rejects").out

    assert "invalid_json  notes  planets.jsonl:2" in listed
    assert "1 records set aside, 1 kept to read" in listed


def test_json_of_search(invoke, store):
    found = invoke("search", store, "the moons of jupiter", "-k", 2, "--json").json

    assert list(found) == ["schema", "query", "version", "retriever", "hits", "timings_ms"]
    assert (found["schema"], found["query"], found["version"], found["retriever"]) == (
        "compendia.search/1",
        "the moons of jupiter",
        1,
        "dense",
    )
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    first = found["hits"][0]
    assert list(first) == [
        "rank",
        "passage_id",
        "document_id",
        "source",
        "title",
        "score",
        "text",
        "metadata",
    ]
    assert (first["passage_id"], first["title"], first["metadata"]) == (
        "notes/p1#0",
        "Planets",
        {"year": 1610},
    )
    assert {"encode", "exact", "text"} <= set(found["timings_ms"])


def test_json_of_info(invoke, store):
    info = invoke("info", store, "--json").json

    assert list(info) == [
        "schema", "path", "version", "passages", "deleted", "documents", "dimension", "bytes", "sources",
        "metric", "intrinsic_dimension", "encoder", "exact_encoder", "features", "indexes", "build",
    ]  # fmt: skip
    assert (info["schema"], info["version"], info["dimension"]) == ("compendia.info/1", 1, 256)
    assert info["encoder"]["model"] == "hashing"
    assert [(feature["kind"], feature["name"]) for feature in info["features"]] == [("bm25", "bm25")]
    assert set(info["bytes"]) == {"ram", "disk"}
    assert info["bytes"]["disk"]["total"] == sum(
        size for part, size in info["bytes"]["disk"].items() if part != "total"
    )


def test_json_of_verify_and_its_exit_code(invoke, store):
    assert invoke("verify", store, "--json").json == {
        "schema": "compendia.verify/1",
        "path": str(store),
        "ok": True,
        "faults": [],
    }
    (vectors, *_) = store.rglob("vectors.npy")
    vectors.write_bytes(vectors.read_bytes()[:-1])

    damaged = invoke("verify", store, "--json")

    assert damaged.code == 4
    assert damaged.json["ok"] is False
    assert "vectors.npy" in damaged.json["faults"][0]


def test_json_of_build(invoke, folder):
    built = invoke("build", folder, "--out", "other", "--json").json

    assert (built["schema"], built["changed"], built["version"]) == ("compendia.build/1", True, 1)
    assert invoke("build", folder, "--out", "other", "--json").json["changed"] is False


def test_a_build_prints_funnel_times_and_size(invoke, folder):
    built = invoke("build", folder, "--out", "other")

    assert "invalid_json 1" in built.out
    assert "seconds: load encoder" in built.out
    assert "in RAM" in built.out
    assert "other is at version 1" in built.out
    assert "embedding:" in built.err


def test_hybrid_search_on_the_command_line(invoke, store):
    found = invoke("search", store, "jupiter", "--retriever", "weighted(dense, bm25)", "--json").json

    assert found["retriever"] == "weighted(dense, bm25)"
    assert found["hits"][0]["document_id"] == "p1"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "nowhere", "a question"], 3, "there is no datastore at nowhere"),
        (["info", "nowhere"], 3, "there is no datastore at nowhere"),
        (["verify", "nowhere"], 3, "there is no datastore at nowhere"),
        (["search", "store", "a question", "-k", "0"], 2, "k must be at least 1, got 0"),
        (["search", "store", "  "], 2, "query 0 is empty"),
        (["search", "store", "a question", "--retriever", "bm52"], 2, 'did you mean "bm25"?'),
        (["build", "nowhere", "--out", "x"], 3, "there is no recipe at nowhere"),
        (["build", "notes/tea.txt", "--out", "x"], 2, "is neither a recipe nor a folder"),
        (["build", "notes", "--out", "x", "--executor", "spark"], 2, "serial, process, ray"),
        (["build", "notes", "--out", "x", "--set", "encoder.dtpye=x"], 2, 'did you mean "dtype"?'),
        (["build", "notes", "--out", "x", "--set", "chunk"], 2, "cannot read the setting 'chunk'"),
        (["build", "notes", "--out", "x", "--set", "chunk.max_tokens=lots"], 2, "chunk.max_tokens"),
        (["build", "notes"], 2, "where should the store go?"),
        (["build", "notes", "--out", "notes"], 2, "is not a datastore and not empty"),
        (["eval", "retrieval", "--data", "nowhere", "--retriever", "dense"], 3, "nowhere"),
        (["eval", "llm", "--config", "nowhere"], 3, "there is no evaluation at nowhere"),
        (["eval", "compare", "nowhere", "elsewhere"], 3, "there is no run of an evaluation at nowhere"),
        (["build"], 2, "Missing argument"),
        (["frobnicate"], 2, "frobnicate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_done_says_why(invoke, store, arguments, code, message):
    outcome = invoke(*arguments)

    assert (outcome.code, message in outcome.err) == (code, True), outcome.err
    assert outcome.out == ""


def test_names_of_any_kind_and_spelling(invoke, tmp_path):
    folder = tmp_path / "Über mich"
    folder.mkdir()
    (folder / "tea.txt").write_text("Green tea.")
    Path(os.fsdecode(os.fsencode(folder) + b"/x\xff.txt")).write_text("A name that is not UTF-8.")

    assert invoke("build", "Über mich", "--out", "store", "--json").json["documents"] == 2
    assert invoke("build", "./Über mich/", "--out", "store", "--json").json["changed"] is False


def test_an_empty_folder(invoke, tmp_path):
    (tmp_path / "empty").mkdir()

    outcome = invoke("build", "empty", "--out", "x")

    assert outcome.code == 3
    assert "empty" in outcome.err
    assert not (tmp_path / "x").exists()


def test_an_unknown_key_of_a_recipe_names_the_nearest(invoke, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: r\nsources:\n  - {name: a, kind: files, pth: notes}\nfliters: {}\n"
    )

    outcome = invoke("build", "r.yaml", "--out", "x")

    assert outcome.code == 2
    assert "unknown key 'fliters': did you mean \"filters\"?" in outcome.err
    assert 'did you mean "path"?' in outcome.err


def test_an_unexpected_error_is_one_line_unless_debug_is_asked_for(invoke, store, monkeypatch):
    monkeypatch.setattr("datastore.info.read_account", lambda _: 1 / 0)

    outcome = invoke("info", store)

    assert (outcome.code, outcome.err.splitlines()[0]) == (1, "error: ZeroDivisionError: division by zero")


def test_help_and_version_load_nothing_heavy():
    script = (
        "import sys\n"
        "sys.argv = ['compendia', *sys.argv[1:]]\n"
        "from compendia.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert done.code == 0\n"
        "print({'torch', 'numpy', 'pyarrow', 'faiss', 'duckdb', 'transformers', 'ray'} & set(sys.modules))"
    )
    for option in (["--help"], ["--version"], ["build", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *option], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    texts = ["cats purr at night", "dogs bark at the moon", "owls hunt mice", "cats and dogs sleep"]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{i}", "title": "", "text": t}) + "\n" for i, t in enumerate(texts))
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "cats purr"}\n{"_id": "q2", "text": "owls hunt"}\n{"_id": "q3", "text": "bark"}\n'
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td0\t2\nq1\td3\t1\nq2\td2\t1\nq3\td1\t0\n"
    )
    return folder


def test_json_of_eval_retrieval(invoke, beir, tmp_path):
    arguments = ["eval", "retrieval", "--data", beir, "--retriever", "bm25", "--retriever", "rrf", "--json"]

    report = invoke(*arguments).json

    assert report["schema"] == "compendia.eval.retrieval/1"
    assert (report["data"]["name"], report["data"]["queries"], report["data"]["unjudged_queries"]) == (
        "tiny",
        2,
        1,
    )
    assert [arm["retriever"] for arm in report["arms"]] == ["bm25", "rrf(dense, bm25)"]
    first, second = report["arms"]
    assert list(first["metrics"]) == [
        "nDCG@10",
        "Recall@5",
        "Recall@10",
        "Recall@100",
        "MRR@10",
        "AllGold@10",
    ]
    assert first["metrics"]["nDCG@10"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert first["difference"] is None
    assert set(second["difference"]["nDCG@10"]) == {"value", "low", "high", "p_value"}
    # The corpus was embedded once and is kept.
    (kept,) = (tmp_path / "cache" / "compendia" / "eval").iterdir()
    before = (kept / "CURRENT").stat().st_mtime_ns
    assert invoke(*arguments).json["arms"][0]["metrics"] == first["metrics"]
    assert (kept / "CURRENT").stat().st_mtime_ns == before


def test_eval_retrieval_prints_a_table(invoke, beir):
    printed = invoke("eval", "retrieval", "--data", beir, "--retriever", "bm25", "--retriever", "dense").out

    assert "tiny test: 2 queries, 4 documents in 4 passages" in printed
    assert "1.0000 [1.0000, 1.0000]" in printed
    assert "difference to bm25, paired" in printed


def test_an_interrupt_within_evaluated_code_ends_with_130_too(tmp_path):
    """As when it comes while a package is imported that makes a dataclass: Python would end by the signal."""
    (tmp_path / "interrupted.py").write_text(
        "from compendia import cli\n"
        "def app(prog_name):\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert "interrupted; a build goes on from here" in done.stderr
