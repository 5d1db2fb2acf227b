from __future__ import annotations

import pytest

from eval.llm.config import Options
from eval.llm.passages.another import OfAnother
from eval.llm.passages.finders import Found
from eval.tasks.task import Item, Passage

LONG = "which of the many old towns of the northern plain lies where two rivers meet below the mill"
NEXT = [1, 2, 3, 0]  # the other of each question


class Fixed:
    """Finds what it was given for each question."""

    def __init__(self, found):
        self._found = found

    def find(self, items, first):  # noqa: ARG002 (the Protocol's)
        return [self._found[item.id] for item in items]


@pytest.fixture
def show():
    """`show(found, gold=…, **options)`: the ids of what each question is shown."""

    def make(found, gold=(), **options):
        items = [Item(f"q{n}", "", f"{LONG} {n}?" if n == 0 else f"Short {n}?") for n in range(4)]
        items[0] = Item("q0", "", items[0].question, gold=tuple(Passage(name, "") for name in gold))
        finder = Fixed({f"q{n}": one for n, one in enumerate(found)})
        shown = OfAnother(finder, items, NEXT, Options(**options)).find(items, 0)
        assert all(one.gold_rank is None for one in shown)
        return [[passage.id for passage in one.passages] for one in shown], shown

    return make


def found(*names, documents=None, **texts):
    passages = [Passage(name, texts.get(name, f"text of {name}")) for name in names]
    return Found(passages, gold_rank=1, documents=documents or {})


def test_what_gives_away_the_question_that_is_asked_makes_room_for_the_next_others(show):
    everything = [found("a"), found("b", b=f"Quiz. {LONG} 0?"), found("c"), found("d")]
    ids, shown = show(everything)
    assert ids == [["c"], ["c"], ["d"], ["a"]]
    assert [[removed.id for removed in one.removed] for one in shown] == [["b"], [], [], []]
    assert show(everything, decontaminate=False)[0] == [["b"], ["c"], ["d"], ["a"]]


def test_what_was_found_for_the_question_itself_is_not_shown_as_anothers(show):
    ids, _ = show([found("a", "b"), found("b", "a"), found("c", "a"), found("d", "e")])
    assert ids[0] == ["c", "d"]
    same_text = [found("a"), found("b", b="text of a"), found("c"), found("d")]
    assert show(same_text)[0][0] == ["c"]


def test_gold_passages_of_the_question_are_not_shown_to_it_as_wrong(show):
    everything = [found("a"), found("s/g#0", documents={"s/g#0": "g"}), found("h"), found("d")]
    assert show(everything, gold=["g", "h"])[0][0] == ["d"]


def test_a_question_is_shown_as_many_passages_as_its_own_search_finds(show):
    ids, _ = show([found("a"), found("b", "c"), found("d"), found("e", "f", "g")])
    assert ids == [["b"], ["d", "e"], ["e"], ["a", "b", "c"]]


def test_fewer_are_shown_where_the_others_have_no_more(show):
    assert show([found("a", "b"), found("a"), found("b"), found()])[0][0] == []
