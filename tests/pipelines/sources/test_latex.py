from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.document import Document, Reject
from pipelines.sources import inventory
from pipelines.sources.files import FilesSource
from pipelines.sources.latex import LatexOptions, read_latex, reader
from pipelines.sources.unit import Unit


def read(
    folder: Path,
    source: str | bytes,
    *,
    name: str = "a.tex",
    max_bytes: int = 20_000_000,
    options: LatexOptions | None = None,
) -> Document | Reject:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    (item,) = read_latex(Unit(name, str(path), "x"), max_bytes, options)
    return item


def text(folder: Path, body: str, preamble: str = "") -> str:
    item = read(
        folder,
        f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\nafter",
    )
    return item.text if isinstance(item, Document) else item.reason


PAPER = r"""
\documentclass[11pt]{article}
\usepackage{amsmath}
\newtheorem{thm}[equation]{Theorem}
\newcommand{\R}{\mathbb{R}}
\title[Short]{On \emph{maps} of $\R$}
\author{A. Writer \and B. Writer}
\begin{document}
\maketitle
\begin{abstract}
We study maps.  % of what?
\end{abstract}
\section{Introduction}\label{sec:intro}
Let $f\colon \R \to \R$ be as in Section~\ref{sec:intro} \cite[p.~3]{W}. We write
\begin{equation}\label{eq:f}
  f(x) = x^2 % squared
\end{equation}
and so on.

\begin{figure}[t]\includegraphics{a.png}\caption{A map}\end{figure}
\begin{thm}[Weierstra\ss{}]\label{thm:w}
Every map is \textbf{good}.
\end{thm}
\begin{proof}
Clear.\qed
\end{proof}
\subsection*{Lists}
\begin{enumerate}[(a)]
\item One, \item[two] is
a second.
\end{enumerate}
\begin{thebibliography}{9}\bibitem{W} W.\end{thebibliography}
\end{document}
"""


