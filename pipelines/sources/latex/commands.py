"""What the commands and environments of LaTeX come to in text."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


HEADINGS = _pairs("part # chapter # section ## subsection ### subsubsection ####")
THEOREMS = {
    name: name.capitalize()
    for name in _words(
        "theorem lemma proposition corollary definition remark example exercise conjecture claim proof problem "
        "solution question axiom notation fact"
    )
}
FORMULAS = _words("equation align gather multline eqnarray displaymath math alignat flalign dmath")
LEFT_OUT = _words(
    "figure table tabular tabularx longtable tikzpicture pgfpicture picture thebibliography asy CCSXML wrapfigure "
    "algorithm algorithmic sidewaystable sidewaysfigure subfigure tikzcd"
)
LISTS = _words("itemize enumerate description")
WITH_ARGUMENT = _words("minipage multicols adjustbox spacing adjustwidth")
# Commands that are left out, by the number of their arguments.
_DROPPED_WITH = {
    1: _words(
        "label ref eqref pageref autoref cref Cref nameref vref cite citep citet citealt citealp citeauthor citeyear "
        "parencite textcite autocite footcite nocite index vspace hspace includegraphics bibliography "
        "bibliographystyle usepackage documentclass pagestyle thispagestyle pagenumbering title author date thanks "
        "address email affiliation institute keywords subjclass curraddr urladdr dedicatory phantom vphantom hphantom "
        "color footnotemark graphicspath input include includeonly RequirePackage theoremstyle newcounter stepcounter "
        "hypersetup geometry tikzset captionsetup printbibliography addbibresource linespread selectlanguage todo "
        "missingfigure cellcolor rowcolor columncolor lstset lstinputlisting verbatiminput setminted usemintedstyle "
        "sisetup pgfplotsset usetikzlibrary setlist inputencoding"
    ),
    2: _words(
        "setcounter addtocounter setlength addtolength markboth numberwithin rule fontsize inputminted DeclareSIUnit"
    ),
    3: _words("addcontentsline newenvironment renewenvironment definecolor"),
}
DROPPED = {name: count for count, names in _DROPPED_WITH.items() for name in names}
# Commands that show their last argument, by the number of those before it.
SHOWN_BEHIND = {
    **dict.fromkeys(_words("href textcolor colorbox foreignlanguage scalebox hyperlink hypertarget"), 1),
    **dict.fromkeys(_words("parbox raisebox rotatebox texorpdfstring"), 1),
    **dict.fromkeys(_words("resizebox multicolumn multirow fcolorbox"), 2),
    **dict.fromkeys(_words("makebox framebox"), 0),
}
SYMBOLS = {
    **dict.fromkeys(_words("quad qquad space enspace thinspace"), " "),
    **dict.fromkeys(_words("newline linebreak"), "\n"),
    "par": "\n\n",
    **_pairs(
        "ss \u00df o \u00f8 O \u00d8 ae \u00e6 AE \u00c6 oe \u0153 OE \u0152 aa \u00e5 AA \u00c5 l \u0142 L \u0141 i \u0131 "
        "j \u0237 S \u00a7 P \u00b6 dots \u2026 ldots \u2026 textellipsis \u2026 LaTeX LaTeX TeX TeX copyright \u00a9 "
        "pounds \u00a3 textendash \u2013 textemdash \u2014 textbackslash \\ textasciitilde ~ textasciicircum ^ textbar | "
        "textless < textgreater > textquotedblleft \" textquotedblright \" textquoteright ' lq ' rq ' dag \u2020 "
        "textdegree \u00b0 degree \u00b0 texteuro \u20ac bullet \u2022 textbullet \u2022"
    ),
}
SIGNS = {**{sign: sign for sign in "&%#_${}"}, **dict.fromkeys(" ,;:>\n", " "), "\\": "\n"}
# Combining characters of the accents.
ACCENTS = _pairs(
    "' \u0301 ` \u0300 ^ \u0302 \" \u0308 ~ \u0303 = \u0304 . \u0307 c \u0327 v \u030c u \u0306 H \u030b k \u0328 r \u030a "
    "d \u0323 b \u0331"
)
KNOWN = {*HEADINGS, *DROPPED, *SHOWN_BEHIND} | _words("item footnote begin end paragraph emph textbf url")
