from __future__ import annotations

import gzip
import io
import json
import re
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from datastore.errors import MissingPackageError
from pipelines.document import Document, Reject
from pipelines.sources.members import Archive
from pipelines.sources.unit import Unit
from pipelines.sources.warc import parts_of, read_warc
from pipelines.sources.warc_records import VERSION, Damage, Record, read_records

MAX_BYTES = 20_000_000
SENTENCE = "Tea is an aromatic beverage prepared by pouring hot water over cured leaves of the tea plant."
PAGE = f"<!DOCTYPE html><html lang=en><head><title>Tea</title></head><body><p>{SENTENCE}</p></body></html>"
DATE = "2024-05-18T01:58:10Z"


def record(content: bytes, kind: str = "response", number: int = 0, **headers: str) -> bytes:
    named = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number}>",
        "WARC-Date": DATE,
        "WARC-Target-URI": f"https://example.org/{number}",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(content)),
    }
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"WARC/1.0\r\n{lines}\r\n".encode() + content + b"\r\n\r\n"


def http(body: bytes | str, content_type: str = "text/html", status: str = "200 OK", **headers: str) -> bytes:
    named = {"Content-Type": content_type} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    data = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + data


def text_record(number: int, characters: int = 300) -> bytes:
    """A record whose text is its number, over and over, and does not compress well."""
    words = " ".join(str((number + 1) * 7919 * i % 999_983) for i in range(characters // 7))
    return record(http(f"{number} {words}", "text/plain"), number=number)


def dictionary_frame(records: list[bytes], *, compressed: bool) -> tuple[bytes, zstandard.ZstdCompressor]:
    samples = [record[i : i + 100] for record in records for i in range(0, len(record), 50)]
    dictionary = zstandard.train_dictionary(2000, samples)
    data = zstandard.compress(dictionary.as_bytes()) if compressed else dictionary.as_bytes()
    frame = b"\x5d\x2a\x4d\x18" + struct.pack("<I", len(data)) + data
    return frame, zstandard.ZstdCompressor(dict_data=dictionary)


def archive(records: list[bytes], name: str) -> bytes:
    """The records in the form that a name stands for."""
    match name:
        case "plain.warc":
            return b"".join(records)
        case "members.warc.gz":
            return b"".join(map(gzip.compress, records))
        case "stream.warc.gz":
            return gzip.compress(b"".join(records))
        case "frames.warc.zst":
            return b"".join(map(zstandard.compress, records))
        case "dictionary.warc.zst" | "small-dictionary.warc.zst":
            frame, compressor = dictionary_frame(records, compressed=name.startswith("small"))
            return frame + b"".join(map(compressor.compress, records))
    raise ValueError(name)


SPLIT = [
    "plain.warc",
    "members.warc.gz",
    "frames.warc.zst",
    "dictionary.warc.zst",
    "small-dictionary.warc.zst",
]
FORMS = [*SPLIT, "stream.warc.gz"]


def unit_of(path: Path) -> Unit:
    return Unit(path.name, str(path), "")


def read(path: Path, data: bytes | None = None, max_bytes: int = MAX_BYTES) -> list[Document | Reject]:
    if data is not None:
        path.write_bytes(data)
    return list(read_warc(unit_of(path), max_bytes))


def read_parts(path: Path, target_bytes: int) -> list[Document | Reject]:
    parts = parts_of(str(path), target_bytes)
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert (parts[0].start, parts[-1].end) == (0, path.stat().st_size)
    return [item for part in parts for item in read_warc(unit_of(path)._replace(part=part), MAX_BYTES)]


def numbers(items: list[Document | Reject]) -> list[int]:
    """The documents of `text_record`s, by their numbers."""
    return [int(item.text.split()[0]) for item in items if isinstance(item, Document)]


def rejects(items: list[Document | Reject]) -> list[Reject]:
    return [item for item in items if isinstance(item, Reject)]


def test_a_page_becomes_a_document(tmp_path):
    assert read(tmp_path / "a.warc", record(http(PAGE, "text/html; charset=utf-8"), number=7)) == [
        Document(
            "urn:uuid:7",
            "Tea",
            SENTENCE,
            {
                "url": "https://example.org/7",
                "date": DATE,
                "content_type": "text/html",
                "language": "en",
            },
            "a.warc@0",
        )
    ]


def test_a_conversion_record_is_its_text_as_it_stands(tmp_path):
    text = "Tea\n\n  A drink \u2013 <b>hot</b>\n"
    data = record(
        text.encode(),
        "conversion",
        Content_Type="text/plain",
        WARC_Identified_Content_Language="eng,deu",
    )
    (document,) = read(tmp_path / "a.warc.wet.gz", gzip.compress(data))
    assert (document.title, document.text, document.metadata["language"]) == ("", text, "eng,deu")


def test_captures_of_one_address_are_documents_of_their_own(tmp_path):
    url = "https://example.org/"
    data = [record(http(f"as of {day}", "text/plain"), number=day, WARC_Target_URI=url) for day in (1, 2)]
    items = read(tmp_path / "a.warc", b"".join(data))
    assert [item.id for item in items] == ["urn:uuid:1", "urn:uuid:2"]
    assert [item.metadata["url"] for item in items] == [url, url]


def test_a_record_without_an_id_is_known_by_its_place(tmp_path):
    data = text_record(1) + record(http("tea", "text/plain"), WARC_Record_ID="")
    (_, document) = read(tmp_path / "a.warc", data)
    assert document.id == document.location == f"a.warc@{len(text_record(1))}"


def test_records_that_are_no_captures_are_passed_over(tmp_path):
    kinds = ["warcinfo", "request", "metadata", "revisit", "resource", "continuation"]
    data = [record(http("tea", "text/plain"), kind) for kind in kinds]
    assert read(tmp_path / "a.warc", b"".join(data)) == []


def test_a_record_of_an_unknown_type_is_counted(tmp_path):
    items = read(tmp_path / "a.warc", record(http("tea", "text/plain"), "unheard-of") + text_record(1))
    assert numbers(items) == [1]
    assert [item.reason for item in rejects(items)] == ["unknown_record"]


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (http(PAGE, status="404 Not Found"), "http_status", "404"),
        (http("", status="301 Moved", Location="https://example.org/b"), "http_status", "301"),
        (http("%PDF", "application/pdf"), "not_text", "application/pdf"),
        (http("{}", ""), "not_text", "no Content-Type"),
        (http(""), "no_text", "no main text was found"),
        (http(" \n", "text/plain"), "no_text", "the text is empty"),
        (
            http(b"caf\xe9", "text/plain; charset=utf-8"),
            "invalid_utf8",
            "neither UTF-8 nor the charset that the response names, if it names one",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", "broken_response", "an HTTP header without an end"),
        (b"tea\r\n\r\n" + PAGE.encode(), "broken_response", "no HTTP status"),
        (b"", "broken_response", "an HTTP header without an end"),
    ],
)  # fmt: skip
def test_what_is_no_page_is_set_aside_with_its_reason(tmp_path, content, reason, detail):
    items = read(tmp_path / "a.warc", record(content, number=5) + text_record(6))
    assert items[0][:4] == (reason, "a.warc@0", "urn:uuid:5", f"https://example.org/5: {detail}")
    assert numbers(items) == [6]


def test_a_response_that_is_no_http_is_set_aside(tmp_path):
    (reject,) = read(tmp_path / "a.warc", record(b"20240518 1.2.3.4", Content_Type="text/dns"))
    assert (reject.reason, reject.detail) == ("not_text", "https://example.org/0: text/dns")


def test_the_type_that_the_crawler_found_goes_before_the_one_the_server_named(tmp_path):
    said = http(PAGE, "application/octet-stream")
    (document,) = read(tmp_path / "a.warc", record(said, WARC_Identified_Payload_Type="text/html"))
    assert (document.text, document.metadata["content_type"]) == (SENTENCE, "text/html")


def test_a_page_without_a_type_is_known_by_its_start_and_newlines_may_be_bare(tmp_path):
    content = b"HTTP/1.1 200 OK\nServer: old\n\n" + PAGE.encode()
    (document,) = read(tmp_path / "a.warc", record(content))
    assert document.text == SENTENCE


def chunked(body: bytes, size: int = 50) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


BODY = PAGE.encode()
CODINGS = {
    "gzip": gzip.compress,
    "X-GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda body: brotli.compress(gzip.compress(body)),
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_are_decoded(tmp_path, coding, is_chunked):
    body = CODINGS[coding](BODY)
    headers = {"Content_Encoding": coding} | ({"Transfer_Encoding": "chunked"} if is_chunked else {})
    (document,) = read(tmp_path / "a.warc", record(http(chunked(body) if is_chunked else body, **headers)))
    assert document.text == SENTENCE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress"])
def test_a_body_that_was_stored_decoded_under_its_old_headers_is_read(tmp_path, coding):
    content = http(BODY, Content_Encoding=coding, Transfer_Encoding="chunked")
    (document,) = read(tmp_path / "a.warc", record(content))
    assert document.text == SENTENCE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(BODY, mtime=0)[:-12], {"Content_Encoding": "gzip"}),
        (zlib.compress(BODY)[:-12], {"Content_Encoding": "deflate"}),
        (brotli.compress(BODY)[:-12], {"Content_Encoding": "br"}),
        (zstandard.compress(BODY)[:-12], {"Content_Encoding": "zstd"}),
        (b"\x1f\x9d tea", {"Content_Encoding": "compress"}),
        (chunked(BODY)[:-12], {"Transfer_Encoding": "chunked"}),
        (chunked(BODY).replace(b"32;name", b"zz;name"), {"Transfer_Encoding": "chunked"}),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_decoded_is_set_aside(tmp_path, body, headers):
    broken = record(http(body, **headers)).replace(b"zz;name", b"32;name", 1)
    items = read(tmp_path / "a.warc", broken + text_record(1))
    assert rejects(items)[0].reason == "broken_response"
    assert numbers(items) == [1]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, brotli.compress, zstandard.compress])
