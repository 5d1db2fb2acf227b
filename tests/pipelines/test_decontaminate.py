from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from datastore.decontamination import DecontaminationConfig, Question, build_matcher
from pipelines.decontaminate import REPORT, contaminated, prepare_questions, prepared_questions, report

QUESTION = "At which temperature does the oldest of the seven lakes near the village begin to freeze over?"
QUESTIONS = [
    Question("lakes", "1", QUESTION),
    Question("lakes", "2", "Who found the second of the two keys under the mat?"),
]
CLEAN = "The village has seven lakes, and people skate on the oldest of them as soon as it freezes over."
TEXTS = [CLEAN, f"{CLEAN} Quiz night: {QUESTION} {CLEAN}", ""]


def test_passages_that_touch_a_leak_are_marked():
    text = TEXTS[1]
    cut, end = text.index("near the village begin"), text.index("over? ") + 6
    ranges = [[(0, len(CLEAN))], [(0, len(CLEAN)), (len(CLEAN) + 1, cut), (cut, end), (end, len(text))], []]

    result = contaminated(TEXTS, ranges, build_matcher(QUESTIONS))

    assert [passages.tolist() for passages in result.passages] == [[False], [False, True, True, False], []]
    assert [(leak.text, leak.passage) for leak in result.leaks] == [(1, 1), (1, 2)]


def test_the_report_names_passage_task_item_and_span():
    ranges = [[(0, len(text))] for text in TEXTS]

    table = report(
        contaminated(TEXTS, ranges, build_matcher(QUESTIONS)).leaks, [["web/a#0"], ["web/b#3"], ["web/c#0"]]
    )

    assert table.schema == REPORT
    assert table.to_pylist() == [
        {
            "passage_id": "web/b#3",
            "task": "lakes",
            "item": "1",
            "span": QUESTION.rstrip("?"),
            "words": 17,
            "value": 17.0,
        }
    ]
    assert report([], []).schema == REPORT


def test_questions_are_prepared_once_and_named_after_their_content(tmp_path):
    first = prepare_questions(QUESTIONS, DecontaminationConfig(), tmp_path)
    again = prepare_questions(reversed(QUESTIONS), DecontaminationConfig(), tmp_path)
    other = prepare_questions(QUESTIONS, DecontaminationConfig(rule="jaccard"), tmp_path)

    assert first.folder == again.folder == tmp_path / "questions" / first.key
    assert sorted(folder.name for folder in (tmp_path / "questions").iterdir()) == sorted(
        [first.key, other.key]
    )
    assert prepared_questions(first.folder) is prepared_questions(first.folder)


def test_another_process_finds_the_same(tmp_path):
    matcher = prepare_questions(QUESTIONS, DecontaminationConfig(), tmp_path)
    ranges = [[(0, len(text))] for text in TEXTS]
    here = contaminated(TEXTS, ranges, matcher)

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(contaminated, TEXTS, ranges, matcher).result()

    assert there.leaks == here.leaks
    assert len(pickle.dumps(matcher)) < 1000  # it travels as the name of its folder
