"""What the tags and templates of wikitext are, by name, and the prefixes of titles."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Prefixes of other wikis: what they lead to is no page of this dump.
OTHER_WIKIS = _words(
    "b c commons d fr m media meta mw n q s special species v w wikibooks wikidata wikinews wikipedia wikiquote "
    "wikisource wikispecies wikiversity wikivoyage wikt wiktionary"
)
# Tags whose content is not wikitext; the first are left out with it.
LEFT_OUT = _words(
    "ref references gallery timeline score imagemap graph mapframe maplink templatestyles templatedata inputbox "
    "categorytree hiero indicator"
)
FORMULAS = _words("math chem ce")
CODE = _words("pre source syntaxhighlight")
RAW = LEFT_OUT | FORMULAS | CODE | {"nowiki"}
TAGS = RAW | _words(
    "abbr b bdi big blockquote br caption center cite code dd del dfn div dl dt em font h1 h2 h3 h4 h5 h6 hr i "
    "includeonly ins kbd li mark noinclude ol onlyinclude p poem q rb rp rt ruby s samp section small span strike "
    "strong sub sup table td th tr tt u ul var wbr"
)
BREAKS = _words("blockquote br center dd div dl dt hr li ol p poem table tr ul")
# Templates that show their first argument, or their last; `_` stands for a space of their names.
FIRST = _words(
    "abbr tooltip vanchor visible_anchor flag flagu flagcountry ill interlanguage_link quote blockquote quotation "
    "cquote quote_box sic sub citazione цитата ruby nihongo le 仮リンク "
    # Words in a language that the template names: `{{enS|tea}}`.
    "ars des els ens frs hes jas las rus zhs"
)
LAST = _words(
    "lang transl transliteration nowrap nobr small smaller big larger em strong math mvar var angbr mono code "
    "not_a_typo proper_name nihongo2 langue tsl"
)
# Templates that show so many arguments, one behind the other.
JOINED = {
    **dict.fromkeys(_words("unit\u00e9 unit\u00e0 unidad unidade fmtn num nombre число"), 2),
    **dict.fromkeys(_words("date date- fecha data"), 3),
}
CURRENCIES = {
    "us$": "US$",
    "usd": "US$",
    "gbp": "\u00a3",
    "\u00a3": "\u00a3",
    "euro": "\u20ac",
    "eur": "\u20ac",
    "\u20ac": "\u20ac",
}
# Templates that show their own name before a ship's.
SHIPS = _words("hms hmas hmcs hmnzs hmhs rms rfa ss mv uss usns uscgc usat usav sms jds hnlms hdms hswms")
SIGNS = {
    "!": "|",
    "!!": "||",
    "(": "{",
    ")": "}",
    "((": "{{",
    "))": "}}",
    "=": "=",
    "'": "'",
    "'\"": "'\"",
    "\"'": "\"'",
    "\u00b7": " \u00b7 ",
    "\u2022": " \u2022 ",
    "\u2013": "\u2013",
    "\u2014": "\u2014",
    "bull": " \u2022 ",
    "degree": "\u00b0",
    "minus": "\u2212",
    "nbsp": " ",
    "pm": "\u00b1",
    "times": "\u00d7",
    "'s": "'s",
    "dot": " \u00b7 ",
    "mdash": "\u2014",
    "ndash": "\u2013",
    "okina": "\u02bb",
    "pi": "\u03c0",
    "snd": " \u2013 ",
    "spaced_ndash": " \u2013 ",
    "spnd": " \u2013 ",
}
RANGES = _words("- \u2013 to and or by x \u00d7 +/- \u00b1")