def test_a_decompression_bomb_is_cut_off_at_the_limit(tmp_path, compress):
    coding = {gzip.compress: "gzip", zlib.compress: "deflate", brotli.compress: "br"}.get(compress, "zstd")
    bomb = compress(b"tea " * 2_000_000)
    assert len(bomb) < 100_000
    items = read(tmp_path / "a.warc", record(http(bomb, Content_Encoding=coding)), max_bytes=100_000)
    assert items == [
        Reject("too_large", "a.warc@0", "urn:uuid:0", "https://example.org/0: more than 100,000 bytes", "")
    ]


def test_a_zstd_frame_with_a_window_of_two_gigabytes_is_read(tmp_path):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=31)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = frame.compress(text_record(7)) + frame.flush()
    assert numbers(read(tmp_path / "a.warc.zst", data)) == [7]


@pytest.mark.parametrize("form", FORMS)
def test_a_record_beyond_the_limit_is_passed_over_unread(tmp_path, form):
    records = [text_record(0), record(http("x" * 200_000, "text/plain"), number=1), text_record(2)]
    items = read(tmp_path / form, archive(records, form), max_bytes=100_000)
    assert numbers(items) == [0, 2]
    assert [reject.reason for reject in rejects(items)] == ["too_large"]


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("iso-8859-1", "cp1252"), ("", "cp1252"), ("Shift_JIS", "cp932"), ("koi8-r", "koi8-r")],
)
def test_the_charset_of_the_response_decodes_what_is_not_utf8(tmp_path, charset, encoding):
    text = {"cp1252": "café \u20ac", "cp932": "日本語", "koi8-r": "чай"}[encoding]
    for media_type, body in (("text/plain", text), ("text/html", f"<html><p>{text}")):
        content = http(body.encode(encoding), f'{media_type}; Charset="{charset}"')
        (document,) = read(tmp_path / "a.warc", record(content))
        assert document.text == text


