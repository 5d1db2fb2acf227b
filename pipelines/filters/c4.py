"""Line edits and rules of C4 (Raffel et al. 2020, https://jmlr.org/papers/v21/20-074.html), as datatrove decides them.

Its list of bad words is not part of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .batch import TextBatch
from .rule import Rule
from .words import english

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_LINE_ENDS = (".", "?", "!", '"', "'")
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


class C4Filter(BaseModel):
    """Keep lines that are sentences; drop a document with placeholder text, code, or too few sentences left."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_sentences: int = 5
    least_line_words: int = 3
    longest_word_characters: int = 1000  # a line with a longer one goes
    remove_citations: bool = True  # [1], [edit], [citation needed]
    remove_unpunctuated_lines: bool = True  # that do not end in . ? ! " ' or end in an ellipsis
    remove_javascript_lines: bool = True
    remove_policy_lines: bool = True  # terms of use, privacy, cookies
    refuse_lorem_ipsum: bool = True
    refuse_curly_brackets: bool = True

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """What a document is refused for (0 or 1: the first of the two on its lines), and sentences left.

        Sentences are NaN for a refused document: its other lines are not looked at.
        """
        cleaned = self._cleaned(batch)
        refused = cleaned.lorem_ipsum | cleaned.curly_bracket
        return {
            "c4_lorem_ipsum": cleaned.lorem_ipsum.astype(np.float64),
            "c4_curly_bracket": cleaned.curly_bracket.astype(np.float64),
            "c4_sentences": np.where(refused, np.nan, cleaned.sentences),
        }

    def rules(self) -> tuple[Rule, ...]:
        return (
            Rule("c4_lorem_ipsum", "c4_lorem_ipsum", maximum=0),
            Rule("c4_curly_bracket", "c4_curly_bracket", maximum=0),
            Rule("c4_too_few_sentences", "c4_sentences", minimum=self.min_sentences),
        )

    def edit(self, batch: TextBatch) -> list[str]:
        """The lines that are kept; the text of a refused document as it is."""
        return self._cleaned(batch).texts

    def _cleaned(self, batch: TextBatch) -> _Cleaned:
        return batch.once(self, lambda: self._clean(batch))

    def _clean(self, batch: TextBatch) -> _Cleaned:
        texts: list[str] = []
        all_lines: list[str] = []
        counts = np.zeros(len(batch), np.int64)
        refusals: list[str] = []
        for number, (text, lines) in enumerate(zip(batch.texts, batch.lines, strict=True)):
            kept: list[str] = []
            refusal = self._keep_lines(text, lines, kept)
            refusals.append(refusal)
            texts.append(text if refusal else "\n".join(kept).strip())
            if not refusal:
                all_lines += kept
                counts[number] = len(kept)
        sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(english().sentence_counts(all_lines))))
        stops = np.cumsum(counts)
        why = np.array(refusals)
        return _Cleaned(texts, sums[stops] - sums[stops - counts], why == "lorem ipsum", why == "{")

    def _keep_lines(self, text: str, lines: list[str], kept: list[str]) -> str:
        """Put the lines that stay into `kept`; the answer says what a document is refused for, if it is."""
        # What a text has not, without citations, no line of it has.
        if cite := self.remove_citations and "[" in text:
            text = _CITATION.sub("", text)
        lower = text.lower()
        javascript = self.remove_javascript_lines and "javascript" in lower
        lorem_ipsum = self.refuse_lorem_ipsum and "lorem ipsum" in lower
        curly_bracket = self.refuse_curly_brackets and "{" in text
        policies = [policy for policy in _POLICIES if policy in lower] if self.remove_policy_lines else []
        look_closer = javascript or lorem_ipsum or curly_bracket or bool(policies)
        for whole_line in lines:
            line = whole_line.strip()
            words = line.split()
            if (
                len(line) > self.longest_word_characters
                and len(max(words, key=len)) > self.longest_word_characters
            ):
                continue
            if cite:
                line = _CITATION.sub("", line)
            if self.remove_unpunctuated_lines and (not line.endswith(_LINE_ENDS) or line.endswith("...")):
                continue
            if len(words) < self.least_line_words:
                continue
            if look_closer:
                lower = line.lower()
                if lorem_ipsum and "lorem ipsum" in lower:
                    return "lorem ipsum"
                if javascript and "javascript" in lower:
                    continue
                if curly_bracket and "{" in line:
                    return "{"
                if any(policy in lower for policy in policies):
                    continue
            kept.append(line)
        return ""


class _Cleaned(NamedTuple):
    texts: list[str]
    sentences: NDArray[np.int64]
    lorem_ipsum: NDArray[np.bool_]
    curly_bracket: NDArray[np.bool_]
