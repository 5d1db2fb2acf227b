"""How well the quality classifier tells sources apart that it was not trained on, and what it goes by (`--data`).

Trained on some textbooks, Wikipedia, a dictionary and abstracts against some web pages, tested on other textbooks,
lecture notes and abstracts against other web pages; and with the web pages for training and test exchanged. Whole
documents are what a build scores; pieces of 100 or of 200 words on both sides are all of one length. Each ablation
changes the texts of training and test alike, so that the classifier has only what is left to go by.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import trafilatura
from common import machine, save
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding

from pipelines.filters import TextBatch
from pipelines.filters.language import LanguageFilter
from pipelines.filters.quality import QualityModel, load, probabilities
from pipelines.filters.quality import save as save_model
from pipelines.quality_training import auc, cut_pieces, train

TRAIN_POSITIVE = [
    "textbooks/precalculus-2e",
    "textbooks/principles-economics-3e",
    "textbooks/university-physics-volume-1",
    "wikipedia/vital_en",
    "reference/foldoc",
    "scifact/corpus",
]
TEST_POSITIVE = [
    "textbooks/psychology-2e",
    "textbooks/university-physics-volume-3",
    "stacks_project/chapters",
    "cranfield/corpus",
    "bioasq/corpus",
]
FORUM, WEB_PASSAGES = "stackexchange/coffee", "msmarco5k/corpus"
ARTICLES = ["web_pages/articles181, whole page", "web_pages/articles181, main text"]
OTHER_WEB = ["c4_sample/test_c4", "web_warc"]
OTHER_PAGES = "web_pages/trafilatura_eval"
DIRECTIONS = {
    "articles to other web": ([*ARTICLES, FORUM, WEB_PASSAGES], [*OTHER_WEB, OTHER_PAGES]),
    "other web to articles": ([*OTHER_WEB, FORUM], [*ARTICLES, OTHER_PAGES]),
}
MATCHED_WORDS = (100, 200)
LEAST_WORDS = 30
MOST_TEXTS = 400  # of a source in a test

Sources = dict[str, list[str]]

_MARKERS = re.compile(
    r"https?://\S+|www\.\S+|\S+\.(?:com|org|net|edu|gov|io|co|uk)\b|\S+@\S+"  # addresses and site names
    r"|\b(?:figure|table|example|section|chapter|equation|theorem|lemma|proposition|definition|exercise)s?\b"
    r"|\b(?:openstax|rice|wikipedia|foldoc|stacks|tag|credit|modification|creative|commons|licen[sc]ed?|copyright"
    r"|rights|reserved|attribution|flickr|wikimedia)\b"
    r"|\b(?:cookies?|privacy|policy|terms|subscribe|newsletter|sign|log|login|register|menu|search|share|tweet"
    r"|facebook|twitter|instagram|pinterest|youtube|email|comments?|repl(?:y|ies)|posts?|posted|views?|click|read|more"
    r"|home|contact|about|advertisement)\b"
    r"|\\[a-z]+|[#*_`|\\{}\[\]$<>~^=+/]|\d+",  # TeX, Markdown, numbers
    re.IGNORECASE,
)
_HEADING = re.compile(r"^\s*#.*$", re.MULTILINE)


def without_markers(text: str) -> str:
    """Without headings, site names, licence and figure lines' words, boilerplate, numbers and markup; lines joined."""
    return " ".join(_MARKERS.sub(" ", _HEADING.sub(" ", text)).split())


