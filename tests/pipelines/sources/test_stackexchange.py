from __future__ import annotations

import bz2
import errno
import gzip
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.document import Document, Reject
from pipelines.recipe import ShardConfig
from pipelines.sources import inventory, sorted_rows
from pipelines.sources import read as read_source
from pipelines.sources.files import FilesSource
from pipelines.sources.html_text import html_text
from pipelines.sources.stackexchange import StackExchangeOptions, read_stackexchange
from pipelines.sources.unit import Unit
from pipelines.stages.read import ReadTask, read_units

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
END = "</posts>"
COMPRESS = {"": lambda data: data, ".gz": gzip.compress, ".bz2": bz2.compress}


def row(post_id: int, kind: int, body: str = "", **fields: object) -> str:
    values = {"Id": post_id, "PostTypeId": kind, "Body": body, **fields}
    return (
        f"  <row {' '.join(f'{name}={quoteattr(str(value))}' for name, value in values.items())} />\n".replace(
            "\n", "&#xA;"
        ).removesuffix("&#xA;")
        + "\n"
    )


def question(post_id: int, body: str = "", **fields: object) -> str:
    return row(post_id, 1, body or f"<p>Q{post_id}?</p>", **{"Title": f"T{post_id}", "Score": 0, **fields})


def answer(post_id: int, parent: int, score: int = 0, body: str = "") -> str:
    return row(post_id, 2, body or f"<p>A{post_id}.</p>", ParentId=parent, Score=score)


def read(
    folder: Path,
    *rows: str | bytes,
    suffix: str = "",
    max_bytes: int = 20_000_000,
    end: str = END,
    **options: object,
) -> list[Document | Reject]:
    path = folder / f"Posts.xml{suffix}"
    data = b"".join(row if isinstance(row, bytes) else row.encode() for row in (HEAD, *rows, end))
    path.write_bytes(COMPRESS[suffix](data))
    chosen = StackExchangeOptions.model_validate(options) if options else None
    return list(read_stackexchange(Unit(path.name, str(path), "x"), max_bytes, chosen))


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_question_stands_with_its_answers_the_accepted_one_first(tmp_path, suffix):
    items = read(
        tmp_path,
        answer(5, 1, score=9),
        question(
            1,
            "<p>How <b>hot</b>?</p>\n",
            Title="Tea & heat",
            Score=7,
            AcceptedAnswerId=4,
            Tags="<tea><heat>",
            CreationDate="2015-01-27T20:09:32.720",
            LastActivityDate="2016-01-27T20:09:32.720",
            ContentLicense="CC BY-SA 3.0",
        ),
        answer(4, 1, score=-1),
        answer(3, 1, score=2),
        answer(2, 1, score=9),
        answer(6, 1, score=-5),
        suffix=suffix,
        site="tea.stackexchange.com",
    )
    assert items == [
        Document(
            "tea.stackexchange.com/1",
            "Tea & heat",
            "How hot?\n\n## Accepted answer\n\nA4.\n\n## Answer\n\nA2.\n\n## Answer\n\nA5.\n\n## Answer\n\nA3.",
            {
                "url": "https://tea.stackexchange.com/questions/1",
                "tags": ["tea", "heat"],
                "score": 7,
                "created": "2015-01-27T20:09:32.720",
                "last_activity": "2016-01-27T20:09:32.720",
                "license": "CC BY-SA 3.0",
                "answers": 4,
                "answer_scores": [-1, 9, 9, 2],
                "accepted": True,
            },
            f"Posts.xml{suffix}:2",
        )
    ]


def test_the_options_bound_the_answers(tmp_path):
    rows = [
        question(1, AcceptedAnswerId=2),
        *(answer(10 + n, 1, score=n) for n in range(20)),
        answer(2, 1, score=-9),
    ]
    (document,) = read(tmp_path, *rows)
    assert document.metadata["answer_scores"] == [-9, 19, 18, 17, 16]
    (document,) = read(tmp_path, *rows, max_answers=2, min_answer_score=100)
    assert document.metadata["answer_scores"] == [-9]
    (document,) = read(tmp_path, *rows, max_answers=0)
    assert (document.text, document.metadata["answers"]) == ("Q1?", 0)