def test_a_page_that_the_crawler_cut_off_within_a_character_is_read(tmp_path):
    body = f"<html><body><p>{SENTENCE * 20} caf\u00e9".encode()[:-1]
    (document,) = read(tmp_path / "a.warc", record(http(body), WARC_Truncated="length"))
    assert SENTENCE in document.text
    assert document.metadata["truncated"] == "length"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_archive_gives_the_same_documents(tmp_path, form):
    records = [text_record(number) for number in range(20)]
    items = read(tmp_path / form, archive(records, form))
    assert numbers(items) == list(range(20))
    assert len({item.location for item in items}) == 20


def test_places_are_those_of_members_and_of_records_within_one(tmp_path):
    records = [text_record(0), text_record(1)]
    assert [item.location for item in read(tmp_path / "a.warc.gz", archive(records, "members.warc.gz"))] == [
        "a.warc.gz@0",
        f"a.warc.gz@{len(gzip.compress(records[0]))}",
    ]
    assert [item.location for item in read(tmp_path / "b.warc.gz", archive(records, "stream.warc.gz"))] == [
        "b.warc.gz@0",
        f"b.warc.gz@0+{len(records[0])}",
    ]


@pytest.mark.parametrize(("form", "count"), [(form, 30) for form in SPLIT] + [("stream.warc.gz", 1)])
def test_parts_together_are_the_whole(tmp_path, form, count):
    path = tmp_path / form
    whole = read(path, archive([text_record(number) for number in range(30)], form))
    with_dictionary = form.endswith("dictionary.warc.zst")  # its frame is a part, too
    assert len(parts_of(str(path), 1)) == count + with_dictionary
    for target_bytes in (1, 1000, 100_000):
        assert read_parts(path, target_bytes) == whole


