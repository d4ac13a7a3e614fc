"""Score units, one linear head per label, and pool units to the transcript. Labels do not compete: no softmax anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.encoders import Floats
from classifier.lexical import Lexicon
from classifier.records import Unit, Window

TOP = 3
"""Units that make up the transcript's score, beside the best one again. One unit is at the mercy of one odd sentence; all of them would
dilute the decisive one (docs/decisions/003-learning.md has the trials)."""

ECHO, UNHEARD = 0.5, 2.0
"""What the next unit's score counts for a sentence beside its own unit's, and how far below that it is put where there is none."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Linear heads over a unit's features: ``dense`` (dimensions, labels), ``lexical`` (columns, labels), ``bias`` (labels,)."""

    names: tuple[str, ...]
    dense: Floats
    lexical: Floats
    bias: Floats

    def scores(self, embeddings: Floats, units: Sequence[Unit], lexicon: Lexicon) -> Floats:
        """Raw scores (logits), shape (units, labels). ``embeddings`` has shape (units, dimensions)."""
        # Not a matrix product: for one of this size OpenBLAS wakes threads that go on spinning for longer than all of this takes.
        scores: Floats = np.einsum("ud,dl->ul", embeddings, self.dense) + self.bias
        starts, columns, values = lexicon.rows(units)
        for row, (start, end) in zip(scores, pairwise(starts.tolist()), strict=True):
            row += values[start:end] @ self.lexical[columns[start:end]]
        return scores


def sentence_sums(window: Window, states: Floats) -> Floats:
    """Sum of the token states of each sentence of a window, shape (sentences, dimensions). ``states`` has shape (tokens, dimensions)."""
    starts = np.cumsum((0, *window.lengths[:-1]))
    sums: Floats = np.add.reduceat(states, starts, axis=0)
    return sums


def unit_embeddings(units: Sequence[Unit], sums: Floats) -> Floats:
    """Mean token state of each unit (sentence and predecessor), scaled to Euclidean length 1, shape (units, dimensions).

    The mean needs no token counts: scaling to length 1 removes them.
    """
    previous = np.array([u.sentence if u.previous is None else u.previous for u in units], dtype=np.int64)
    alone = np.array([u.previous is None for u in units])
    total = sums + np.where(alone[:, None], 0, sums[previous])
    norms = np.linalg.norm(total, axis=1, keepdims=True)
    embeddings: Floats = total / np.maximum(norms, 1e-12)
    return embeddings


def pool(scores: Floats) -> Floats:
    """Halfway between the best score and the mean of the TOP best, label by label, shape (labels,). ``scores``: (units > 0, labels)."""
    best = np.sort(scores, axis=0)[-TOP:]
    pooled: Floats = (best[-1] + best.mean(axis=0)) / 2
    return pooled


def sentence_scores(scores: Floats, units: Sequence[Unit]) -> Floats:
    """How much each unit's own sentence carries, shape (units, labels). ``scores`` has the same shape.

    A unit scores high for its predecessor's reason too. A sentence stands in its own unit and in the next one's, and the one that gives
    the reason is heard in both (docs/decisions/003-learning.md has the trials).
    """
    last = [i + 1 == len(units) or units[i + 1].previous != unit.sentence for i, unit in enumerate(units)]
    following = np.where(np.array(last)[:, None], scores - UNHEARD, np.roll(scores, -1, axis=0))
    return (scores + ECHO * following).astype(np.float32)


def best_units(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices of the highest scores of one label, best first. ``scores`` has shape (units,)."""
    return np.argsort(-scores, kind="stable")[:count]