def test_an_answer_that_would_make_a_document_too_long_is_left_out(tmp_path):
    rows = [question(1), answer(2, 1, 5, "a" * 600), answer(3, 1, 9, "b" * 600)]
    (document,) = read(tmp_path, *rows, max_bytes=1300)
    assert document.metadata["answer_scores"] == [9, 5]
    (document,) = read(tmp_path, *rows, max_bytes=1200)
    assert document.text == f"Q1?\n\n## Answer\n\n{'b' * 600}"


def test_questions_without_answers_are_documents_unless_the_recipe_says_no(tmp_path):
    (document,) = read(tmp_path, question(1))
    assert document == Document(
        "1", "T1", "Q1?", {"score": 0, "answers": 0, "accepted": False}, "Posts.xml:1"
    )
    (reject,) = read(tmp_path, question(1), answer(2, 1, score=1), unanswered=False, min_answer_score=5)
    assert (reject.reason, reject.document_id, reject.sample) == ("unanswered", "1", "T1")


def test_the_site_is_the_folder_that_an_archive_unpacks_to(tmp_path):
    folder = tmp_path / "math.stackexchange.com"
    folder.mkdir()
    (document,) = read(folder, question(7))
    assert (document.id, document.metadata["url"]) == (
        "math.stackexchange.com/7",
        "https://math.stackexchange.com/questions/7",
    )


def test_tags_of_newer_dumps(tmp_path):
    (document,) = read(tmp_path, question(1, Tags="|green-tea|c++|"))
    assert document.metadata["tags"] == ["green-tea", "c++"]


def test_posts_that_are_set_aside_are_counted_with_their_place(tmp_path):
    items = read(
        tmp_path,
        answer(2, 99),
        row(3, 5, "a tag's wiki"),
        question(1),
        question(1, "<p>again</p>"),
        '  <row PostTypeId="1" Body="no id" />\n',
        '  <row Id="8" PostTypeId="1" Body="a &lol; b" />\n',
        b'  <row Id="9" PostTypeId="1" Body="caf\xe9" />\n',
        '  <row Id="10" PostTypeId="1" Body="" />\n',
        question(11, "x" * 2000),
        max_bytes=1000,
    )
    assert [item.id for item in items if isinstance(item, Document)] == ["1"]
    assert [(item.reason, item.location, item.document_id) for item in items if isinstance(item, Reject)] == [
        ("other_post_type", "Posts.xml:2", "3"),
        ("invalid_xml", "Posts.xml:5", ""),
        ("too_large", "Posts.xml:9", ""),
        ("duplicate_id", "Posts.xml:4", "1"),
        ("invalid_xml", "Posts.xml:6", ""),
        ("invalid_utf8", "Posts.xml:7", ""),
        ("no_text", "Posts.xml:8", "10"),
        ("orphan_answer", "Posts.xml:1", "2"),
    ]


def test_entities_are_refused(tmp_path):
    path = tmp_path / "Posts.xml"
    path.write_text(
        '<!DOCTYPE p [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><posts><row Id="1" PostTypeId="1" Body="&b;" /></posts>'
    )
    (reject,) = read_stackexchange(Unit("Posts.xml", str(path), "x"), 1000)
    assert (reject.reason, reject.detail[:28]) == ("invalid_xml", "a document type is declared,")