def test_parts_are_as_long_as_asked_for(tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(archive([text_record(number) for number in range(200)], "members.warc.gz"))
    lengths = [part.end - part.start for part in parts_of(str(path), 2000)]
    assert all(2000 <= length < 2400 for length in lengths[:-1])


def test_an_archive_on_another_file_system_is_read_in_parts(tmp_path):
    import fsspec

    with fsspec.open("memory://warc/a.warc.gz", "wb") as file:
        file.write(archive([text_record(number) for number in range(9)], "members.warc.gz"))
    unit = Unit("a.warc.gz", "memory://warc/a.warc.gz", "")
    parts = parts_of(unit.place, 500)
    assert len(parts) > 3
    read_in_parts = [item for part in parts for item in read_warc(unit._replace(part=part), MAX_BYTES)]
    assert numbers(read_in_parts) == list(range(9))


def test_what_a_text_says_of_archives_is_no_record(tmp_path):
    manual = "A record:\r\n\r\n" + text_record(9).decode()[:150] + "\r\n\r\nWARC/1.0\r\nand so on"
    records = [text_record(0), record(http(manual, "text/plain"), number=1), text_record(2)]
    path = tmp_path / "a.warc"
    whole = read(path, b"".join(records))
    assert [item.id for item in whole] == ["urn:uuid:0", "urn:uuid:1", "urn:uuid:2"]
    assert read_parts(path, 1) == whole


@pytest.mark.parametrize("form", SPLIT[:3])
@pytest.mark.parametrize("damage", ["hole", "garbage", "cut member", "zeros"])
def test_records_before_and_behind_a_broken_one_are_read(tmp_path, form, damage):
    members = [archive([text_record(number)], form) for number in range(6)]
    middle = len(members[3]) // 2
    match damage:
        case "hole":
            members[3] = members[3][: middle - 40] + members[3][middle + 40 :]
        case "garbage":
            members[3] = b"no archive at all\n" * 9
        case "cut member":
            members[3] = members[3][:middle]
        case "zeros":
            members[3] = members[3][:12] + b"\0" * (len(members[3]) - 12)
    path = tmp_path / form
    items = read(path, b"".join(members))
    assert numbers(items) == [0, 1, 2, 4, 5]
    assert [item.reason for item in rejects(items)] == ["broken_archive"]
    place = sum(map(len, members[:3]))
    assert rejects(items)[0].location == f"{form}@{place}"
    for target_bytes in (1, 500):
        assert read_parts(path, target_bytes) == items


def test_a_member_whose_checksum_is_wrong_is_set_aside(tmp_path):
    members = [bytearray(gzip.compress(text_record(number))) for number in range(3)]
    members[1][-6] ^= 1
    items = read(tmp_path / "a.warc.gz", b"".join(members))
    assert numbers(items) == [0, 2]
    assert "incorrect data check" in rejects(items)[0].detail


@pytest.mark.parametrize("form", FORMS)
def test_of_a_file_that_is_cut_off_all_whole_records_are_read(tmp_path, form):
    records = [text_record(number) for number in range(5)]
    data = archive(records, form)
    items = read(tmp_path / form, data[:-30])
    assert numbers(items) == [0, 1, 2, 3]
    assert [item.reason for item in rejects(items)] == ["broken_archive"]


def test_of_a_broken_stream_all_records_before_the_damage_are_read(tmp_path):
    records = [text_record(number) for number in range(40)]
    data = bytearray(archive(records, "stream.warc.gz"))
    data[len(data) // 2] ^= 255
    items = read(tmp_path / "a.warc.gz", bytes(data))
    assert len(numbers(items)) >= 17
    assert numbers(items) == list(range(len(numbers(items))))
    assert [item.reason for item in rejects(items)] == ["broken_archive"]


@pytest.mark.parametrize("form", ["plain.warc", "members.warc.gz"])
@pytest.mark.parametrize("length", ["400", "10", "abc", "-4", "99999999999999999999", "900000000000"])
def test_a_record_of_another_length_than_it_says_is_set_aside(tmp_path, form, length):
    wrong = record(http("tea " * 50, "text/plain"), number=1, Content_Length=length)
    items = read(tmp_path / form, archive([text_record(0), wrong, text_record(2)], form))
    assert numbers(items) == [0, 2]
    assert [item.reason for item in rejects(items)] == ["broken_archive"]


@pytest.mark.parametrize(
    "data", [b"hello\n" * 50, bytes(100), b"WARC/1.0\r\n" * 20_000, b"WARC/1.0", b"x" * 200_000]
)
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_a_file_that_is_no_archive_is_one_reject(tmp_path, name, data):
    assert [item.reason for item in read(tmp_path / name, data)] == ["broken_archive"]


def test_an_empty_file_has_no_documents(tmp_path):
    assert read(tmp_path / "a.warc.gz", b"") == []


def test_the_form_is_known_by_the_content_not_by_the_name(tmp_path):
    assert numbers(read(tmp_path / "a.warc", archive([text_record(1)], "members.warc.gz"))) == [1]
    assert numbers(read(tmp_path / "a.warc.gz", archive([text_record(1)], "plain.warc"))) == [1]


def whole_records(data):
    """How many records of responses the bytes are, one behind the other; None where they are anything else."""
    count = 0
    while data:
        header, _, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?m)^Content-Length: (\d+)\r?$", header)
        if not header.startswith(b"WARC/") or b"\nWARC-Type: response\r" not in header or length is None:
            return None
        if rest[int(length[1]) :][:4] != b"\r\n\r\n":
            return None
        data = rest[int(length[1]) + 4 :]
        count += 1
    return count


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(FORMS),
    place=st.floats(0, 1, exclude_max=True),
    cut_bytes=st.integers(0, 400),
    put=st.binary(max_size=100),
)
@example(form="plain.warc", place=0.37890625, cut_bytes=1, put=b"")  # WARC-Type: reponse
def test_any_damage_loses_only_what_it_touches(tmp_path, form, place, cut_bytes, put):
    records = [text_record(number) for number in range(8)]
    data = archive(records, form)
    path = tmp_path / form
    whole = read(path, data)
    start = int(place * len(data))
    end = min(start + cut_bytes, len(data))
    damaged = data[:start] + put + data[end:]
    # What is left may be an archive of fewer records, each of them whole: nothing in it says that there were more.
    assume(form != "plain.warc" or whole_records(damaged) in (None, len(whole)))
    items = read(path, damaged)
    found = [item.text for item in items if isinstance(item, Document)]
    order = [item.text for item in whole]
    known = [order.index(text) for text in found if text in order]
    assert len(found) == len(set(found))
    assert known == sorted(known)
    starts = [int(item.location.partition("@")[2].partition("+")[0]) for item in whole]
    if form in SPLIT[:3]:  # the other zstd files need their dictionary, a stream all that stands before
        untouched = [
            item.text
            for item, first, behind in zip(whole, starts, [*starts[1:], len(data)], strict=True)
            if behind <= start or first >= end
        ]
        assert set(untouched) <= set(found)
        assert len(found) == 8 or rejects(items)
    for target_bytes in (1, 700):
        assert read_parts(path, target_bytes) == items


