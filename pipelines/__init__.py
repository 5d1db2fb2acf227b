"""Raw corpora to documents, to passages, to vectors, to a version of a store."""

from .account import BuildReport
from .build import build
from .progress import console
from .recipe import Recipe, load_recipe, make_recipe
from .vectors import build_from_vectors, holds_vectors

__all__ = [
    "BuildReport",
    "Recipe",
    "build",
    "build_from_vectors",
    "console",
    "holds_vectors",
    "load_recipe",
    "make_recipe",
]