def test_what_is_no_dump_is_one_reject(tmp_path):
    (tmp_path / "Users.xml").write_text('<users><row Id="1" /></users>')
    assert list(read_stackexchange(Unit("Users.xml", str(tmp_path / "Users.xml"), "x"), 1000)) == [
        Reject("invalid_xml", "Users.xml", "", "no element <posts>", "")
    ]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_a_truncated_dump_gives_the_questions_before_and_one_reject(tmp_path, suffix):
    rows = [question(n) + answer(10_000 + n, n) for n in range(1, 1001)]
    read(tmp_path, *rows, suffix=suffix)
    path = tmp_path / f"Posts.xml{suffix}"
    path.write_bytes(path.read_bytes()[:-40])
    *documents, reject = read_stackexchange(Unit(path.name, str(path), "x"), 1_000_000)
    assert [document.id for document in documents] == [str(n) for n in range(1, len(documents) + 1)]
    assert (reject.reason, reject.location) == ("broken_archive", path.name)
    if suffix != ".bz2":  # all of a small file is one block of bzip2
        assert len(documents) > 900


@pytest.mark.parametrize(("run_bytes", "most_runs"), [(64_000_000, 200), (2000, 200), (300, 3)])
def test_any_order_and_any_runs_give_the_same_documents(tmp_path, monkeypatch, run_bytes, most_runs):
    rows = [question(n, AcceptedAnswerId=100 + n) for n in range(1, 40)]
    rows += [answer(100 * k + n, n, score=(7 * n + 3 * k) % 5) for n in range(1, 40) for k in range(1, 5)]
    expected = {item.id: item[1:4] for item in read(tmp_path, *rows)}
    assert list(expected) == [str(n) for n in range(1, 40)]
    monkeypatch.setattr(sorted_rows, "_RUN_BYTES", run_bytes)
    monkeypatch.setattr(sorted_rows, "_MOST_RUNS", most_runs)
    random.Random(5).shuffle(rows)
    items = read(tmp_path, *rows)
    assert {item.id: item[1:4] for item in items} == expected
    assert [item.id for item in items] == list(expected)


def test_the_files_of_the_sort_are_removed_also_when_nobody_reads_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sorted_rows, "_RUN_BYTES", 100)
    read(tmp_path, *(question(n) for n in range(50)))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    items = read_stackexchange(Unit("Posts.xml", str(tmp_path / "Posts.xml"), "x"), 1000, None, scratch)
    next(items)
    assert list(scratch.iterdir())
    items.close()
    assert not list(scratch.iterdir())


def test_a_build_sorts_in_its_work_area_and_leaves_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sorted_rows, "_RUN_BYTES", 100)
    read(tmp_path, *(question(n) for n in range(50)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    for limit in (None, 3):
        source = FilesSource(name="posts", path=str(tmp_path / "Posts.xml"), limit=limit)
        task = ReadTask(
            str(tmp_path / "work"), f"key-{limit}", source, tuple(inventory(source).units), ShardConfig()
        )
        assert read_units(task).records == (limit or 50)
        published = tmp_path / "work" / "read" / task.key
        assert {path.name for path in published.iterdir()} == {"account.json", "documents-00000.arrow"}


def test_a_disk_that_is_full_is_not_taken_for_a_broken_dump(tmp_path, monkeypatch):
    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    read(tmp_path, question(1))
    config = FilesSource(name="posts", path=str(tmp_path / "Posts.xml"))
    monkeypatch.setattr(sorted_rows.SortedRows, "add", full)
    with pytest.raises(OSError, match="No space left"):
        list(read_source(config, inventory(config).units[0], tmp_path))


def test_the_files_of_the_sort_are_where_they_were_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sorted_rows, "_RUN_BYTES", 100)
    read(tmp_path, *(question(n) for n in range(50)))
    config = FilesSource(name="posts", path=str(tmp_path / "Posts.xml"), limit=2)
    (unit,) = inventory(config).units
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    items = read_source(config, unit, scratch)
    assert next(items).id == "0"
    assert len(list(scratch.glob("*/*"))) > 10
    assert next(items).id == "1"
    assert next(items, None) is None
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>One\ntwo.</p>\n\n<p>Three &amp; <em>four</em>.</p>\n", "One two.\n\nThree & four."),
        (
            '<p>Run:</p>\n\n<pre class="lang-py"><code>if a &lt; b:\n    x  = 1\n</code></pre>\n\n<p>or <code>b &gt; a</code>.</p>',
            "Run:\n\n```\nif a < b:\n    x  = 1\n\n```\n\nor `b > a`.",
        ),
        (
            "<ul>\n<li>one</li>\n<li>two\n<ul><li><p>three</p></li></ul></li>\n</ul>",
            "- one\n- two\n\n- three",
        ),
        (
            '<p>See <a href="http://x.y" rel="nofollow">this</a> <img src="a.jpg" alt="enter image"> 10<sup>6</sup></p>',
            "See this 10^6",
        ),
        ("<blockquote>\n  <p>Said.</p>\n</blockquote>\n<hr>\n<h2>Head</h2>x<br>y", "Said.\n\nHead\n\nx\ny"),
        ("a < b and c <3 $x<y$", "a < b and c <3 $x<y$"),
        ("", ""),
    ],
)
def test_html_becomes_text(body, text):
    assert html_text(body) == text


