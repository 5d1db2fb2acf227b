from __future__ import annotations

import pytest

from pipelines.document import Document, Reject


def test_a_text_file_is_one_document_named_by_its_path(tmp_path, read_files):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "on tea.txt").write_bytes(b"first\r\n\r\nsecond\n")
    assert read_files(tmp_path) == [
        Document("notes/on tea.txt", "on tea", "first\r\n\r\nsecond\n", {}, "notes/on tea.txt")
    ]


@pytest.mark.parametrize(
    "data",
    [
        "na\u00efve".encode(),
        b"\xef\xbb\xbf" + "na\u00efve".encode(),
        b"\xff\xfe" + "na\u00efve".encode("utf-16-le"),
        b"\xfe\xff" + "na\u00efve".encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16 little endian", "utf-16 big endian"],
)
def test_unicode_is_read_with_and_without_its_mark(tmp_path, read_files, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert [document.text for document in read_files(tmp_path)] == ["na\u00efve"]


def test_another_encoding_is_set_aside(tmp_path, read_files):
    (tmp_path / "a.txt").write_bytes("na\u00efve".encode("latin-1"))
    (reject,) = read_files(tmp_path)
    assert reject._replace(detail="") == Reject("invalid_utf8", "a.txt", "a.txt", "", "na\ufffdve")


def test_too_large_and_empty_files_are_set_aside(tmp_path, read_files):
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    (tmp_path / "b.txt").write_bytes(b"x" * 10)
    (tmp_path / "c.txt").write_bytes(b" \n")
    too_large, document, empty = read_files(tmp_path, max_document_bytes=10)
    assert too_large == Reject("too_large", "a.txt", "a.txt", "more than 10 bytes", "")
    assert document.id == "b.txt"
    assert empty == Reject("no_text", "c.txt", "c.txt", "the file is empty", " \n")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("intro\n\n# The heading #\n\n# Another\n", "The heading"),
        ("```sh\n# a comment\n~~~\n# still code\n```\n# Heading\n", "Heading"),
        ("## Only a second level\n#hashtag\n", "page"),
        ("#\n# Named\n", "Named"),
        ("# C#\n", "C#"),
    ],
)
def test_markdown_is_titled_by_its_first_heading_and_kept_as_written(tmp_path, read_files, text, title):
    (tmp_path / "page.md").write_text(text)
    assert read_files(tmp_path) == [Document("page.md", title, text, {}, "page.md")]


def test_front_matter_becomes_metadata(tmp_path, read_files):
    front = (
        "---\ntitle: From the front\ndate: 2024-02-29\nat: 2024-02-29 01:02:03\n"
        "draft: false\nweight: 1.5\ntags: [a, b]\nnothing:\n---\n"
    )
    (tmp_path / "page.md").write_text(front + "# Heading\n\nBody\n")
    metadata = {"date": "2024-02-29", "at": "2024-02-29T01:02:03", "draft": False, "weight": 1.5}
    assert read_files(tmp_path) == [
        Document("page.md", "From the front", "# Heading\n\nBody\n", metadata, "page.md")
    ]


@pytest.mark.parametrize(
    "front",
    [
        "---\ntitle: [unclosed\n---\n",
        "---\njust a sentence\n---\n",
        "---\nday: 2024-99-99\n---\n",
        "---\nscore: .nan\n---\n",
        '---\nname: "\\ud800"\n---\n',
        "---\ntitle: never closed\n",
    ],
    ids=["no yaml", "no mapping", "no date", "not finite", "half a pair", "no end"],
)
def test_malformed_front_matter_stays_in_the_text(tmp_path, read_files, front):
    (tmp_path / "page.md").write_text(front + "# Heading\n")
    assert read_files(tmp_path) == [Document("page.md", "Heading", front + "# Heading\n", {}, "page.md")]


def test_front_matter_with_nothing_below_is_no_text(tmp_path, read_files):
    (tmp_path / "page.md").write_text("---\ntitle: T\n---\n\n")
    (reject,) = read_files(tmp_path)
    assert reject.reason == "no_text"


def test_a_damaged_byte_does_not_lose_the_file(tmp_path, read_files):
    (tmp_path / "a.txt").write_bytes(b"Plain text. " * 100 + b"\xff")  # one character in a thousand
    (tmp_path / "b.md").write_bytes("# Caf\u00e9\n\nna\u00efve, d\u00e9j\u00e0 vu ".encode() + b"\xff")
    (tmp_path / "c.txt").write_bytes("caf\u00e9, na\u00efve".encode("cp1252"))

    a, b, c = read_files(tmp_path)

    assert (a.text.count("\ufffd"), len(a.text)) == (1, 1201)
    assert (b.title, b.text[-1]) == ("Caf\u00e9", "\ufffd")
    assert c.reason == "invalid_utf8"
