"""Which passages give away evaluation questions: runs of words that a text shares with a question.

Brown et al., "Language Models are Few-Shot Learners" (NeurIPS 2020), appendix C, compare 13-grams of lower-cased words
without punctuation; Lyu et al., CompactDS (2025), drop a passage by the Jaccard similarity of 13-grams; Shao et al.,
MassiveDS (NeurIPS 2024), by the longest common run; Lambert et al., Tulu 3 (2024), by the share of a question that
common n-grams cover. All of these rules are here, over one index of n-grams, and one of our own, the default, that also
finds questions in which words were changed.
"""

from .build import build_matcher
from .matcher import Matcher, open_matcher
from .rules import DecontaminationConfig, Leak, Match, Question, Rule

__all__ = [
    "DecontaminationConfig",
    "Leak",
    "Match",
    "Matcher",
    "Question",
    "Rule",
    "build_matcher",
    "open_matcher",
]
