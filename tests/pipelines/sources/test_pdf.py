from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from datastore.errors import MissingPackageError
from pipelines.document import Document, Reject
from pipelines.sources.pdf import PdfOptions, read_pdf
from pipelines.sources.unit import Unit

LINES = (
    "Tea is an aromatic drink that is made by pouring hot water over cured or fresh",
    "leaves of a shrub native to the hills of East Asia, and after plain water it is",
    "the drink that people have most.",
)


def pdf(*pages: list[str] | bytes, title: str = "", extra: str = "") -> bytes:
    """A PDF of text lines (or of a raw content stream) a page, with its table of references."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    bodies: list[bytes] = []
    for page in pages:
        if isinstance(page, bytes):
            content = page
        else:
            shown = "".join(f"1 0 0 1 50 {700 - 14 * i} Tm ({line}) Tj\n" for i, line in enumerate(page))
            content = f"BT /F1 12 Tf\n{shown}ET".encode("latin-1")
        kids.append(len(objects) + 1)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        packed = zlib.compress(content)
        objects.append(f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\0{len(bodies)}")
        bodies.append(packed)
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    objects.append(f"<< /Title ({title}) /Author (A. Writer) >>")
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        head, mark, body = content.partition("\0")
        stream = b"\n" + bodies[int(body)] + b"\nendstream" if mark else b""
        data += f"{number} 0 obj\n{head}".encode("latin-1") + stream + b"\nendobj\n"
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    data += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R {extra}>>\n".encode()
    return data + f"startxref\n{start}\n%%EOF".encode()


def read(
    folder: Path, data: bytes, max_bytes: int = 20_000_000, options: PdfOptions | None = None
) -> Document | Reject:
    path = folder / "tea.pdf"
    path.write_bytes(data)
    (item,) = read_pdf(Unit("books/tea.pdf", str(path), "x"), max_bytes, options)
    return item


def test_pages_become_one_document_of_flowing_paragraphs(tmp_path):
    data = pdf([*LINES, "Its kinds", "Black"], ["Green"], title="All about tea")
    assert read(tmp_path, data) == Document(
        "books/tea.pdf",
        "All about tea",
        " ".join(LINES) + "\nIts kinds\nBlack\nGreen",
        {"pages": 2, "author": "A. Writer"},
        "books/tea.pdf",
    )


def test_a_word_that_a_line_broke_is_whole_again_but_a_compound_keeps_its_hyphen(tmp_path):
    lines = [
        "The well-known drink, tea, is made by pouring hot water over the cured leaves, an aro-",
        "matic plant of the hills in the east of the continent that is as tall as a man, and well-",
        "known, Anglo-",
        "Saxon.",
    ]
    text = read(tmp_path, pdf(lines)).text
    assert "an aromatic plant" in text
    assert "a man, and well-known, Anglo-\nSaxon." in text


def test_running_headers_and_page_numbers_are_left_out_and_repeated_text_is_not(tmp_path):
    pages = [
        ["A History of Tea", f"Chapter {n}", "Refrain.", *LINES, f"Body of page {word}.", f"{n} / 4"]
        for n, word in enumerate(("one", "two", "three", "four"), start=1)
    ]
    text = read(tmp_path, pdf(*pages)).text
    assert "History" not in text
    assert "/ 4" not in text
    assert text.count("Body of page") == 4
    two = read(tmp_path, pdf(*pages[:2])).text
    assert two.count("A History of Tea") == 2  # two pages do not tell a header from a text


def test_heads_that_change_by_chapter_and_side_are_left_out_and_near_copies_are_not(tmp_path):
    chapters = ["Leaves", "Water", "Cups", "Sugar", "Milk"]
    numbers = [0, 1, 2, 3, 4, 5, 6, 7]
    pages = [
        [
            f"{8 * i + n} Of Tea" if n % 2 else f"{chapter} {8 * i + n}",
            *LINES,
            f"Page {word(8 * i + n)} about {chapter}." if n else f"Notice. {chapter} begin.",
        ]
        for i, chapter in enumerate(chapters)
        for n in numbers
    ]
    text = read(tmp_path, pdf(*pages)).text
    assert not re.search(r"Of Tea|(?:Leaves|Water|Cups|Sugar|Milk) \d", text)
    assert text.count("about") == 35
    assert text.count("Notice.") == 5


def word(number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


@pytest.mark.parametrize(
    "title", ["", "untitled", "Microsoft Word - thesis", "thesis_final.DOC", "12", "x", "y" * 301]
)
def test_a_title_that_a_program_made_up_is_not_taken(tmp_path, title):
    assert read(tmp_path, pdf(list(LINES), title=title)).title == "tea"


def test_a_scan_is_no_text(tmp_path):
    assert read(tmp_path, pdf(b"q 10 0 0 10 0 0 cm Q", b"")) == Reject(
        "no_text", "books/tea.pdf", "books/tea.pdf", "2 pages without text, as scans are", ""
    )


def test_a_password_is_a_reject(tmp_path):
    import pypdf

    writer = pypdf.PdfWriter()
    (tmp_path / "open.pdf").write_bytes(pdf(list(LINES)))
    writer.append(tmp_path / "open.pdf")
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "closed.pdf")
    reject = read(tmp_path, (tmp_path / "closed.pdf").read_bytes())
    assert (reject.reason, reject.document_id) == ("encrypted", "books/tea.pdf")


def test_a_file_that_only_restricts_printing_is_read(tmp_path):
    import pypdf

    writer = pypdf.PdfWriter()
    (tmp_path / "open.pdf").write_bytes(pdf(list(LINES)))
    writer.append(tmp_path / "open.pdf")
    writer.encrypt("", owner_password="secret", algorithm="RC4-128")
    writer.write(tmp_path / "restricted.pdf")
    assert read(tmp_path, (tmp_path / "restricted.pdf").read_bytes()).text == " ".join(LINES)


@pytest.mark.parametrize("data", [b"", b"no PDF at all", b"%PDF-1.4\n%%EOF", b"%PDF-1.4\n" + b"\xff" * 1000])
def test_what_is_no_pdf_is_a_reject(tmp_path, data):
    assert read(tmp_path, data).reason == "broken_pdf"


def test_a_truncated_file_and_one_with_flipped_bytes_never_raise(tmp_path):
    data = pdf(list(LINES), ["Second page"])
    for end in range(0, len(data), 97):
        assert isinstance(read(tmp_path, data[:end]), Document | Reject)
    for position in range(10, len(data), 53):
        damaged = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        assert isinstance(read(tmp_path, damaged), Document | Reject)


def test_a_page_that_fails_is_counted_and_the_others_are_read(tmp_path, monkeypatch):
    import pypdf

    extract = pypdf.PageObject.extract_text
    calls = iter(range(10))

    def fail_once(self: pypdf.PageObject) -> str:
        if next(calls) == 0:
            raise RecursionError("too deep")
        return extract(self)

    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail_once)
    document = read(tmp_path, pdf(["First page"], list(LINES)))
    assert document.text == " ".join(LINES)
    assert document.metadata == {"pages": 2, "author": "A. Writer", "failed_pages": 1}


def test_limits_of_bytes_pages_and_text(tmp_path):
    data = pdf(["a" * 3000] * 3, ["b"])
    assert read(tmp_path, data, max_bytes=100).detail == "more than 100 bytes"
    assert read(tmp_path, data, max_bytes=5000).detail == "more than 5,000 bytes of text"
    assert read(tmp_path, data, options=PdfOptions(max_pages=1)).detail == "2 pages, the limit is 1"


def test_a_hostile_page_ends_at_the_time_limit_in_any_thread(tmp_path):
    # In a process of its own: hypothesis hooks into the collector of garbage, where what is raised is reported.
    data = pdf(b"BT /F1 12 Tf " + b"(a) Tj " * 8_000_000 + b"ET", list(LINES))
    assert len(data) < 200_000
    (tmp_path / "tea.pdf").write_bytes(data)
    script = (
        "import sys, threading, time\n"
        "from pipelines.sources.pdf import PdfOptions, read_pdf\n"
        "from pipelines.sources.unit import Unit\n"
        "def read():\n"
        "    started = time.monotonic()\n"
        "    (item,) = read_pdf(Unit('tea.pdf', sys.argv[1], 'x'), 20_000_000, PdfOptions(timeout_s=0.3))\n"
        "    time.sleep(1.5)\n"
        "    print(item.reason, item.detail, '|', time.monotonic() - started < 20)\n"
        "read()\n"
        "thread = threading.Thread(target=read)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "tea.pdf"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "too_slow not read within 0.3 s | True\n" * 2


def test_without_pypdf_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingPackageError, match=r"compendia\[ingest\]"):
        read(tmp_path, pdf(list(LINES)))