def test_a_paper_becomes_its_prose_with_headings_theorems_and_formulas(tmp_path):
    assert read(tmp_path, PAPER) == Document(
        "a.tex",
        r"On maps of $\mathbb{R}$",
        "## Abstract\n\nWe study maps.\n\n## Introduction\n\n"
        "Let $f\\colon \\mathbb{R} \\to \\mathbb{R}$ be as in Section. We write\n"
        "\\begin{equation}\n  f(x) = x^2 \\end{equation}\nand so on.\n\n"
        "Theorem (Weierstraß). Every map is good.\n\nProof. Clear.\n\n### Lists\n\n"
        "- One,\n- two is a second.",
        {},
        "a.tex",
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (r"\'Etale, na\"{\i}ve, Erd\H{o}s, \v{C}ech, Gar\c con, \~n, \aa ngstr\"om", "Étale, naïve, Erdős, Čech, Garçon, ñ, å ngström"),
        ("``Quoted'' --- 1--2~\\% of \\$5 \\& more\\ldots", '"Quoted" — 1\u20132 % of $5 & more…'),
        (
            "See \\url{http://x/a%20b_c~d--e} and \\href{http://x/a%2F\\%b}{this}. % not this\nNext.",
            "See http://x/a%20b_c~d--e and this. Next.",
        ),
        (r"Call f() and g( ), a[] or (1,) (\cite{a}, \cite[p.~2]{b}) (see \ref{c}), [\cite{d}] h(\label{e}).", "Call f() and g(), a[] or (1,) (see), h."),
        (r"See \href{http://x.y}{this}, \url{http://z}, \textcolor{red}{red} and \textit{it {\bf bold}}.", "See this, http://z, red and it bold."),
        ("A\\footnote{Not \\emph{B}.} b.\n\n\n\n  New\nparagraph\\\\[2pt]line", "A (Not B.) b.\n\nNew paragraph\nline"),
        (r"Price \$3, $x \$ y$, \(a\), $$b$$ and \[c \\ d\]", "Price $3, $x \\$ y$, \\(a\\),\n$$b$$\nand\n\\[c \\\\ d\\]"),
        ("One $ sign.\n\nTwo $x$.", "One $ sign.\n\nTwo $x$."),
        ("\\begin{verbatim}\n% no comment {\n  $x\n\\end{verbatim}\n\\verb|\\a{b}|.", "% no comment {\n  $x\n\n\\a{b}."),
        ("50\\% is % half\n  kept \\\\% line\nend", "50% is kept\nend"),
        ("a\\iffalse b \\ifx c \\fi d \\fi e", "a e"),
        ("\\begin{align*}\na &= b \\label{x}\\\\\n\\begin{split}c\\end{split}\n\\end{align*}", "\\begin{align*}\na &= b \\\\\n\\begin{split}c\\end{split}\n\\end{align*}"),
        ("\\begin{table}x\\end{table}\\begin{tabular}{cc}a&b\\end{tabular}\\begin{tikzpicture}\\draw;\\end{tikzpicture}T", "T"),
        ("\\begin{minipage}[t]{5cm}In.\\end{minipage}\\begin{quote}Q\\end{quote}", "In.\n\nQ"),
        ("\\begin{proof}[Proof of \\ref{a} {\\it B}.] C.\\end{proof}\\begin{lemma} D.\\end{lemma}", "Proof of B. C.\n\nLemma. D."),
        ("\\chapter{One}\\paragraph{Run in.} text \\section{Two $x$ of {three}}four", "# One\n\nRun in. text\n\n## Two $x$ of {three}four".replace("{three}", "three\n\n")),
        ("\\begin{figure} never closed {\\bf x", "never closed x"),
        ("\\unknown[opt]{kept} \\setlength{\\a}{1pt} \\vspace*{1cm} \\noindent text \\index{x}.", "kept text."),
        ("\\begin{lstlisting}[language=C,caption={Sum of a_b [1]}]\nx[0] = 1;\n\\end{lstlisting}", "x[0] = 1;"),
        ("\\begin{lstlisting}\n[1, 2]\n\\end{lstlisting}", "[1, 2]"),
        ("\\begin{minted}[\n  linenos]{python}\nx = {}\n\\end{minted}", "x = {}"),
        ("\\begin{minted}{python}\nx\n\\end{minted}\\begin{verbatim}[a]\\end{verbatim}", "x\n\n[a]"),
        (r"A \lstinline|x_1 %|, \lstinline[language=C]{y}, \mintinline{python}{z_2} and \mintinline{c}|w|.", "A x_1 %, y, z_2 and w."),
        (r"\multicolumn{2}{c}{head} \multirow{2}{*}{side} \makebox[1cm][l]{in} \fcolorbox{a}{b}{box}", "head side in box"),
        (r"Go. \todo{fix} \todo[inline]{that} Done.\missingfigure{a}", "Go. Done."),
        (r"\SI{5}{\metre}, \qty[a=b]{1.5e-3}{\kilo\gram\metre\squared\per\second\tothe{3}} \SI{9}{m/s}", "5 metre, 1.5\u00d710^-3 kilogram metre^2/second^3 9 m/s"),
        (r"\SIrange{1}{2}{\cubic\centi\metre} \SIlist{1;2}{\percent} \num{1e6} \ang{30;5;} \si{\micro\ohm} \SI{20+-1}{\celsius}", "1 to 2 centimetre^3 1, 2 % 1\u00d710^6 30\u00b05\u2032 microohm 20\u00b11 \u00b0C"),
        ("\\texorpdfstring{$x$}{ex} \\ensuremath{a^2}", "ex $a^2$"),
    ],
)  # fmt: skip
def test_commands_become_text(tmp_path, body, expected):
    assert text(tmp_path, body) == expected


