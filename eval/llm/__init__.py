"""What retrieval does for a language model: the same questions with no passage, with retrieved ones, right and wrong."""

from .config import Evaluation, load_evaluation
from .evaluate import evaluate
from .report.compare import compare
from .run import needs_engine, prompts_of

__all__ = ["Evaluation", "compare", "evaluate", "load_evaluation", "needs_engine", "prompts_of"]
