"""Training of the quality classifier: which weights tell good samples from bad ones, whatever their length.

Texts are cut into pieces of random length, the same distribution on both sides, so that length says nothing. Each side
weighs the same, and each source as much as the others of its side, so that none decides by its size. The loss is
logistic with an L2 penalty, minimised by L-BFGS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datastore.errors import UsageError
from datastore.text import normalise

from . import sources
from .document import Document
from .filters.quality import CELLS, QualityModel, features, probabilities
from .sources.files import FilesSource

PIECE_WORDS = (30, 300)
PIECES = 5_000
_SCALE = 30.0  # of the features' means, so that weights and bias are of one size
_PENALTY = 5e-5
_STEPS = 200
_HELD_OUT = 10  # every tenth document

Samples = Mapping[str, Iterable[str]]
"""Texts by the name of the source that they come from."""


class Side(NamedTuple):
    """The pieces of one side, positive or negative."""

    texts: list[str]
    weights: NDArray[np.float64]  # sum to 1/2
    held_out: list[str]
    pieces: dict[str, int]  # by source


class Trained(NamedTuple):
    model: QualityModel
    held_out_auc: float  # on documents not trained on, but of the same sources; texts of others are harder


def train(positive: Samples, negative: Samples, *, seed: int = 0, pieces: int = PIECES) -> Trained:
    """A classifier from samples of both kinds; at most `pieces` of a source, drawn by `seed`.

    Raises
    ------
    UsageError
        If a source has no piece of 30 words.
    """
    sides = [_side(samples, seed, pieces) for samples in (positive, negative)]
    labels = np.repeat([1.0, -1.0], [len(side.texts) for side in sides])
    weights = np.concatenate([side.weights for side in sides])
    found = _fit([text for side in sides for text in side.texts], labels, weights)
    trained_on = {
        "positive": sides[0].pieces,
        "negative": sides[1].pieces,
        "piece_words": list(PIECE_WORDS),
        "penalty": _PENALTY,
        "seed": seed,
    }
    model = QualityModel((found[:-1] * _SCALE).astype(np.float32), float(found[-1]), trained_on)
    return Trained(model, auc(*(probabilities(model, side.held_out) for side in sides)))


def read_texts(path: Path) -> Iterator[str]:
    """The normalised texts of a file or folder that `build` can read."""
    source = FilesSource(name="samples", path=str(path))
    for unit in sources.units(source):
        for document in sources.read(source, unit):
            if isinstance(document, Document):
                yield normalise(document.text)


def cut_pieces(text: str, random: np.random.Generator, words: tuple[int, int] = PIECE_WORDS) -> list[str]:
    """A text in pieces of so many words, evenly drawn; a last one below the least is left out."""
    least, most = words
    tokens = text.split()
    pieces = []
    start = 0
    while len(tokens) - start >= least:
        end = start + int(random.integers(least, most, endpoint=True))
        pieces.append(" ".join(tokens[start:end]))
        start = end
    return pieces


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The chance that a positive score is above a negative one, ties counted half; NaN where a side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def _side(samples: Samples, seed: int, most: int) -> Side:
    texts: list[str] = []
    weights: list[NDArray[np.float64]] = []
    held_out: list[str] = []
    counts = {}
    for number, (name, documents) in enumerate(samples.items()):
        random = np.random.default_rng([seed, number])
        kept: list[str] = []
        unseen: list[str] = []
        for position, text in enumerate(documents):
            (unseen if position % _HELD_OUT == _HELD_OUT - 1 else kept).extend(cut_pieces(text, random))
        if not kept:
            raise UsageError(
                f"{name} holds no text of {PIECE_WORDS[0]} words to train on",
                hint="name a file of longer texts, or leave it out",
            )
        counts[name] = min(most, len(kept))
        texts += _drawn(kept, most, random)
        held_out += _drawn(unseen, most // _HELD_OUT, random)
        weights.append(np.full(counts[name], 0.5 / len(samples) / counts[name]))
    return Side(texts, np.concatenate(weights), held_out, counts)


def _drawn(pieces: Sequence[str], most: int, random: np.random.Generator) -> list[str]:
    return [pieces[i] for i in random.permutation(len(pieces))[:most]]


def _fit(
    texts: Sequence[str], labels: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(CELLS + 1,) weights of the scaled features and the bias, that minimise the penalised loss."""
    import torch

    cells, rows, counts = features(texts)
    used = np.flatnonzero(np.bincount(cells, minlength=CELLS))
    columns = np.searchsorted(used, cells)
    shares = _SCALE / counts
    parameters = torch.zeros(len(used) + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [parameters],
        max_iter=_STEPS,
        tolerance_grad=1e-7,
        tolerance_change=1e-11,
        line_search_fn="strong_wolfe",
    )

    def loss() -> float:
        values = parameters.detach().numpy()
        margins = np.bincount(rows, values[columns], minlength=len(texts)) * shares + values[-1]
        slopes = -weights * labels / (1.0 + np.exp((labels * margins).clip(-500.0, 500.0)))
        gradient = np.bincount(columns, (slopes * shares)[rows], minlength=len(used)).astype(np.float64)
        gradient = np.append(gradient + _PENALTY * values[:-1], slopes.sum())
        parameters.grad = torch.from_numpy(gradient)
        losses = np.logaddexp(0.0, -labels * margins)
        return float((weights * losses).sum() + _PENALTY / 2 * np.square(values[:-1]).sum())

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # sums, and so the weights, depend on how they are shared out
        optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    finally:
        torch.set_num_threads(threads)
    found = np.zeros(CELLS + 1)
    found[used], found[-1] = parameters.detach().numpy()[:-1], parameters.detach().numpy()[-1]
    return found