def test_macros_are_expanded_in_text_and_formulas(tmp_path):
    preamble = r"""
\newcommand{\pair}[2]{\langle #1,#2\rangle}
\newcommand\scaled[2][2]{#1#2}
\renewcommand*{\vec}[1]{\mathbf{#1}}
\def\half#1{\frac{#1}{2}}
\DeclareMathOperator{\Spec}{Spec}
\DeclareMathOperator*{\colim}{colim}
\newcommand{\be}{\begin{equation}}\newcommand{\ee}{\end{equation}}
\newcommand{\name}{the \emph{Stacks} project}
\newcommand{\complex}{\ifx a b c \fi}
\def\x{\x\x}
"""
    body = r"In \name{}: $\pair{\vec{a}}\beta$, $\scaled{y}$, $\scaled[\alpha]{y}$, $\half{\Spec}$, $\colim$ \be z \ee \complex{d}"
    assert text(tmp_path, body, preamble) == (
        r"In the Stacks project: $\langle \mathbf{a},\beta\rangle$, $2y$, $\alpha y$,"
        r" $\frac{\operatorname{Spec}}{2}$, $\operatorname*{colim}$"
        "\n\\begin{equation} z \\end{equation}\nd"
    )


def test_macros_that_explode_are_refused(tmp_path):
    item = read(tmp_path, "\\def\\x{\\x\\x}\\begin{document}\\x\\end{document}", max_bytes=10_000)
    assert (item.reason, item.detail) == ("expansion_too_large", "its macros expand beyond the limit")
    started = time.monotonic()
    laughs = "".join(
        f"\\def\\{b}{{{f'{chr(92)}{a}' * 10}}}" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    item = read(tmp_path, f"\\def\\a{{ha}}{laughs}\\begin{{document}}\\i\\end{{document}}")
    assert item.reason == "expansion_too_large"
    assert time.monotonic() - started < 20


def test_input_is_followed_inside_the_folder_only(tmp_path):
    folder = tmp_path / "source"
    (folder / "book" / "parts").mkdir(parents=True)
    (tmp_path / "secret.tex").write_text("SECRET")
    (tmp_path / "blob").write_text("Linked.")
    (folder / "book" / "link.tex").symlink_to(tmp_path / "blob")
    (folder / "shared.tex").write_text("\\newcommand{\\who}{me}Shared.")
    (folder / "book" / "parts" / "one.tex").write_text("One \\who. % \\input{two}\n\\input{parts/two}")
    (folder / "book" / "parts" / "two.tex").write_text("Two. \\input{parts/one}\\input a.tex ")
    body = (
        "\\begin{document}\\input{../shared} \\include{parts/one} \\input{link}\\input{../../secret}"
        f"\\input{{{tmp_path}/secret}}\\input{{missing}}\\input{{}}End.\\end{{document}}"
    )
    item = read(folder, body, name="book/a.tex")
    assert isinstance(item, Document)
    assert item.text == "Shared. One me. Two. Linked.End."


def test_a_document_that_is_brought_in_gives_its_body_only(tmp_path):
    (tmp_path / "b.tex").write_text("\\documentclass{x}\\begin{document}Inner.\\end{document}")
    assert text(tmp_path, "Outer. \\input{b.tex}") == "Outer. Inner."


def test_the_files_together_are_bounded(tmp_path):
    (tmp_path / "b.tex").write_text("b" * 600)
    item = read(tmp_path, "\\begin{document}\\input{b}\\input{b}\\end{document}", max_bytes=1000)
    assert (item.reason, item.document_id) == ("too_large", "a.tex")
    item = read(tmp_path, "\\begin{document}" + "x" * 1000, max_bytes=1000)
    assert item.detail == "more than 1,000 bytes"


def test_a_fragment_is_a_document_only_when_asked_for(tmp_path):
    source = "\\section{Tea}\nIt is hot."
    assert read(tmp_path, source) == Reject(
        "latex_fragment", "a.tex", "a.tex", "no \\begin{document}: a file for \\input", source
    )
    item = read(tmp_path, source, options=LatexOptions(fragments=True))
    assert (item.title, item.text) == ("a", "## Tea\n\nIt is hot.")


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ("\\usepackage[latin1]{inputenc}", "latin-1"),
        ("\\usepackage[latin1]{inputenc}", "utf-8"),
        ("\\usepackage [utf8, latin9] {inputenc}", "iso8859-15"),
        ("%\\usepackage[latin2]{inputenc}\n\\usepackage[ansinew]{inputenc}", "cp1252"),
        ("\\usepackage[applemac]{inputenc}", "mac-roman"),
        ("\\inputencoding{cp850}", "cp850"),
        ("\\usepackage[utf8]{inputenc}", "latin-1"),
        ("\\usepackage[unknown]{inputenc}", "cp1252"),
        ("", "utf-8"),
        ("", "cp1252"),
    ],
)
def test_a_file_is_utf8_else_as_it_declares_else_latin(tmp_path, declaration, encoding):
    (tmp_path / "b.tex").write_bytes("na\u00efve".encode(encoding))
    (tmp_path / "c.tex").write_bytes("\u00fcber".encode())
    source = f"{declaration}\\begin{{document}}caf\u00e9 \\input{{b}} \\input{{c}}\\end{{document}}"
    item = read(tmp_path, source.encode(encoding))
    assert isinstance(item, Document)
    assert item.text == "café naïve über"