@pytest.mark.parametrize("part", ["<", "<p", "<p ", "<pre>", "&", " ", "\n", "<li>", "</p>", "<code>  "])
def test_hostile_bodies_take_linear_time(part):
    started = time.monotonic()
    html_text("a" + part * (200_000 // len(part)))
    assert time.monotonic() - started < 4


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<pre>", "</pre>", "<li>", "a", " ", "\n", "<code>", "&lt;"]))
)
def test_any_html_gives_stripped_text(parts):
    text = html_text("".join(parts))
    assert text == text.strip()
    assert "\n\n\n" not in text


def test_memory_is_bounded(tmp_path):
    # In a process of its own: peak memory is of a process.
    with gzip.open(tmp_path / "Posts.xml.gz", "wt", compresslevel=1) as file:
        file.write(HEAD)
        for n in range(1, 1501):
            file.write(question(n, "tea " * 2500) + answer(100_000 - n, n, body="hot " * 2500))
        file.write(END)
    script = (
        "import resource, sys\n"
        "from pipelines.sources import sorted_rows, stackexchange\n"
        "from pipelines.sources.unit import Unit\n"
        "sorted_rows._RUN_BYTES = 2_000_000\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "items = stackexchange.read_stackexchange(Unit('a', sys.argv[1], 'x'), 20_000_000)\n"
        "answers = sum(item.metadata['answers'] for item in items)\n"
        "print(answers, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "Posts.xml.gz"], capture_output=True, text=True, check=True
    )
    answers, grown_kib = map(int, run.stdout.split())
    assert answers == 1500
    assert grown_kib < 20_000  # of 30 MB


def test_a_real_dump(test_data):
    path = test_data / "stackexchange" / "coffee.Posts.xml.gz"
    options = StackExchangeOptions(site="coffee.stackexchange.com")
    items = list(read_stackexchange(Unit(path.name, str(path), "x"), 20_000_000, options))
    documents = [item for item in items if isinstance(item, Document)]
    assert Counter(item.reason for item in items if isinstance(item, Reject)) == {"other_post_type": 40}
    assert len(documents) == 225
    assert sum(document.metadata["answers"] for document in documents) == 318
    assert sum(document.metadata["accepted"] for document in documents) == 105
    first = documents[0]
    assert (first.id, first.title) == ("coffee.stackexchange.com/1", "How should I store whole bean coffee?")
    assert first.metadata["answer_scores"] == [15, 2, 2]
    assert first.text.startswith("I just got a pound of microroasted, local coffee and am curious")
    assert (
        "\n\n## Accepted answer\n\nIn a cool, dark, dry, place and whenever possible vacuum sealed."
        in first.text
    )
    assert not any("<p>" in document.text or "&lt;" in document.text for document in documents)
