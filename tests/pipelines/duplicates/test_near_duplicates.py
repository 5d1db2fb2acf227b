"""The whole way: texts, signatures on disk, pairs, similarity, clusters."""

from __future__ import annotations

import gzip
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.duplicates import NearDuplicates, candidate_pairs, choose, near_duplicates, signatures
from pipelines.duplicates.verify import jaccard
from pipelines.executors import open_executor

CONFIG = NearDuplicates()
BOILERPLATE = (
    "We use cookies to give you the best experience on our website. By continuing to browse the site you agree "
    "to our terms of use and privacy policy. Subscribe to our newsletter for the latest news and special offers. "
)


def save(folder: Path, texts: list[str], config: NearDuplicates = CONFIG, shard: int = 700) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for start in range(0, len(texts), shard):
        files.append(folder / f"{start:06}.npy")
        np.save(files[-1], signatures(texts[start : start + shard], config))
    return files


def clusters_of(folder: Path, texts: list[str], executor: str = "serial", first_new: int = 0, **changes):
    config = CONFIG.model_copy(update=changes)
    priority = (np.arange(len(texts)) >= first_new).astype(np.int8)
    with open_executor(executor, 2) as workers:
        return near_duplicates(
            save(folder / "signatures", texts, config),
            np.array([*texts, ""], dtype=object).take,
            priority,
            np.array([len(text) for text in texts], dtype=np.int64),
            config,
            work=folder / "work",
            executor=workers,
            first_new=first_new,
        )


def edited(text: str, how: str, strength: float, generator: np.random.Generator) -> str:
    """A copy with a share of its words edited; `strength` 0 to 1 gives similarities of 1 down to about .5."""
    run = text.split()
    if how == "boilerplate":
        extra = BOILERPLATE.split()
        return " ".join(run + (extra * 9)[: round(strength * 0.8 * len(run))])
    if how == "move":
        cuts = np.sort(generator.choice(len(run), round(strength * len(run) * 0.06) + 2, replace=False))
        parts = np.split(np.array(run), cuts)
        return " ".join(word for part in generator.permutation(len(parts)) for word in parts[part])
    out = []
    for word in run:
        if generator.random() >= strength * 0.1:
            out.append(word)
        elif how == "substitute":
            out.append(f"other{generator.integers(1000)}")
        elif how == "insert":
            out += [word, f"more{generator.integers(1000)}"]
    return " ".join(out)


@pytest.fixture(scope="module")
def real_texts(test_data: Path) -> list[str]:
    """About 1,500 Wikipedia leads, web pages and pieces of textbooks of 40 words and more."""

    def read(name: str) -> list[str]:
        with gzip.open(test_data / name, "rt", encoding="utf-8") as file:
            return [json.loads(line)["text"] for line in file]

    pieces = []
    for text in read("textbooks/psychology-2e.jsonl.gz"):
        run = text.split()
        pieces += [" ".join(run[start : start + 200]) for start in range(0, len(run), 200)]
    found = read("wikipedia/vital_en.jsonl.gz")[::12] + read("c4_sample/test_c4.jsonl.gz") + pieces[::3]
    return [text for text in found if len(text.split()) >= 40]


def test_planted_pairs_are_told_from_hard_negatives(tmp_path, real_texts):
    generator = np.random.default_rng(7)
    kinds = ["substitute", "delete", "insert", "move", "boilerplate"]
    copies = [
        edited(text, kinds[number % 5], generator.random(), generator)
        for number, text in enumerate(real_texts)
    ]
    count = len(real_texts)
    texts = real_texts + copies
    rows = np.arange(count)
    # Each copy with its text; and, nothing alike, with the text that follows.
    pairs = np.concatenate(
        [np.column_stack([rows, rows + count]), np.column_stack([rows, (rows + 1) % count + count])]
    )
    scores = jaccard(texts, pairs, CONFIG.ngram_words)
    expected = scores >= CONFIG.min_jaccard

    found = clusters_of(tmp_path, texts)
    together = found[pairs[:, 0]] == found[pairs[:, 1]]

    assert min(((scores > low) & (scores <= low + 0.1)).sum() for low in (0.5, 0.6, 0.7, 0.8, 0.9)) > 50
    right = int((together & expected).sum())
    assert 2 * right / (together.sum() + expected.sum()) >= 0.95
    assert right == together.sum()  # nothing is taken for a copy that is none


def test_in_clusters_of_several_copies_what_goes_is_similar_to_what_stays(tmp_path, real_texts):
    generator = np.random.default_rng(3)
    texts, owner = [], []
    for number, text in enumerate(real_texts[::3]):
        copies = [edited(text, "substitute", generator.random() / 2, generator) for _ in range(number % 7)]
        texts += [text, *copies]
        owner += [number] * (1 + len(copies))
    order = generator.permutation(len(texts))
    texts, owners = [texts[row] for row in order], np.array(owner)[order]

    found = clusters_of(tmp_path, texts)
    gone = np.flatnonzero(found != np.arange(len(texts)))

    assert jaccard(texts, np.column_stack([found[gone], gone]), 5).min() >= CONFIG.min_jaccard
    same = [np.flatnonzero(owners == number) for number in range(owners.max() + 1)]
    pairs = np.array([pair for rows in same for pair in combinations(rows.tolist(), 2)])
    alike = pairs[jaccard(texts, pairs, 5) >= CONFIG.min_jaccard]
    stays = found == np.arange(len(texts))
    assert len(alike) > 1000
    assert (stays[alike[:, 0]] & stays[alike[:, 1]]).mean() < 0.01


