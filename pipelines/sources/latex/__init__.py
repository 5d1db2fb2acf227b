r"""LaTeX: the prose of a document, its formulas as they are written, its own macros expanded.

Rules of our own in linear time, for TeX itself can only be run: what cannot be known without running it (numbers of
sections, what `\ref` shows, conditionals) is left out. In order: `inputs` puts the files together, without comments;
`macros` takes the definitions out and expands what they define; `text` writes what is left, by the tables of `commands`.
`identity` says whether a document has to be read anew.
"""

from .identity import with_inputs
from .reader import LatexOptions, read_latex

__all__ = ["LatexOptions", "read_latex", "with_inputs"]
