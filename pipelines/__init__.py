"""Raw corpora to documents, to passages, to vectors, to a version of a store."""

from .account import BuildReport
from .build import build, refilter
from .dry_run import dry_run
from .in_store import copies_among, copies_in_store
from .progress import console
from .recipe import Recipe, load_recipe, make_recipe
from .target import recipe_of
from .vectors import build_from_vectors, find_vectors, holds_vectors

__all__ = [
    "BuildReport",
    "Recipe",
    "build",
    "build_from_vectors",
    "console",
    "copies_among",
    "copies_in_store",
    "dry_run",
    "find_vectors",
    "holds_vectors",
    "load_recipe",
    "make_recipe",
    "recipe_of",
    "refilter",
]