def test_the_answer_is_the_same_from_all_executors(tmp_path, real_texts):
    generator = np.random.default_rng(1)
    texts = real_texts[:300] + [edited(text, "delete", 0.3, generator) for text in real_texts[:300]]

    serial = clusters_of(tmp_path / "serial", texts)

    assert 100 < (serial != np.arange(600)).sum() < 300
    assert np.array_equal(clusters_of(tmp_path / "process", texts, "process"), serial)


def test_the_texts_that_stay_are_the_same_after_the_shards_are_shuffled(tmp_path, real_texts):
    generator = np.random.default_rng(2)
    families = [
        [text, *(edited(text, "insert", strength, generator) for strength in (0.1, 0.2, 0.3))]
        for text in real_texts[-500:]
    ]
    # Of two that are as long, the first stays: that would depend on the order.
    distinct = [family for family in families if len({len(text) for text in family}) == 4]
    texts = [text for family in distinct for text in family]
    kept = []
    for number in range(3):
        shuffled = [texts[row] for row in np.random.default_rng(number).permutation(len(texts))]
        found = clusters_of(tmp_path / str(number), shuffled)
        kept.append(sorted(text for row, text in enumerate(shuffled) if found[row] == row))

    assert len(texts) > 800
    assert len(texts) / 4 < len(kept[0]) < len(texts) * 3 / 4
    assert kept[0] == kept[1] == kept[2]


WORDS = st.lists(st.sampled_from(["one", "two", "three", "four", "five", "six"]), max_size=12).map(" ".join)


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=14))
def test_identical_texts_are_always_found_and_whatever_is_found_is_similar(tmp_path_factory, texts):
    found = clusters_of(tmp_path_factory.mktemp("property"), texts, ngram_words=2, rows=2)

    assert len(found) == len(texts)
    first = {text: found[texts.index(text)] for text in texts}
    assert [first[text] for text in texts] == found.tolist()
    gone = np.flatnonzero(found != np.arange(len(texts)))
    assert (jaccard(texts, np.column_stack([found[gone], gone]), 2) >= CONFIG.min_jaccard).all()
    assert (found[found] == found).all()


def test_a_text_that_stands_there_fifty_thousand_times(tmp_path):
    text = "The same few words of a page that every address of a site gives, whatever one asks it for."
    texts = [text] * 50_000 + ["Another text of quite other words that is on one page only, for once."]

    found = clusters_of(tmp_path, texts)

    assert not found[:50_000].any()
    assert found[50_000] == 50_000


def test_words_of_any_script_and_texts_without_any(tmp_path):
    texts = [
        "Ünïcödé wörds are words, тоже слова, λέξεις επίσης, كلمات أيضا, 这也是 一句话",
        "ünïcödé WÖRDS are words. Тоже слова; λέξεις επίσης! كلمات أيضا? 这也是 一句话。",
        "",
        "🙂🙂",
        "",
        "…",
        "🙂🙂",
    ]

    assert clusters_of(tmp_path, texts).tolist() == [1, 1, 2, 3, 2, 5, 3]


@pytest.mark.parametrize("texts", [[], ["One document."]])
def test_next_to_nothing(tmp_path, texts):
    assert clusters_of(tmp_path, texts).tolist() == list(range(len(texts)))


def test_what_a_store_has_stays_and_keeps_its_copies_out(tmp_path, real_texts):
    generator = np.random.default_rng(5)
    stored = [*real_texts[:50], real_texts[0]]
    new = [edited(text, "substitute", 0.1, generator) + " And some more." for text in real_texts[40:60]]

    found = clusters_of(tmp_path, stored + new, first_new=51)

    kept = choose(found, (np.arange(71) >= 51).astype(int), np.array([len(text) for text in stored + new]))
    assert found[:51].tolist() == list(range(51))  # also the two that are the same
    expected = jaccard(stored + new, np.column_stack([np.arange(40, 60), np.arange(51, 71)]), 5) >= 0.8
    assert expected[:10].sum() > 5
    assert kept[51:61].tolist() == np.where(expected[:10], np.arange(40, 50), np.arange(51, 61)).tolist()
    assert kept[61:].tolist() == list(range(61, 71))


def test_a_changed_filter_needs_no_new_comparison(tmp_path):
    text = "Twelve words of a text that is here with and without an end"
    texts = [
        text,
        text + ".",
        text + ", and here",
        "Nothing like the others at all, this one, not in any of its words",
    ]
    found = clusters_of(tmp_path, texts, min_jaccard=0.7)
    length = np.array([len(text) for text in texts])
    priority = np.zeros(4, dtype=int)

    assert choose(found, priority, length).tolist() == [2, 2, 2, 3]
    assert choose(found, priority, length, np.array([True, True, False, True])).tolist() == [1, 1, -1, 3]


def test_candidates_do_not_miss_the_pairs_that_banding_promises(tmp_path, real_texts):
    generator = np.random.default_rng(11)
    copies = [edited(text, "substitute", 0.4, generator) for text in real_texts]
    texts = real_texts + copies
    pairs = np.column_stack([np.arange(len(copies)), np.arange(len(copies)) + len(copies)])
    scores = jaccard(texts, pairs, 5)
    with open_executor("serial") as executor:
        candidates = candidate_pairs(save(tmp_path / "signatures", texts), tmp_path / "work", executor)

    found = {tuple(pair) for block in candidates.blocks() for pair in candidates.pairs(block).tolist()}
    met = np.array([tuple(pair) in found for pair in pairs.tolist()])
    expected = 1 - (1 - scores**CONFIG.rows) ** CONFIG.bands
    error = np.sqrt((expected * (1 - expected)).sum())
    assert abs(met.sum() - expected.sum()) < 4 * error + 1