def test_a_file_that_is_utf8_but_for_a_byte_loses_only_that(tmp_path):
    item = read(tmp_path, "\\begin{document}café, naïve, über ".encode() + b"\xff")
    assert isinstance(item, Document)
    assert item.text == "café, naïve, über \ufffd"


def test_what_is_no_text_is_set_aside(tmp_path):
    reject = read(tmp_path, b"\\begin{document}\xff\xfe\0\x01")
    assert (reject.reason, reject.location) == ("invalid_utf8", "a.tex")


def test_nothing_but_markup_is_no_text(tmp_path):
    assert text(tmp_path, "\\maketitle \\label{x} % comment") == "no_text"


def test_a_file_that_breaks_the_rules_is_set_aside(tmp_path, monkeypatch):
    def fail(*_args: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(reader, "expand", fail)
    item = read(tmp_path, "\\begin{document}x")
    assert item == Reject(
        "extraction_failed", "a.tex", "a.tex", "RecursionError: too deep", "\\begin{document}x"
    )


def identities(path: Path) -> dict[str, str]:
    config = FilesSource(name="test", path=str(path))
    return {unit.name: unit.identity for unit in inventory(config).units}


@pytest.mark.parametrize("path", ["book", "book/main.tex", "book/m*.tex"])
def test_a_document_is_another_when_a_file_changes_that_it_may_bring_in(tmp_path, path):
    for name, content in {
        "book/main.tex": "\\begin{document}\\input{parts/one}\\input{names.def}",
        "book/parts/one.tex": "One.",
        "book/names.def": "\\def\\a{b}",
        "book/notes.txt": "Notes.",
        "other/main.tex": "\\begin{document}Other.",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    before = identities(tmp_path / path)
    assert identities(tmp_path / path) == before
    (tmp_path / "other/main.tex").write_text("Something else.")
    (tmp_path / "book/notes.txt").write_text("Other notes.")
    assert identities(tmp_path / path)["main.tex"] == before["main.tex"]
    (tmp_path / "book/parts/one.tex").write_text("Another.")
    changed = identities(tmp_path / path)
    assert changed["main.tex"] != before["main.tex"]
    (tmp_path / "book/names.def").write_text("\\def\\a{another}")
    assert identities(tmp_path / path)["main.tex"] not in {before["main.tex"], changed["main.tex"]}
    (tmp_path / "book/parts/two.tex").write_text("Two.")
    assert identities(tmp_path / path)["main.tex"] not in {before["main.tex"], changed["main.tex"]}


def test_a_file_that_is_no_latex_is_known_by_itself_beside_latex(tmp_path):
    (tmp_path / "a.txt").write_text("four")
    before = identities(tmp_path)
    (tmp_path / "a.tex").write_text("\\begin{document}x")
    assert identities(tmp_path)["a.txt"] == before["a.txt"]


HOSTILE = [
    "{", "}", "$", "$$", "\\(", "\\[", "\\begin{equation}", "\\begin{verbatim}", "\\begin{figure}", "\\begin{thm}[",
    "\\iffalse ", "\\if ", "\\verb|", "%", "\\", "\\newcommand{\\a}", "\\newcommand   ", "\\def\\a", "\\item[", "\\\\[", " ", "\n", "\n\n",
    "\\'", "\\a[", "[", "\\section{", "\\input{", "\\input ", "-", "`", "(", "( ", "\\newtheorem{", "\\title{", "\\cite[", "\\cite{a}[",
    "\\href{a}{", "\\frac{", "\\lstinline[", "\\mintinline{", "\\begin{minted}[{", "\\SI{", "\\SI{1}{\\a", "\\usepackage[",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_files_take_linear_time(tmp_path, part):
    started = time.process_time()
    text(tmp_path, "a" + part * (100_000 // len(part)), "\\newcommand{\\m}[2]{#1}\\m{")
    assert time.process_time() - started < 5


def test_verbatim_text_within_a_formula_is_put_back(tmp_path):
    assert text(tmp_path, "We see \\[a = \\verb|x_1|\\] here.") == "We see\n\\[a = x_1\\]\nhere."


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "word", "\\end{equation}", "\\end{verbatim}", "\\fi", "\\)", "\\]", "{x}"])
    )
)
def test_any_latex_gives_text_without_the_marks_of_the_reader(tmp_path_factory, parts):
    item = read(tmp_path_factory.getbasetemp(), "\\begin{document}" + "".join(parts))
    assert isinstance(item, Reject) or "\0" not in item.text
    assert not isinstance(item, Reject) or item.reason == "no_text"


def test_real_chapters(test_data, tmp_path):
    titles, read_characters, source_characters = [], 0, 0
    with gzip.open(test_data / "stacks_project" / "chapters.jsonl.gz", "rt") as file:
        for line in file:
            record = json.loads(line)
            if len(record["text"]) > 100_000:
                continue
            item = read(tmp_path, record["text"], name=record["id"])
            assert isinstance(item, Document)
            assert item.title == record["title"]
            titles.append(item.title)
            read_characters += len(item.text)
            source_characters += len(record["text"])
            prose = re.sub(
                r"\$\$.*?\$\$|\$[^$]*\$|\\begin\{(\w+)\*?\}.*?\\end\{\1\*?\}", "", item.text, flags=re.DOTALL
            )
            assert not re.search(r"\\[a-zA-Z]|[{}\0]|(?<!\\)%", prose)
    assert len(titles) == 6
    assert 0.8 < read_characters / source_characters < 0.9


def test_a_real_chapter_keeps_its_definitions_and_formulas(test_data, tmp_path):
    with gzip.open(test_data / "stacks_project" / "chapters.jsonl.gz", "rt") as file:
        record = next(record for record in map(json.loads, file) if record["title"] == "Fields")
    item = read(tmp_path, record["text"])
    assert "Definition. A field is a nonzero ring where every nonzero element is invertible." in item.text
    assert "\n\n## Basic definitions\n\n" in item.text


def test_what_stands_behind_endinput_is_not_read(tmp_path):
    (tmp_path / "part.tex").write_text("Read.\n  \\endinput\nNot read.\n")
    (tmp_path / "guarded.tex").write_text("\\ifx\\x\\undefined\\else\\endinput\\fi\nRead too.\n")

    assert text(tmp_path, "\\input{part}\n\\input{guarded}\nEnd.").split() == [
        "Read.",
        "Read",
        "too.",
        "End.",
    ]


def test_files_are_imported_from_other_folders(tmp_path):
    for name, content in {
        "a/one.tex": "One. \\input{two} \\subimport{deep}{three}",
        "a/two.tex": "Two.",
        "two.tex": "Not this one.",
        "a/deep/three.tex": "Three. \\input{four}",
        "a/deep/four.tex": "Four.",
        "five.tex": "Five.",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content)

    found = text(tmp_path, "\\import{a/}{one} \\input{five} \\import{../}{six} \\import{/etc/}{passwd}")
    assert found == "One. Two. Three. Four. Five."
