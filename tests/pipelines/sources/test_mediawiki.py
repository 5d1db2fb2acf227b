from __future__ import annotations

import bz2
import gzip
import io
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.document import Document, Reject
from pipelines.sources import mediawiki
from pipelines.sources.mediawiki import MediaWikiOptions, read_mediawiki
from pipelines.sources.unit import Unit
from pipelines.sources.wikitext import read_wikitext
from pipelines.sources.wikitext import text as wikitext_text
from pipelines.sources.xml_pieces import Cutter

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">
  <siteinfo>
    <base>https://en.wikipedia.org/wiki/Main_Page</base>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="4" case="first-letter">Wikipedia</namespace>
      <namespace key="6" case="first-letter">Datei</namespace>
      <namespace key="14" case="first-letter">Kategorie</namespace>
    </namespaces>
  </siteinfo>
"""
END = "</mediawiki>\n"
COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def page(
    page_id: int, text: str, *, title: str = "", namespace: int = 0, more: str = "", model: str = "wikitext"
) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"  <page>\n    <title>{title or f'Page {page_id}'}</title>\n    <ns>{namespace}</ns>\n    <id>{page_id}</id>\n"
        f"    {more}<revision>\n      <id>{page_id}00</id>\n      <timestamp>2024-01-02T03:04:05Z</timestamp>\n"
        f'      <model>{model}</model>\n      <text bytes="1" xml:space="preserve">{escaped}</text>\n'
        "    </revision>\n  </page>\n"
    )


def read(
    folder: Path,
    data: str | bytes,
    *,
    suffix: str = "",
    max_bytes: int = 20_000_000,
    options: MediaWikiOptions | None = None,
) -> list[Document | Reject]:
    path = folder / f"dump.xml{suffix}"
    path.write_bytes(data if isinstance(data, bytes) else COMPRESS[suffix](data.encode()))
    return list(read_mediawiki(Unit(f"wiki/{path.name}", str(path), "x"), max_bytes, options))


def plain(folder: Path, wikitext: str, **options: object) -> str:
    (item,) = read(folder, HEAD + page(1, wikitext) + END, options=MediaWikiOptions.model_validate(options))
    return item.text if isinstance(item, Document) else item.reason


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
def test_articles_become_documents_and_other_pages_are_counted(tmp_path, suffix):
    dump = (
        HEAD
        + page(12, "'''Tea''' is a [[drink]].", title="Tea &amp; coffee")
        + page(13, "#REDIRECT [[Tea]]", title="Cha", more='<redirect title="Tea" />\n    ')
        + page(14, "#redirect [[Tea]]", title="Chai")
        + page(15, "I disagree.", title="Talk:Tea", namespace=1)
        + page(16, "{{nothing}}")
        + page(17, "{}", model="json")
        + END
    )
    document, *rejects = read(tmp_path, dump, suffix=suffix)
    name = f"wiki/dump.xml{suffix}"
    assert document == Document(
        "12",
        "Tea & coffee",
        "Tea is a drink.",
        {
            "url": "https://en.wikipedia.org/wiki/Tea_%26_coffee",
            "revision": "1200",
            "timestamp": "2024-01-02T03:04:05Z",
            "links": ["Drink"],
        },
        f"{name}:1",
    )
    assert [(reject.reason, reject.location, reject.document_id) for reject in rejects] == [
        ("redirect", f"{name}:2", "13"),
        ("redirect", f"{name}:3", "14"),
        ("other_namespace", f"{name}:4", "15"),
        ("no_text", f"{name}:5", "16"),
        ("not_wikitext", f"{name}:6", "17"),
    ]


def test_other_namespaces_are_read_when_asked_for(tmp_path):
    dump = HEAD + page(1, "An article.") + page(2, "A talk.", namespace=1) + END
    items = read(tmp_path, dump, options=MediaWikiOptions(namespaces=(1,)))
    assert [(type(item), item.id if isinstance(item, Document) else item.reason) for item in items] == [
        (Reject, "other_namespace"),
        (Document, "2"),
    ]


def test_a_multistream_dump_is_read_through_all_its_streams(tmp_path):
    streams = [HEAD, page(1, "One."), page(2, "Two.") + page(3, "Three."), END]
    items = read(tmp_path, b"".join(bz2.compress(stream.encode()) for stream in streams), suffix=".bz2")
    assert [item.text for item in items] == ["One.", "Two.", "Three."]


def test_of_several_revisions_the_last_is_read(tmp_path):
    dump = HEAD + page(1, "Old.").replace(
        "</revision>", "</revision><revision><id>7</id><text>New.</text></revision>"
    )
    (document,) = read(tmp_path, dump + END)
    assert (document.text, document.metadata["revision"]) == ("New.", "7")


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''', ''slanted'' and '''''both'''''.", "Bold, slanted and both."),
        ("A [[cup|small cup]], [[cup]]s, [[#Use|its use]].", "A small cup, cups, its use."),
        (
            "[[File:a.jpg|thumb|A [[cup]] of {{x|y}}]]Tea[[Category:Drinks]][[Datei:b.png]][[Kategorie:C]]",
            "Tea",
        ),
        (
            "See [[:Category:Drinks]] and [[Wikipedia:About|about]].[[de:Tee]][[zh-min-nan:Te]]",
            "See Category:Drinks and about.",
        ),
        ('Tea<ref>[[Cup]], p. 1</ref> is<ref name=a /> hot.<ref name="b">{{cite|x}}</ref>', "Tea is hot."),
        ("Water is H<sub>2</sub>O; 10<sup>6</sup><br/>drops.", "Water is H2O; 10^6\ndrops."),
        ('Mass <math display="block">E = mc^2 \\\\ a < b</math>.', "Mass $E = mc^2 \\\\ a < b$."),
        ("Write <nowiki>[[x]] ''y'' {{z}}</nowiki>.", "Write [[x]] ''y'' {{z}}."),
        (
            "Code:<syntaxhighlight lang=\"c\">\nif (a[1]) {\n    '''b'''\n}\n</syntaxhighlight>",
            "Code:\n\nif (a[1]) {\n    '''b'''\n}",
        ),
        ("A<!-- [[not]] this -->B<!-- nor this", "AB"),
        ("{{Infobox|a={{b|[[c]]}}|d=e}}\nTea{{sfn|Smith}} is {{lang|fr|''bon''}}.", "Tea is bon."),
        (
            "{{convert|5|km|mi}}, {{convert|2|to|3|m}}, {{frac|1|2}}, 1{{ndash}}2, {{nowrap|a b}}",
            "5 km, 2 to 3 m, 1/2, 1\u20132, a b",
        ),
        ("Tea ({{lang-zh|茶}}; {{IPA|x}}), Cha ({{IPA|y}}), T ({{x}}; a)", "Tea (茶), Cha, T (a)"),
        (
            "Call f() and g( ), a[], (1,) or ([http://b.org a], [http://c.org]) ([http://d.org])<ref>x</ref>.",
            "Call f() and g(), a[], (1,) or (a).",
        ),
        ("Sorted [[1, 2], [3, 4]] and [[a{b}]], not [[c]].", "Sorted [[1, 2], [3, 4]] and [[a{b}]], not c."),
        (
            "{{frac|3}}, {{frac|2|1|3}}, {{sfrac|a|b}}, {{val|5|u=km}}, {{val|1.2|0.1|e=6|ul=m|up=s}}, {{val|3|+1|-2}}",
            "1/3, 2 1/3, a/b, 5 km, 1.2\u00b10.1\u00d710^6 m/s, 3 +1/-2",
        ),
        (
            "{{HMS|Ark Royal|91}}, {{USS|Enterprise}}, {{ship||Bismarck}}, {{ship|RMS|Titanic}}, {{sclass|Nimitz|aircraft carrier}}",
            "HMS Ark Royal (91), USS Enterprise, Bismarck, RMS Titanic, Nimitz-class aircraft carrier",
        ),
        (
            "{{lang|1=fr|2=bon}}, {{lang|fr|2=thé}}, {{transl|1=zh|cha}}, a{{=}}b, don{{'}}t, {{(}}x{{)}}, 2{{times}}3{{nbsp}}m",
            "bon, thé, cha, a=b, don't, {x}, 2\u00d73 m",
        ),
        ("{{quote|text=It is good.|author=Me}}", "It is good."),
        (
            "{{unité|10|km}}, {{nombre|1200|habitants}}, {{Date|14|juillet|1789|en France}}, {{Höhe|2962|DE-NHN}}",
            "10 km, 1200 habitants, 14 juillet 1789, 2962 m",
        ),
        ("{{langx|ru|чай|chay|tea}}, {{langue|en|tea}}, {{enS|cup}}, {{US$|5}}", "чай, tea, cup, US$5"),
        ("{{link-en|茶道|Way of tea}}、{{仮リンク|茶|en|Tea}}\uff08{{x}}、{{y}}\uff09", "茶道、茶"),
        (
            "-{H|zh-cn:内存; zh-tw:記憶體;}-茶-{zh-hans:计算机; zh-hant:電腦}--{A|zh-cn:甲;zh-tw:乙}--{乾}-, a -{b",
            "茶计算机甲乾, a -{b",
        ),
        ("* one\n** two\n# three\n: four\n; five\n----\n*", "- one\n- two\n- three\nfour\nfive"),
        ('{| class="wikitable"\n! Head\n|-\n| cell || [[x]] {{y}}\n{|\n| inner\n|}\n|}\nText', "Text"),
        (
            "See [https://example.org/a the site], [http://b.org] or https://c.org.",
            "See the site, or https://c.org.",
        ),
        ("a &nbsp;b &amp; c&mdash;d &lt;e&gt; __NOTOC__", "a b & c—d <e>"),
        ("AT&T <5 and x<y>z</y> [[ ]] {{", "AT&T <5 and x<y>z</y> {{"),
        ("[[a|b\n\n{{c|d\n\nText ]] }} end", "b\n\n{{c|d\n\nText }} end"),
        ("}} ]] |} | a || b", "}} ]] |} | a || b"),
    ],
)
def test_wikitext_becomes_plain_text(tmp_path, wikitext, text):
    assert plain(tmp_path, wikitext) == text


def test_headings_keep_their_level_and_empty_or_unwanted_sections_go(tmp_path):
    wikitext = (
        "Lead.\n== History ==\n=== China ===\nOld.\n==See also==\n* [[Coffee]]\n=== More ===\nx\n"
        "== Gallery ==\n<gallery>a.jpg</gallery>\n=== Deep ===\n== Use ==\nDrink.\n== References ==\n{{reflist}}"
    )
    assert plain(tmp_path, wikitext) == "Lead.\n\n## History\n\n### China\n\nOld.\n\n## Use\n\nDrink."
    kept = plain(tmp_path, wikitext, drop_sections=["history"])
    assert kept == "Lead.\n\n## See also\n\n- Coffee\n\n### More\n\nx\n\n## Use\n\nDrink."


@pytest.mark.parametrize(
    "heading",
    [
        "Einzelnachweise",
        "Voir aussi",
        "V\u00e9ase tambi\u00e9n",
        "Collegamenti esterni",
        "Ver tamb\u00e9m",
        "Zie ook",
        "См. также",
        "參考文獻",
        "関連項目",
        "Linki zewn\u0119trzne",
    ],
)
def test_sections_that_list_references_go_in_other_languages(tmp_path, heading):
    assert plain(tmp_path, f"Lead.\n== {heading} ==\n* [[Coffee]]\n== Tee ==\nx") == "Lead.\n\n## Tee\n\nx"


@pytest.mark.parametrize(
    "word", ["REDIRECT", "WEITERLEITUNG", "redirecci\u00f3n", "ПЕРЕНАПРАВЛЕНИЕ", "重定向", "転送", "PATRZ"]
)
def test_a_redirect_is_known_by_its_word_in_other_languages(tmp_path, word):
    assert plain(tmp_path, f"#{word} [[Tea]]") == "redirect"


def test_links_are_titles_in_order_each_once_and_bounded(tmp_path):
    wikitext = (
        "[[green tea|x]] [[Tea_cup#Handle]] [[Green tea]] [[File:x.jpg|[[Inner]]]] [[Talk:Tea]] [[wikt:tea]] [[de:Tee]] "
        "{{Infobox|a=[[Plant]]}}\n== See also ==\n[[2001: A Space Odyssey]]\n<ref>[[Not me]]</ref>text"
    )
    (document,) = read(tmp_path, HEAD + page(1, wikitext) + END)
    titles = ["Green tea", "Tea cup", "Inner", "Plant", "2001: A Space Odyssey"]
    assert document.metadata["links"] == titles
    (document,) = read(tmp_path, HEAD + page(1, wikitext) + END, options=MediaWikiOptions(max_links=2))
    assert document.metadata["links"] == titles[:2]


def test_a_dump_without_site_information_has_no_urls(tmp_path):
    (document,) = read(tmp_path, "<mediawiki>" + page(1, "Tea.") + END)
    assert "url" not in document.metadata


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("<page><title>Tea</page>", "invalid_xml"),
        ("<page><title>Tea</title><revision><text>&lol;</text></revision></page>", "invalid_xml"),
        ("<page><title>No id</title><revision><text>x</text></revision></page>", "invalid_xml"),
        ("<page><title>Not closed</title><id>9</id>\n", "invalid_xml"),
        (b"<page><title>caf\xe9</title></page>", "invalid_utf8"),
        ("<page><id>9</id></page>", "no_text"),
    ],
)
def test_a_broken_page_is_set_aside_and_its_neighbours_are_read(tmp_path, broken, reason):
    middle = broken if isinstance(broken, bytes) else broken.encode()
    data = (HEAD + page(1, "One.")).encode() + middle + (page(2, "Two.") + END).encode()
    first, reject, last = read(tmp_path, data)
    assert (first.text, last.text) == ("One.", "Two.")
    assert (reject.reason, reject.location) == (reason, "wiki/dump.xml:2")


LAUGHS = '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>\n'


@pytest.mark.parametrize("entity", ["&b;", "&c;"])
def test_entities_are_refused_wherever_they_are_declared(tmp_path, entity):
    hostile = HEAD + page(1, "x").replace("x<", f"{entity}<") + END
    (reject,) = read(tmp_path, LAUGHS + hostile)
    assert reject == Reject(
        "invalid_xml",
        "wiki/dump.xml",
        "",
        "a document type is declared, as in no dump: it could hold entities that explode",
        "",
    )
    (reject,) = read(tmp_path, HEAD + "<page>" + LAUGHS + hostile.partition("<page>")[2])
    assert reject.reason == "invalid_xml"


def test_what_is_no_dump_is_one_reject(tmp_path):
    assert read(tmp_path, "<html><page>x</page></html>") == [
        Reject("invalid_xml", "wiki/dump.xml", "", "no element <mediawiki>", "")
    ]
    assert [item.reason for item in read(tmp_path, "")] == ["invalid_xml"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
def test_a_truncated_dump_gives_the_pages_before_and_one_reject(tmp_path, suffix):
    pages = [page(number, f"Text {number}.") for number in range(1, 2001)]
    whole = COMPRESS[suffix]((HEAD + "".join(pages[:1000])).encode())
    cut = COMPRESS[suffix]("".join(pages[1000:]).encode())[:-20]
    *documents, reject = read(tmp_path, whole + cut, suffix=suffix)
    assert len(documents) >= 1000
    assert [document.id for document in documents] == [str(number) for number in range(1, len(documents) + 1)]
    assert (reject.reason, reject.location) == ("broken_archive", f"wiki/dump.xml{suffix}")
    where = (
        f"in the stream at byte {len(whole):,}: " if suffix == ".bz2" else f"after page {len(documents)}: "
    )
    assert reject.detail.startswith(where)


def test_a_plain_dump_that_ends_between_pages_is_seen_to_be_cut(tmp_path):
    document, reject = read(tmp_path, HEAD + page(1, "One."))
    assert document.text == "One."
    assert reject.detail == "after page 1: the file ends without </mediawiki>"


def test_a_page_beyond_the_limit_is_set_aside_unread(tmp_path):
    dump = HEAD + page(1, "One.") + page(2, "x" * 3_000_000) + page(3, "Three.") + END
    first, reject, last = read(tmp_path, dump, max_bytes=1_000_000)
    assert (first.id, last.id) == ("1", "3")
    length = len(page(2, "x" * 3_000_000).strip()) - len("</page>")
    assert (reject.reason, reject.detail) == ("too_large", f"{length:,} bytes, the limit is 1,000,000")
    assert reject.sample.startswith("<page>\n    <title>Page 2</title>")


def test_a_page_that_breaks_the_rules_is_set_aside(tmp_path, monkeypatch):
    def fail(*_args: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(wikitext_text, "link_text", fail)
    reject, document = read(tmp_path, HEAD + page(1, "[[a]]") + page(2, "b") + END)
    assert reject == Reject("extraction_failed", "wiki/dump.xml:1", "1", "RecursionError: too deep", "[[a]]")
    assert document.text == "b"


HOSTILE = [
    "{{", "[[", "}}", "]]", "[[a|", "{{a|", "\n{|", "\n|}", "<ref>", "<math>", "<nowiki>", "<!--", "[http://a ",
    "'", "=", "\n== ", " ", "(", "( ", ",", "\n*", "&", "&#", "<a", "</", "__A", "{{{", "[[File:", "(;", "\n\n", "|", "-{", "-{a|",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_pages_take_linear_time(tmp_path, part):
    started = time.monotonic()
    plain(tmp_path, "a" + part * (100_000 // len(part)))
    assert time.monotonic() - started < 4


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "word", "\n", "</ref>", "</math>", "-->", "[[b]]", "<br>"]), max_size=40
    )
)
def test_any_wikitext_gives_text_without_the_marks_of_the_reader(parts):
    site = mediawiki._read_site(HEAD)
    content = read_wikitext("".join(parts), site, MediaWikiOptions().drop_sections, 1000)
    assert "\0" not in content.text
    assert "\x01" not in content.text
    assert content.text == content.text.strip()


@given(
    st.lists(st.sampled_from([b"<page>", b"</page>", b"ab", b"<", b"<pa"]), max_size=30), st.integers(1, 9)
)
def test_a_stream_is_cut_the_same_however_it_comes(parts, size):
    data = b"".join(parts)

    class Slow(io.BytesIO):
        def read1(self, _size: int | None = -1) -> bytes:
            return self.read(size)

    def cuts(stream: io.BytesIO) -> list[object]:
        cutter = Cutter(stream)
        found = []
        while (piece := cutter.until(b"<page>", 4, skip=1)) is not None:
            found.append((piece.length, piece.data if piece.length <= 4 else piece.data[:1]))
        return found

    assert cuts(Slow(data)) == cuts(io.BytesIO(data))
    assert sum(length for length, _ in cuts(io.BytesIO(data))) == max(data.rfind(b"<page>", 1), 0)


def test_memory_is_bounded(tmp_path):
    # In a process of its own: peak memory is of a process.
    text = page(1, ("tea " * 5000 + "\n") + "Tea is a [[drink]] {{x}}.\n" * 4)
    with gzip.open(tmp_path / "big.xml.gz", "wt", compresslevel=1) as file:
        file.write(HEAD)
        for _ in range(10):
            file.write(text * 100)
        file.write(END)
    script = (
        "import resource, sys\n"
        "from pipelines.sources.mediawiki import read_mediawiki\n"
        "from pipelines.sources.unit import Unit\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "items = read_mediawiki(Unit('a', sys.argv[1], 'x'), 20_000_000)\n"
        "count = sum(1 for _, _ in zip(items, range(int(sys.argv[2]))))\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "big.xml.gz", "1000"],
        capture_output=True,
        text=True,
        check=True,
    )
    count, grown_kib = map(int, run.stdout.split())
    assert count == 1000
    assert grown_kib < 30_000


def test_a_real_dump(test_data):
    path = test_data / "wikipedia" / "enwiki-pages-articles-shortened.xml.bz2"
    items = list(read_mediawiki(Unit(path.name, str(path), "x"), 20_000_000))
    documents = {item.title: item for item in items if isinstance(item, Document)}
    assert Counter(item.reason for item in items if isinstance(item, Reject)) == {
        "redirect": 99,
        "other_namespace": 1,
    }
    assert len(documents) == 106
    anarchism = documents["Anarchism"]
    assert (anarchism.id, anarchism.metadata["revision"]) == ("12", "716551092")
    assert anarchism.metadata["url"] == "https://en.wikipedia.org/wiki/Anarchism"
    assert anarchism.metadata["links"][:2] == ["Political philosophy", "Self-governance"]
    assert anarchism.text.startswith(
        "Anarchism is a political philosophy that advocates self-governed societies based on voluntary institutions."
    )
    text = "\n".join(document.text for document in documents.values())
    assert len(text) > 2_500_000
    assert not any(mark in text for mark in ("[[", "]]", "'''", "<ref", "{|", "\0", "&nbsp;"))