def test_without_fastwarc_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastwarc.warc", None)
    monkeypatch.setitem(sys.modules, "fastwarc", None)
    with pytest.raises(MissingPackageError, match=r"compendia\[ingest\]"):
        read(tmp_path / "a.warc", text_record(1))


REAL = {  # records as warcio counts them, documents, rejects by reason
    "chatnoir-resiliparse.clipped.warc.gz": (1, 0, {"broken_archive": 1}),
    "chatnoir-resiliparse.warcfile.warc.gz": (50, 16, {}),
    "dolma.sample-0000.warc.gz": (48, 22, {}),
    "warcio.example-iana.org-chunked.warc": (3, 1, {}),
    "warcio.example-trunc.warc": (4, 0, {"broken_archive": 1}),
    "warcio.example.warc": (6, 1, {}),
    "warcio.example.warc.gz": (6, 1, {}),
    "warcio.post-test.warc.gz": (6, 0, {"not_text": 3}),
    "whirlwind-python.whirlwind.warc": (4, 1, {}),
    "whirlwind-python.whirlwind.warc.gz": (4, 1, {}),
    "whirlwind-python.whirlwind.warc.wat.gz": (2, 0, {}),
    "whirlwind-python.whirlwind.warc.wet": (2, 1, {}),
    "whirlwind-python.whirlwind.warc.wet.gz": (2, 1, {}),
}


