"""Late interaction: pooling, the proxies for candidates, bytes a passage and latency; fastembed and fast-plaid beside.

    python benchmarks/multivector.py DATA [--fastembed PYTHON] [--plaid PYTHON] [--passages N]

DATA is a folder of sets in BEIR's layout. Passages are those of bioasq and strategyqa_facts, queries a hash-half of
theirs: nothing that is held out. Token vectors are those of all-MiniLM-L6-v2, kept in the cache after the first run.
Shares are of the exact MaxSim top 10, over the vectors that a store holds by default. PYTHON is that of an environment
with the engine (`pip install fastembed numpy`; `pip install fast-plaid torch==2.11.0 numpy`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, quantiles, save
from million import DEFAULT

from datastore.encoders.tokens import TokenEncoderConfig, TokenVectors, load_token_encoder
from datastore.multivector.codes import quantised, restored
from datastore.multivector.fde import Fde
from datastore.multivector.lemur import Lemur
from datastore.multivector.maxsim import PackedQueries, some
from datastore.multivector.mean import Mean
from datastore.multivector.part import TokenPart, TokenWriter
from datastore.multivector.pooled import Pooled
from datastore.multivector.pooling import Pooling, pooled
from datastore.multivector.proxy import Proxy, build, open_candidates
from datastore.multivector.search import Indexed, TokenSearch

CACHE = DEFAULT.parent / "multivector"
PEERS = Path(__file__).with_name("multivector_peers.py")
_SETS = ("bioasq", "strategyqa_facts")
_QUERIES_PER_SET = 200
_CUTS = (10, 50, 100, 200)
_FDE_PASSAGES = 300  # fastembed takes 5 ms each

PROXIES: dict[str, Proxy] = {
    "mean, 8 bits": Mean(),
    **{
        f"fde {bits_of}-bit ({20},{k},{inner}){', filled' if fill else ''}": Fde(
            simhash_bits=k, projection_dimension=inner, fill_empty=fill, bits=bits_of
        )
        for k, inner in ((3, 8), (4, 8), (5, 8), (5, 16))
        for fill in (False, True)
        for bits_of in (1, 8)
    },
    **{f"lemur {features}, 8 bits": Lemur(features=features) for features in (512, 1_024, 2_048)},
    "pooled, 1 of 4": Pooled(),
    "pooled, 1 of 8": Pooled(pooling=Pooling(factor=8)),
    "pooled, 2": Pooled(pooling=Pooling(vectors=2)),
}
POOLINGS = {
    **{f"ward, 1 of {factor}": Pooling(factor=factor) for factor in (2, 3, 4, 8)},
    "kmeans, 1 of 4 (CRISP, relative)": Pooling(method="kmeans", factor=4),
    "kmeans, 32 (CRISP, fixed)": Pooling(method="kmeans", vectors=32),
    "kmeans, 8 (CRISP, fixed)": Pooling(method="kmeans", vectors=8),
}


def records(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def tokens(data: Path) -> tuple[TokenVectors, TokenVectors]:
    """Of the passages and of the queries."""
    if not (CACHE / "passages.npy").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        encoder = load_token_encoder(TokenEncoderConfig(dtype="bfloat16", max_tokens=128))
        passages = [one["text"] for name in _SETS for one in records(data / name / "corpus.jsonl.gz")]
        queries: list[str] = []
        for name in _SETS:
            texts = [one["text"] for one in records(data / name / "queries.jsonl.gz")]
            half = [text for text in texts if hashlib.sha256(text.encode()).digest()[0] % 2 == 0]
            queries += half[:_QUERIES_PER_SET]
        for name, found in (
            ("query", encoder.encode_queries(queries)),
            ("passage", encoder.encode_passages(passages)),
        ):
            np.save(CACHE / f"{name}_offsets.npy", found.offsets)
            plural = "queries" if name == "query" else "passages"
            np.save(CACHE / f"{plural}.npy", found.vectors.astype(np.float16))
    read = [
        TokenVectors(np.load(CACHE / f"{many}.npy").astype(np.float32), np.load(CACHE / f"{one}_offsets.npy"))
        for many, one in (("passages", "passage"), ("queries", "query"))
    ]
    return read[0], read[1]


def stored(found: TokenVectors, folder: Path) -> TokenPart:
    folder.mkdir()
    with TokenWriter(folder, found.vectors.shape[1]) as writer:
        for start in range(0, len(found.offsets) - 1, 1_024):
            writer.append(some(found, start, min(start + 1_024, len(found.offsets) - 1)))
    return TokenPart(folder, len(found.offsets) - 1)


def scores(part: TokenPart, queries: TokenVectors) -> np.ndarray[Any, Any]:
    """(nq, n) exact MaxSim."""
    count = len(queries.offsets) - 1
    blocks = [
        part.scores(PackedQueries(some(queries, start, min(start + 32, count))), np.arange(part.rows)).T
        for start in range(0, count, 32)
    ]
    return np.concatenate(blocks)


def best(found: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
    return np.argsort(-found, axis=1, kind="stable")[:, :k]


def shares(truth: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> dict[str, float]:
    """Of the true rows, how many are within the first so many of those found."""
    return {
        f"within {cut}": round(
            float(np.mean([np.isin(own, line[:cut]).mean() for own, line in zip(truth, found, strict=True)])),
            4,
        )
        for cut in _CUTS
    }


def measure_poolings(passages: TokenVectors, queries: TokenVectors, work: Path) -> dict[str, Any]:
    part = stored(passages, work / "whole")
    exact = scores(part, queries)
    truth = best(exact, 10)
    rows = part.rows
    sampled = np.sort(np.random.default_rng(0).choice(rows, min(2_000, rows), replace=False))
    own = np.concatenate([passages.vectors[slice(*passages.offsets[[r, r + 1]])] for r in sampled])
    counts = np.diff(passages.offsets)[sampled]
    plain = TokenVectors(own, np.concatenate([[0], np.cumsum(counts)]))
    kept = TokenVectors(restored(quantised(own)), plain.offsets)
    float_scores, code_scores = (
        np.stack(
            [
                np.maximum.reduceat(one.vectors @ query.T, one.offsets[:-1], axis=0).sum(axis=1)
                for query in np.split(queries.vectors, queries.offsets[1:-1])
            ]
        )
        for one in (plain, kept)
    )
    result: dict[str, Any] = {
        "tokens a passage": round(len(passages.vectors) / rows, 2),
        "int8 beside float16: share of the top 10": shares(best(float_scores, 10), best(code_scores, 200))[
            "within 10"
        ],
    }
    for name, pooling in POOLINGS.items():
        started = time.process_time()
        fewer = pooled(passages, pooling)
        seconds = time.process_time() - started
        less = stored(fewer, work / "pooled")
        result[name] = {
            "share of the vectors": round(len(fewer.vectors) / len(passages.vectors), 4),
            "bytes a passage": round(less.bytes / rows),
            "ms a passage": round(seconds / rows * 1e3, 3),
            **shares(truth, best(scores(less, queries), max(_CUTS))),
        }
        shutil.rmtree(work / "pooled")
    return result


def measure_proxies(
    part: TokenPart, queries: TokenVectors, work: Path, names: Sequence[str]
) -> dict[str, Any]:
    truth = best(scores(part, queries), 10)
    count = len(queries.offsets) - 1
    firsts = np.array([0, part.rows])
    each = [some(queries, number, number + 1) for number in range(count)]
    result: dict[str, Any] = {}
    for name in names:
        proxy = PROXIES[name]
        folder = work / "index"
        folder.mkdir()
        started = time.process_time()
        build(folder, [part], proxy)
        seconds = time.process_time() - started
        index = open_candidates(folder, part.rows, proxy)
        found = np.concatenate([index.candidates(one, max(_CUTS), None) for one in each])
        search = TokenSearch([part], firsts, [Indexed(index, np.arange(part.rows))], [])
        proxy_s, total_s = [], []
        for one in each:
            started = time.perf_counter()
            index.candidates(one, max(_CUTS), None)
            proxy_s.append(time.perf_counter() - started)
            started = time.perf_counter()
            search.search(one, 10, max(_CUTS))
            total_s.append(time.perf_counter() - started)
        result[name] = {
            "bytes a passage": round(index.ram_bytes / part.rows),
            "build, ms a passage": round(seconds / part.rows * 1e3, 3),
            **shares(truth, found),
            "proxy": quantiles(proxy_s),
            "with MaxSim of 200": quantiles(total_s),
        }
        print(name, json.dumps(result[name]), flush=True)
        shutil.rmtree(folder)
    exact_s = []
    search = TokenSearch([part], firsts, [], [0])
    for one in each[:50]:
        started = time.perf_counter()
        search.search(one, 10, 10)
        exact_s.append(time.perf_counter() - started)
    result["exact"] = {"latency": quantiles(exact_s)}
    return result


def peer(python: str, engine: str, folder: Path, *arguments: object) -> Any:
    """What an engine in its own environment says of itself."""
    command = [python, str(PEERS), engine, str(folder), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def measure_fde(passages: TokenVectors, python: str) -> dict[str, Any]:
    """Milliseconds a passage of ours and of fastembed's MUVERA, in turns; its settings are (20, 5, 16), filled."""
    own = some(passages, 0, _FDE_PASSAGES)
    encoder = Fde(fill_empty=True, centred=False).learn(own.vectors)
    ours, theirs = [], []
    for _ in range(3):
        started = time.perf_counter()
        encoder.passages(own)
        ours.append((time.perf_counter() - started) / _FDE_PASSAGES * 1e3)
        theirs.append(peer(python, "fastembed", CACHE, _FDE_PASSAGES)["ms a passage"])
    return {
        "ours, ms a passage": round(float(np.median(ours)), 3),
        "fastembed, ms a passage": round(float(np.median(theirs)), 3),
        "times": round(float(np.median(theirs) / np.median(ours)), 1),
    }


