"""Evaluation questions in real text: planted ones that are found, by kind of edit; clean text that is taken for one.

Questions of MMLU, MMLU-Pro, ARC-Challenge, GSM8K, MATH and AGIEval; text of Wikipedia, OpenStax textbooks, C4, WordNet
and FOLDOC. A planted question stands at a random word of a random passage. Passages are of 200 words. datatrove's filter
(13-grams of the questions, whole documents) answers the same texts in the same run, in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from common import machine, save

from datastore.decontamination import DecontaminationConfig, Matcher, Question, build_matcher
from datastore.decontamination.folding import folded_words
from datastore.text import normalise
from eval.files import read_records
from eval.questions import read_questions
from pipelines.decontaminate import contaminated

QUESTIONS = {
    "mmlu": "mmlu/test_half.jsonl.gz",
    "mmlu_pro": "mmlu_pro/test_half.jsonl.gz",
    "arc_c": "arc_c/test.jsonl.gz",
    "gsm8k": "gsm8k/test_half.jsonl.gz",
    "math": "math/test_half.jsonl.gz",
}
AGIEVAL = ("lsat-lr", "lsat-rc", "logiqa-en", "sat-en", "sat-math", "aqua-rat")
CLEAN = {
    "wikipedia": "wikipedia/vital_en.jsonl.gz",
    "wikipedia_es": "wikipedia/vital_es.jsonl.gz",
    "textbooks": "textbooks/*.jsonl.gz",
    "c4": "c4_sample/test_c4.jsonl.gz",
    "wordnet": "reference/wordnet_glosses.jsonl.gz",
    "foldoc": "reference/foldoc.jsonl.gz",
}
RULES = {
    "near": DecontaminationConfig(),
    "any": DecontaminationConfig(rule="any"),
    "coverage": DecontaminationConfig(rule="coverage", ngram_words=5),
    "longest_run": DecontaminationConfig(rule="longest_run"),
    "jaccard": DecontaminationConfig(rule="jaccard"),
}
PASSAGE_WORDS = 200


def read_all_questions(data: Path) -> list[Question]:
    found = [q for task, file in QUESTIONS.items() for q in read_questions(data / file, task)]
    for name in AGIEVAL:
        file = data / "agieval" / f"{name}.jsonl.gz"
        found += [
            q for q in read_questions(file, f"agieval-{name}", ("question", "passage")) if q.text.strip()
        ]
    return found


def read_texts(data: Path, pattern: str) -> list[str]:
    return [
        normalise(record["text"]) for file in sorted(data.glob(pattern)) for _, record in read_records(file)
    ]


def passages(text: str) -> list[tuple[int, int]]:
    spans = [found.span() for found in re.finditer(r"\S+", text)]
    return [
        (spans[i][0], spans[min(i + PASSAGE_WORDS, len(spans)) - 1][1])
        for i in range(0, len(spans), PASSAGE_WORDS)
    ]


def _every(count: int, change: Callable[[str, random.Random], str]) -> Callable[[str, random.Random], str]:
    """One word in `count` changed, at least one."""

    def edit(text: str, draw: random.Random) -> str:
        parts = text.split()
        first = draw.randrange(count)
        return " ".join(
            change(word, draw) if i % count == first % max(1, min(count, len(parts))) else word
            for i, word in enumerate(parts)
        )

    return edit


def _swapped(text: str, draw: random.Random) -> str:
    """Two neighbours in each other's place."""
    parts = text.split()
    place = draw.randrange(max(1, len(parts) - 1))
    parts[place : place + 2] = parts[place : place + 2][::-1]
    return " ".join(parts)


def _other_hyphens(text: str, _: random.Random) -> str:
    """A line break and a hyphen in every fifth long word, a soft hyphen in every other."""
    parts = text.split(" ")
    for i, word in enumerate(parts):
        if len(word) > 6 and word.isalpha():
            parts[i] = word[:3] + ("-\n" if i % 5 == 0 else "\u00ad") + word[3:]
    return " ".join(parts)