def letters_only(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", text.lower()))


def signs_only(text: str) -> str:
    """Every word a `w`, every number a `0`: format without content."""
    return re.sub(r"[^\W\d]+", "w", re.sub(r"\d+", "0", text))


def words_shuffled(text: str) -> str:
    """Words in any order within every 30: so that pairs say nothing, and pieces keep their words."""
    words = letters_only(text).split()
    random = np.random.default_rng(0)
    return " ".join(
        word for start in range(0, len(words), 30) for word in random.permutation(words[start : start + 30])
    )


def only(vocabulary: set[str]) -> Callable[[str], str]:
    return lambda text: " ".join(word for word in letters_only(text).split() if word in vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of textbooks/, wikipedia/, c4_sample/ …"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pieces", type=int, default=5_000, help="of a source, for training")
    arguments = parser.parse_args()
    where = machine()
    texts = {
        name: read(arguments.data, name) for name in [*TRAIN_POSITIVE, *TEST_POSITIVE, FORUM, WEB_PASSAGES]
    }
    texts |= web(arguments.data)
    common = [
        word
        for word, _ in Counter(
            word
            for name in TRAIN_POSITIVE + ARTICLES
            for text in texts[name]
            for word in letters_only(text).split()
        ).most_common(200)
    ]
    ablations: dict[str, Callable[[str], str]] = {
        "as read": str,
        "source markers removed": without_markers,
        "letters only": letters_only,
        "words shuffled, letters only": words_shuffled,
        "200 commonest words only": only(set(common)),
        "signs only, no words": signs_only,
    }
    result = {}
    speed = {}
    for direction, (negative, held_out) in DIRECTIONS.items():
        rows = []
        for ablation, change in ablations.items():
            changed = {name: [change(text) for text in some] for name, some in texts.items()}
            trained = train(
                {name: changed[name] for name in TRAIN_POSITIVE},
                {name: changed[name] for name in negative},
                seed=arguments.seed,
                pieces=arguments.pieces,
            )
            rows.append(
                {
                    "texts": ablation,
                    "held out of the same sources": round(trained.held_out_auc, 4),
                    "documents": measure(trained.model, documents(changed, arguments.seed), held_out),
                    **{
                        f"pieces of {words} words": measure(
                            trained.model, matched(changed, words, arguments.seed), held_out
                        )
                        for words in MATCHED_WORDS
                    },
                }
            )
            found = [part["all"] for part in rows[-1].values() if isinstance(part, dict)]
            print(direction, ablation, *found, file=sys.stderr)
            speed = speed or documents_a_second(trained.model, texts[TRAIN_POSITIVE[0]])
        lengths = documents(texts, arguments.seed)
        result[direction] = {
            "length alone, documents": compare(
                {
                    name: np.array([len(text.split()) for text in lengths[name]], dtype=float)
                    for name in TEST_POSITIVE + held_out
                },
                held_out,
            )["all"],
            "train": {"positive": TRAIN_POSITIVE, "negative": negative},
            "test": {"positive": TEST_POSITIVE, "negative": held_out},
            "rows": rows,
        }
    save(
        "quality",
        {
            "what": "AUC of the quality classifier on sources that it was not trained on",
            "seed": arguments.seed,
            "pieces": arguments.pieces,
            "directions": result,
            "speed": speed,
            "machine": where,
        },
    )


def read(data: Path, name: str) -> list[str]:
    if name == FORUM:
        with gzip.open(data / "stackexchange" / "coffee.Posts.xml.gz") as file:
            bodies = [row.get("Body") or "" for row in ET.parse(file).getroot()]  # noqa: S314 (a file of the project's own)
        return [html.unescape(re.sub(r"<[^>]+>", " ", body)) for body in bodies]
    with gzip.open(data / f"{name}.jsonl.gz") as lines:
        return [json.loads(line)["text"] for line in lines]


def web(data: Path) -> Sources:
    """The English pages of the web sources."""
    pages = list(warc_pages(data / "web_pages" / "articles181.warc.gz"))
    with gzip.open(data / "web_pages" / "trafilatura_eval.jsonl.gz") as lines:
        others = [json.loads(line)["html"] for line in lines]
    archives = ("dolma.sample-0000.warc.gz", "chatnoir-resiliparse.warcfile.warc.gz")
    found = {
        ARTICLES[0]: [extract_plain_text(page) for page in pages],
        ARTICLES[1]: [trafilatura.extract(page) or "" for page in pages],
        "c4_sample/test_c4": read(data, "c4_sample/test_c4"),
        "web_warc": [
            extract_plain_text(page) for name in archives for page in warc_pages(data / "web_warc" / name)
        ],
        OTHER_PAGES: [extract_plain_text(page) for page in others],
    }
    return {
        name: [
            text
            for text, score in zip(
                texts, LanguageFilter().scores(TextBatch(texts))["language_score"], strict=True
            )
            if score >= 0.65
        ]
        for name, texts in found.items()
    }


def warc_pages(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response):
            page = record.reader.read()
            yield page.decode(detect_encoding(page), "replace")


def documents(texts: Sources, seed: int) -> Sources:
    """Whole documents of at least 30 words."""
    return {
        name: drawn([text for text in some if len(text.split()) >= LEAST_WORDS], seed)
        for name, some in texts.items()
    }


def matched(texts: Sources, words: int, seed: int) -> Sources:
    """Pieces of so many words each."""
    random = np.random.default_rng(seed)
    return {
        name: drawn([piece for text in some for piece in cut_pieces(text, random, (words, words))], seed)
        for name, some in texts.items()
    }


def drawn(texts: list[str], seed: int) -> list[str]:
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:MOST_TEXTS]]


def measure(model: QualityModel, texts: Sources, negative: list[str]) -> dict[str, object]:
    return compare(
        {name: probabilities(model, texts[name]).round(4) for name in TEST_POSITIVE + negative}, negative
    )


def compare(scores: dict[str, np.ndarray], negative: list[str]) -> dict[str, object]:
    """AUC over all sources of each side, and of each source against all of the other side."""
    good = np.concatenate([scores[name] for name in TEST_POSITIVE])
    bad = np.concatenate([scores[name] for name in negative])
    return {
        "all": round(auc(good, bad), 4),
        "by source": {name: round(auc(scores[name], bad), 3) for name in TEST_POSITIVE}
        | {name: round(auc(good, scores[name]), 3) for name in negative},
        "texts": {name: len(values) for name, values in scores.items()},
    }


def documents_a_second(model: QualityModel, texts: list[str]) -> dict[str, float]:
    """Documents of 300 words a second of processor time: one thread runs."""
    length = (300, 300)
    pieces = [piece for text in texts for piece in cut_pieces(text, np.random.default_rng(0), length)][:1_000]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(model, path)
        loaded = load(str(path))
        times = []
        for _ in range(7):
            started = time.process_time()
            probabilities(loaded, pieces)
            times.append(time.process_time() - started)
    return {"documents": len(pieces), "documents_per_s": round(len(pieces) / float(np.median(times)))}


if __name__ == "__main__":
    main()