def measure_plaid(passages: TokenVectors, queries: TokenVectors, python: str, work: Path) -> dict[str, Any]:
    truth = best(scores(stored(passages, work / "plaid-truth"), queries), 10)
    said = peer(python, "plaid", CACHE, len(passages.offsets) - 1)
    found = np.array(said.pop("rows"))
    return {**said, "share of the top 10": shares(truth[: len(found)], found)["within 10"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--fastembed", help="python of an environment with fastembed")
    parser.add_argument("--plaid", help="python of an environment with fast-plaid")
    parser.add_argument("--passages", type=int, help="only so many")
    parser.add_argument("--proxies", nargs="+", choices=PROXIES, help="only these, and no poolings")
    options = parser.parse_args()
    passages, queries = tokens(options.data)
    if options.passages:
        passages = some(passages, 0, options.passages)
    result: dict[str, Any] = {"machine": machine(), "passages": len(passages.offsets) - 1}
    if options.fastembed:
        result["fde encoding"] = measure_fde(passages, options.fastembed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if options.plaid:
            result["fast-plaid, all tokens"] = measure_plaid(passages, queries, options.plaid, work)
        part = stored(pooled(passages, Pooling()), work / "default")
        result["stored by default"] = {"bytes a passage": round(part.bytes / part.rows)}
        result["proxies"] = measure_proxies(part, queries, work, options.proxies or [*PROXIES])
        if not options.proxies:
            result["pooling"] = measure_poolings(passages, queries, work)
    save("multivector", result)


if __name__ == "__main__":
    main()
