"""LIMIT-like sets: names and what they like, where every pair of a few documents is what one query asks for.

Weller et al., "On the Theoretical Limitations of Embedding-Based Retrieval" (ICLR 2026). Its corpus of 50,000 documents
cannot be had, so this makes sets of the same form from names and attributes of our own. They are not LIMIT: figures on
them compare with each other, not with published ones.

As there, each query names one attribute, two of 46 documents have it, and the queries are nearly all the pairs that 46
documents have. All other documents like other things. An attribute is a thing and what kind of it (`Copper Lanterns`);
things are asked for or not, kinds are shared, so a lexical search meets half of each query in documents that are wrong.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datastore.checks import integer
from datastore.errors import UsageError

from .limit_words import FIRST_NAMES, MODIFIERS, SURNAMES, THINGS

_KINDS_PER_THING = 3


class LimitLike(NamedTuple):
    """A set; documents and queries by id."""

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, tuple[str, str]]


def make_limit_like(
    *,
    documents: int = 50_000,
    relevant: int = 46,
    queries: int = 1_000,
    attributes: int = 50,
    other_attributes: int = 850,
    seed: int = 0,
) -> LimitLike:
    """Compose a set.

    Parameters
    ----------
    documents
        In all; the relevant ones stand anywhere among them.
    relevant
        Documents that answer queries, each by what the queries ask for and nothing else.
    queries
        Pairs of relevant documents, of all that there are; one query, of one attribute, each.
    attributes
        Of each document that answers no query, drawn from `other_attributes`.

    Raises
    ------
    UsageError
        If there are not as many pairs, names or attributes.
    """
    for name, value in (("relevant", relevant), ("queries", queries), ("attributes", attributes)):
        integer(name, value, at_least=1)
    pairs = list(combinations(range(relevant), 2))
    limits = {
        "queries": (queries, len(pairs)),
        "relevant": (relevant, documents),
        "documents": (documents, len(FIRST_NAMES) * len(SURNAMES)),
        "attributes": (attributes, other_attributes),
        "queries and other_attributes": (
            queries + other_attributes,
            _KINDS_PER_THING * (len(THINGS) - 1),
        ),
    }
    for name, (value, most) in limits.items():
        if value > most:
            raise UsageError(f"{name} can be at most {most} here, got {value}")
    random = np.random.default_rng(seed)
    names = _names(documents, random)
    asked, others = _attributes(queries, other_attributes, random)
    likes: list[list[str]] = [[] for _ in range(relevant)]
    chosen = [pairs[number] for number in random.permutation(len(pairs))[:queries].tolist()]
    for attribute, pair in zip(asked, chosen, strict=True):
        for document in pair:
            likes[document].append(attribute)
    places = random.permutation(documents)[:relevant].tolist()
    # One that no drawn pair has is a document like all others.
    at = {place: liked for place, liked in zip(places, likes, strict=True) if liked}
    texts = {
        name: _text(
            name,
            at[place] if place in at else [others[i] for i in random.choice(len(others), attributes, False)],
        )
        for place, name in enumerate(names)
    }
    ids = [f"query_{number}" for number in range(queries)]
    return LimitLike(
        texts,
        {name: f"Who likes {attribute}?" for name, attribute in zip(ids, asked, strict=True)},
        {
            name: (names[places[one]], names[places[other]])
            for name, (one, other) in zip(ids, chosen, strict=True)
        },
    )


def write_limit_like(folder: Path, made: LimitLike) -> None:
    """Write a set in the layout of BEIR; equal sets give equal bytes."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": name, "title": "", "text": text} for name, text in made.documents.items())
    _write_lines(folder / "corpus.jsonl.gz", map(json.dumps, corpus))
    queries = ({"_id": name, "text": text} for name, text in made.queries.items())
    _write_lines(folder / "queries.jsonl.gz", map(json.dumps, queries))
    judged = [f"{query}\t{document}\t1" for query, pair in made.relevant.items() for document in pair]
    lines = "\n".join(["query-id\tcorpus-id\tscore", *judged, ""])
    (folder / "qrels" / "test.tsv").write_text(lines, encoding="utf-8")


def _names(count: int, random: np.random.Generator) -> list[str]:
    drawn = random.choice(len(FIRST_NAMES) * len(SURNAMES), count, replace=False).tolist()
    return [f"{FIRST_NAMES[i // len(SURNAMES)]} {SURNAMES[i % len(SURNAMES)]}" for i in drawn]


def _attributes(asked: int, others: int, random: np.random.Generator) -> tuple[list[str], list[str]]:
    """So many attributes to ask for and so many others, with no thing in common."""
    things = [THINGS[i] for i in random.permutation(len(THINGS)).tolist()]
    used = -(-asked // _KINDS_PER_THING)
    groups = []
    for some, count in ((things[:used], asked), (things[used:], others)):
        found = [
            f"{MODIFIERS[i]} {thing}"
            for thing in some
            for i in random.choice(len(MODIFIERS), _KINDS_PER_THING, replace=False).tolist()
        ]
        groups.append([found[i] for i in random.permutation(len(found))[:count].tolist()])
    return groups[0], groups[1]


def _text(name: str, likes: Sequence[str]) -> str:
    *most, last = likes
    return f"{name} likes {', '.join(most)} and {last}." if most else f"{name} likes {last}."


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    # Without the name and the time that gzip.open would put in.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for line in lines:
            file.write(f"{line}\n".encode())
