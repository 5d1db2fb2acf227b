"""Clusters of near-duplicates, and which document of a cluster stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8  # each may read the texts of all that is left of a component
_ROWS = 1 << 20  # are followed to their roots at a time


def components(blocks: Iterable[NDArray[np.int64]], documents: int) -> NDArray[np.int64]:
    """(documents,) the first document of each one's connected component, whatever the order of the pairs.

    `blocks` are (m, 2) pairs. RAM: 8 bytes a document.
    """
    parents = np.arange(documents)
    for pairs in blocks:
        left, right = pairs.T
        while len(left):
            left, right = _roots(parents, left), _roots(parents, right)
            apart = left != right
            left, right = left[apart], right[apart]
            later = np.maximum(left, right)
            np.minimum.at(parents, later, np.minimum(left, right))
            _shorten(parents, later)
    for start in range(0, documents, _ROWS):
        _roots(parents, np.arange(start, min(start + _ROWS, documents)))
    return parents


def _roots(parents: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The roots of `rows`, which from now on are their parents."""
    found = parents[rows]
    while not np.array_equal(above := parents[found], found):
        found = above
    parents[rows] = found
    return found


def _shorten(parents: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Paths among `rows` double their steps until each is one step: a chain of n takes log n rounds."""
    while not np.array_equal(above := parents[parents[rows]], parents[rows]):
        parents[rows] = above


def clusters(
    component: NDArray[np.int64],
    priority: NDArray[np.integer],
    length: NDArray[np.integer],
    verified: Iterable[NDArray[np.int64]],
    compare: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    first_new: int = 0,
) -> NDArray[np.int64]:
    """(n,) the centre of each document: itself, or a better one that it is similar to.

    A component joins what is alike by steps: its ends may have little in common. So its best document (as in `choose`)
    is made a centre, and takes those that are similar to it: by a verified pair (m, 2), or else as `compare` says of
    pairs. The rest of the component goes on by itself, `_ROUNDS` times; then the verified pairs alone decide.

    `verified` is gone through twice. Documents before `first_new` are all centres, and must have the best priority.
    """
    assert not 0 < first_new < len(priority) or priority[:first_new].max() < priority[first_new:].min()
    centre = choose(component, priority, length)
    centre[:first_new] = np.arange(first_new)
    waiting = centre != np.arange(len(centre))
    for pairs in verified:
        known = pairs[pairs[:, 0] < first_new][::-1]  # so that the first one is what remains
        centre[known[:, 1]] = known[:, 0]
        for centres, members in (pairs.T, pairs.T[::-1]):
            waiting[members[centre[members] == centres]] = False
    rest = np.flatnonzero(waiting)
    for _ in range(_ROUNDS):
        rows = rest[centre[rest] != rest]
        rest = rows[~compare(np.column_stack([centre[rows], rows]))]
        centre[rest] = rest[choose(component[rest], priority[rest], length[rest])]
    ranked = rest[np.lexsort((-length[rest].astype(np.int64), priority[rest]))]
    if len(ranked):
        centre[ranked] = ranked[_independent(ranked, verified)]
    return centre


def _independent(ranked: NDArray[np.int64], verified: Iterable[NDArray[np.int64]]) -> list[int]:
    """For positions in `ranked`: the first one that is a centre and in a pair with it, or itself, which is one then."""
    order = np.argsort(ranked)
    found = []
    for pairs in verified:
        inside = pairs[np.isin(pairs, ranked).all(axis=1)]
        found.append(np.sort(order[np.searchsorted(ranked, inside, sorter=order)], axis=1))
    centre = list(range(len(ranked)))
    edges = np.concatenate(found)
    for better, worse in edges[np.lexsort(edges.T)].tolist():
        if centre[worse] == worse and centre[better] == better:
            centre[worse] = better
    return centre


def choose(
    group: NDArray[np.int64],
    priority: NDArray[np.integer],
    length: NDArray[np.integer],
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """(n,) for each document the one that stays in its place: itself, or the best of its group.

    The best has the smallest `priority` (the position of its source), then the greatest length, then comes first.
    Only documents of `among` are chosen from; the others are -1. RAM: 40 bytes a document in a group of several.
    """
    taking_part = np.ones(len(group), dtype=np.bool_) if among is None else among
    keeper = np.where(taking_part, np.arange(len(group)), -1)
    several = np.bincount(group[taking_part]) > 1
    rows = np.flatnonzero(taking_part)
    rows = rows[several[group[rows]]]
    rows = rows[np.lexsort((-length[rows].astype(np.int64), priority[rows], group[rows]))]
    first = np.append(True, group[rows][1:] != group[rows][:-1])[: len(rows)]
    keeper[rows] = rows[first][np.cumsum(first) - 1]
    return keeper