@pytest.mark.parametrize("name", REAL)
def test_real_archives_give_exactly_their_records(test_data, name):
    from fastwarc.warc import ArchiveIterator

    path = test_data / "web_warc" / name
    records, documents, reasons = REAL[name]
    with path.open("rb") as file:
        found = list(
            read_records(Archive(file, str(path), begins_with=VERSION), 0, path.stat().st_size, MAX_BYTES)
        )
    assert len(found) == records
    items = read(path)
    assert len(numbers_of := [item for item in items if isinstance(item, Document)]) == documents
    assert Counter(item.reason for item in rejects(items)) == reasons
    assert len({document.id for document in numbers_of}) == documents
    assert read_parts(path, 10_000) == items
    if not any(isinstance(item, Damage) for item in found):
        with path.open("rb") as file:
            theirs = [
                (record.stream_pos, record.content_length)
                for record in ArchiveIterator(file, parse_http=False)
            ]
        assert theirs == [(item.place.member, item.length) for item in found if isinstance(item, Record)]


def test_every_real_archive_is_tested(test_data):
    assert {path.name for path in (test_data / "web_warc").glob("*.warc*")} == REAL.keys()


def test_a_real_page_and_its_text_as_common_crawl_took_it(test_data):
    (page,) = read(test_data / "web_warc" / "whirlwind-python.whirlwind.warc.gz")
    (text,) = read(test_data / "web_warc" / "whirlwind-python.whirlwind.warc.wet.gz")
    assert page.metadata == {
        "url": "https://an.wikipedia.org/wiki/Escopete",
        "date": "2024-05-18T01:58:10Z",
        "content_type": "text/html",
        "language": "an",
    }
    assert page.title == "Escopete"
    assert page.location == "whirlwind-python.whirlwind.warc.gz@1023"
    assert text.metadata["url"] == page.metadata["url"]
    assert "Escopete ye un municipio" in page.text
    assert len(page.text) < len(text.text) == 4303


def test_conversion_records_are_the_texts_they_were_made_of(test_data):
    folder = test_data / "web_pages"
    with gzip.open(folder / "articles181.truth.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    documents = read(folder / "articles181.warc.wet.gz")
    assert [document.text for document in documents] == texts


def test_memory_does_not_grow_with_the_file(tmp_path):
    import tracemalloc

    path = tmp_path / "a.warc.gz"
    peaks = []
    for count in (20, 200):
        path.write_bytes(archive([text_record(number, 20_000) for number in range(count)], "members.warc.gz"))
        tracemalloc.start()
        assert sum(1 for _ in read_warc(unit_of(path), MAX_BYTES)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_bomb_of_an_archive_is_passed_over_in_bounded_memory(tmp_path):
    import tracemalloc

    size = 100_000_000
    header = record(b"", number=1, Content_Length=str(size))[:-4]
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(size // 1_000_000):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    items = read(tmp_path / "a.warc.gz", stream.getvalue() + gzip.compress(text_record(2)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.reason for item in rejects(items)] == ["too_large"]
    assert numbers(items) == [2]
    assert peak < 10_000_000
