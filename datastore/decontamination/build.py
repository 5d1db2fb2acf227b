"""Questions become a matcher."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import xxhash

from .folding import folded_words
from .matcher import FORMAT, Matcher
from .near import SEED_LETTER_WORDS, SEED_WORDS
from .ngrams import NgramIndex, index_ngrams
from .rules import DecontaminationConfig, Question


def build_matcher(
    questions: Iterable[Question | tuple[str, str, str]],
    config: DecontaminationConfig = DecontaminationConfig(),  # noqa: B008 (frozen)
) -> Matcher:
    """Index questions; in whatever order and however often they are given, the matcher is the same."""
    unused: Counter[str] = Counter()
    vocabulary: dict[str, int] = {}
    names: list[tuple[str, str]] = []
    numbered: list[list[int]] = []
    for task, item, text in sorted(set(map(tuple, questions))):
        words = folded_words(text)
        if len(words) < config.min_question_words:
            unused["too_short"] += 1
            continue
        names.append((task, item))
        numbered.append([vocabulary.setdefault(word, len(vocabulary) + 1) for word in words])
    spelt = np.array([False, *map(_is_spelt, vocabulary)])

    def ngrams(length: int, min_letter_words: int) -> NgramIndex:
        return index_ngrams(
            numbered,
            spelt,
            length=length,
            max_questions=config.max_questions,
            min_letter_words=min_letter_words,
        )

    index = ngrams(config.ngram_words, config.min_letter_words)
    evidence, seeds = index.places, None
    if config.rule == "near":
        seeds = ngrams(SEED_WORDS, min(SEED_LETTER_WORDS, config.min_letter_words))
        evidence = np.concatenate([evidence, seeds.places])
    if without := len(names) - len(np.unique(index.owners(evidence))):
        unused["no_evidence"] = without
    digest = xxhash.xxh3_128(json.dumps([FORMAT, config.model_dump(), names, list(vocabulary)]).encode())
    digest.update(index.words.tobytes())
    return Matcher(config, names, vocabulary, index, seeds, dict(unused), digest.hexdigest())


def _is_spelt(word: str) -> bool:
    """Whether it is more than a number or the name of a variable."""
    return not word.isascii() or sum(map(str.isalpha, word)) > 1
