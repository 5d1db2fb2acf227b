"""Raw corpora to documents, to passages, to vectors, to a version of a store."""

from .account import BuildReport
from .build import build
from .progress import console
from .recipe import Recipe, load_recipe, make_recipe

__all__ = ["BuildReport", "Recipe", "build", "console", "load_recipe", "make_recipe"]
