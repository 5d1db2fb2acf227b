"""What wikis call things in the languages of the largest of them, all together: no name of one means else in another."""

from __future__ import annotations

import re

# Headings of sections that list references, links and notes, by language.
_LISTED_SECTIONS = {
    "en": "citations, external links, footnotes, further reading, notes, references, see also",
    "de": "anmerkungen, belege, einzelnachweise, fu\u00dfnoten, literatur, quellen, siehe auch, weblinks",
    "es": "bibliograf\u00eda, enlaces externos, notas, notas y referencias, referencias, v\u00e9ase tambi\u00e9n",
    "fr": "annexes, articles connexes, bibliographie, lien externe, liens externes, notes et r\u00e9f\u00e9rences, "
    "r\u00e9f\u00e9rences, voir aussi",
    "it": "altri progetti, bibliografia, collegamenti esterni, note, voci correlate",
    "ja": "脚注, 注釈, 出典, 参考文献, 関連文献, 関連項目, 外部リンク",
    "nl": "bronnen, externe link, externe links, literatuur, noten, referenties, voetnoten, zie ook",
    "pl": "bibliografia, linki zewn\u0119trzne, przypisy, uwagi, zobacz te\u017c",
    "pt": "ver tamb\u00e9m, liga\u00e7\u00f5es externas, leitura adicional, refer\u00eancias, notas e refer\u00eancias",
    "ru": "источники, литература, примечания, см. также, ссылки",
    "zh": "参考文献, 參考文獻, 参考资料, 參考資料, 参见, 參見, 参看, 參看, 外部链接, 外部連結, 脚注, 腳註, 注释, 註釋, "
    "延伸阅读, 延伸閱讀, 相关条目, 相關條目",
}
LISTED_SECTIONS = tuple(sorted({name for names in _LISTED_SECTIONS.values() for name in names.split(", ")}))
_REDIRECT_WORDS = (
    "redirect weiterleitung redirection redirecci\u00f3n redireccion rinvia rinvio rimando redirecionamento redireciona "
    "doorverwijzing перенаправление перенапр patrz przekieruj 重定向 转送 転送 リダイレクト"
)
REDIRECT = re.compile(rf"\s*#(?:{'|'.join(_REDIRECT_WORDS.split())})\b", re.IGNORECASE)
# Text in several scripts, as Chinese wikis write it: `-{zh-hans:计算机; zh-hant:電腦}-`; flags stand in front of a `|`.
_VARIANTS = re.compile(r"-\{(?:([^{}|]*)\|)?([^{}]*)\}-")
_VARIANT = re.compile(
    r"\s*(?:[^:;=]*=>)?\s*(?:zh|sr|kk|ku|uz|tg|shi|iu|gan|crh)(?:-[a-z]+)*\s*:([^;]*)(?:;|\Z)", re.IGNORECASE
)
_HIDING_FLAGS = frozenset("HT-")


def first_variants(text: str) -> str:
    """The text with the first of the variants wherever there are several, and without rules for the rest of a page."""
    return _VARIANTS.sub(_first_variant, text)


def _first_variant(match: re.Match[str]) -> str:
    if _HIDING_FLAGS & {flag.strip().upper() for flag in (match[1] or "").split(";")}:
        return ""
    variant = _VARIANT.match(match[2])
    return variant[1].strip() if variant else match[2]