EDITS: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": lambda text, _: text,
    "upper case": lambda text, _: text.upper(),
    "no punctuation": lambda text, _: re.sub(r"[^\w\s]", lambda m: "" if m[0] in "'’" else " ", text),  # noqa: RUF001
    "other punctuation": lambda text, _: text.replace(", ", " — ").replace("'", "’").replace('"', "“"),  # noqa: RUF001
    "other white space": lambda text, draw: re.sub(
        r"\s+", lambda _: draw.choice(["\n", "  ", "\t", "\u00a0"]), text
    ),
    "hyphens": _other_hyphens,
    "full width": lambda text, _: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "1 of 20 words replaced": _every(20, lambda _, draw: draw.choice(["thing", "another", "several"])),
    "1 of 20 words left out": _every(20, lambda _, __: ""),
    "1 of 20 words added": _every(20, lambda word, _: f"{word} indeed"),
    "1 of 10 words replaced": _every(10, lambda _, draw: draw.choice(["thing", "another", "several"])),
    "two words swapped": _swapped,
    "second half alone": lambda text, _: " ".join(text.split()[len(text.split()) // 2 :]),
}


class Planted(NamedTuple):
    text: str
    ranges: list[tuple[int, int]]
    question: Question
    split: bool  # by the end of a passage


def plant(
    questions: Sequence[Question],
    hosts: Sequence[str],
    edit: str,
    draw: random.Random,
    *,
    split: bool = False,
) -> list[Planted]:
    found = []
    for question in questions:
        words = draw.choice(hosts).split(" ")
        at = draw.randrange(len(words) + 1)
        leak = EDITS[edit](question.text, draw)
        before = " ".join(words[:at]) + " "
        text = before + leak + " " + " ".join(words[at:])
        middle = len(before) + len(leak) // 2
        ranges = [(0, middle), (middle, len(text))] if split else passages(text)
        found.append(Planted(text, ranges, question, split))
    return found


def recall(planted: Sequence[Planted], matcher: Matcher) -> dict[str, float]:
    """Share of planted questions that are found; for split ones, in both passages."""
    result = contaminated([p.text for p in planted], [p.ranges for p in planted], matcher)
    touched: Counter[tuple[int, tuple[str, str]]] = Counter()
    for leak in result.leaks:
        touched[leak.text, (leak.task, leak.item)] += 1
    right = [
        touched[i, (p.question.task, p.question.item)] >= (len(p.ranges) if p.split else 1)
        for i, p in enumerate(planted)
    ]
    long = [len(folded_words(p.question.text)) >= 13 for p in planted]
    return {
        "found": round(float(np.mean(right)), 4),
        "found_13_words_or_more": round(
            float(np.mean([r for r, of_13 in zip(right, long, strict=True) if of_13])), 4
        ),
        "dropped": round(float(np.mean([mask.any() for mask in result.passages])), 4),
    }


def false_positives(texts: Sequence[str], matcher: Matcher) -> dict[str, Any]:
    ranges = [passages(text) for text in texts]
    result = contaminated(texts, ranges, matcher)
    return {
        "documents": len(texts),
        "passages": sum(map(len, ranges)),
        "contaminated_passages": int(sum(mask.sum() for mask in result.passages)),
        "leaks": sorted({(leak.task, leak.item, " ".join(leak.span.split())) for leak in result.leaks}),
    }


class Peer:
    """datatrove's filter over the same questions."""

    def __init__(self, questions: Iterable[Question], folder: str) -> None:
        from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
        from datatrove.utils.hashing import HashConfig
        from datatrove.utils.text import ngrams, simplify_text

        # Its xxhash gives the package a str, which newer ones refuse.
        config = NGramsDecontConfig(n_grams=13, hash_config=HashConfig(hash_fc="sha1"))
        self._filter = NGramsDecontFilter(folder, config=config)
        # What its indexer writes; that one wants lighteval before it looks at a text.
        hashes = {
            self._filter.hash_func(" ".join(words))
            for question in questions
            for words in ngrams(
                self._filter.tokenizer.word_tokenize(simplify_text(question.text, config.norm_config)), 13
            )
        }
        Path(folder, "all.index.hashes").write_bytes(np.array(sorted(hashes), dtype=np.uint64).tobytes())
        self._filter.load_index_hashes()

    def contaminated(self, texts: Sequence[str]) -> list[bool]:
        from datatrove.data import Document

        return [self._filter.filter(Document(text, str(i))) is not True for i, text in enumerate(texts)]


def words_per_second(run: Callable[[], object], words: int, repeats: int) -> list[float]:
    rates = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        rates.append(words / (time.process_time() - started))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPENDIA_TEST_DATA", "../shared/data"))
    parser.add_argument("--planted", type=int, default=1000, help="questions, for each kind of edit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    where = machine()
    questions = read_all_questions(arguments.data)
    started = time.process_time()
    matchers = {name: build_matcher(questions, config) for name, config in RULES.items()}
    build_s = (time.process_time() - started) / len(RULES)
    clean = {name: read_texts(arguments.data, pattern) for name, pattern in CLEAN.items()}
    draw = random.Random(arguments.seed)
    # The first text of each item: no list of options.
    stems = {(q.task, q.item): q for q in reversed(questions)}.values()
    usable = [q for q in stems if len(folded_words(q.text)) >= RULES["near"].min_question_words]
    chosen = draw.sample(usable, min(arguments.planted, len(usable)))
    hosts = [text for text in clean["wikipedia"] if text.count(" ") >= 50]
    planted = {edit: plant(chosen, hosts, edit, draw) for edit in EDITS}
    planted["verbatim, split by a passage's end"] = plant(chosen, hosts, "verbatim", draw, split=True)
    result: dict[str, Any] = {
        "what": "recall of planted questions, share of clean passages dropped, words/s of processor time on one core",
        "questions": len(questions),
        "used": len(matchers["near"].names),
        "unused": dict(matchers["near"].unused),
        "ngrams": len(matchers["near"].index.ngrams),
        "build_s": round(build_s, 2),
        "planted": len(chosen),
        "recall": {
            edit: {name: recall(some, matcher) for name, matcher in matchers.items()}
            for edit, some in planted.items()
        },
        "clean": {
            name: {rule: false_positives(texts, matcher) for rule, matcher in matchers.items()}
            for name, texts in clean.items()
        },
    }
    timed = {name: (texts, sum(len(folded_words(text)) for text in texts)) for name, texts in clean.items()}
    with tempfile.TemporaryDirectory() as folder:
        peer = None if arguments.without_peer else Peer(questions, folder)
        if peer is not None:
            result["peer"] = {
                "datatrove": version("datatrove"),
                "recall": {
                    edit: round(float(np.mean(peer.contaminated([p.text for p in some]))), 4)
                    for edit, some in planted.items()
                },
            }
        speed: dict[str, dict[str, float]] = {}
        for name, (texts, words) in timed.items():
            some = texts[: 20 if name == "textbooks" else 500]
            of_some = sum(len(folded_words(text)) for text in some)
            ours, theirs = [], []
            for _ in range(arguments.repeats):
                ours += words_per_second(lambda texts=texts: matchers["near"].matches_of(texts), words, 1)
                if peer is not None:
                    theirs += words_per_second(lambda some=some: peer.contaminated(some), of_some, 1)
            speed[name] = {"words_per_second": round(median(ours))}
            if theirs:
                speed[name] |= {
                    "datatrove_words_per_second": round(median(theirs)),
                    "ratio": round(median(ours) / median(theirs), 1),
                }
        result["speed"] = speed
    save("decontamination", {**result, "seed": arguments.seed, "machine": where})


if __name__ == "__main__":
    main()
