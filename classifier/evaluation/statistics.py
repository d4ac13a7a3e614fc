"""Statistics of scores against truths, each over a bootstrap's resamples at once. Plain arrays; nothing here knows what a label is.

In arrays of shape (1 + resamples,), the first value is that of the sample itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Equal-mass bins of the calibration error and of the reliability curves: each holds the same number of items, give or take one."""

_Z = 1.959963984540054
"""The normal quantile of a 95 % interval."""

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; NaN where it is undefined. ``dropped`` counts the resamples in which it was (say, one class only)."""

    value: float
    low: float
    high: float
    dropped: int

    @classmethod
    def of(cls, values: Vector) -> Estimate:
        """From values of shape (1 + resamples,)."""
        defined = values[1:][np.isfinite(values[1:])]
        dropped = len(values) - 1 - len(defined)
        if math.isnan(values[0]) or not len(defined):
            return cls(float(values[0]), math.nan, math.nan, dropped)
        low, high = np.quantile(defined, [0.025, 0.975]).tolist()
        return cls(float(values[0]), low, high, dropped)


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``n`` as a share, with its 95 % score interval (Wilson 1927); NaN where n is 0."""

    hits: int
    n: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, flags: Flags) -> Rate:
        """The share of true flags."""
        hits, n = int(np.sum(flags)), len(flags)
        if n == 0:
            return cls(0, 0, math.nan, math.nan, math.nan)
        share, spread = hits / n, _Z**2 / n
        centre = (share + spread / 2) / (1 + spread)
        half = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
        return cls(hits, n, share, max(0.0, centre - half), min(1.0, centre + half))


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a label's plots: mean probability and share of positives of each bin; recall, wherever it rises, and its precision."""

    probability: Sequence[float]
    share: Sequence[float]
    recall: Sequence[float]
    precision: Sequence[float]


def resample(scenarios: Sequence[str], resamples: int, seed: int) -> Vector:
    """How often each item counts, shape (1 + resamples, items): once in the sample, then as often as its scenario was drawn.

    Scenarios are drawn with replacement, as many as there are: the cluster bootstrap (Davison and Hinkley 1997, section 3.8).
    """
    names, codes = np.unique(scenarios, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    counts: Vector = np.vstack([np.ones(len(names)), drawn])
    return counts[:, codes]


def ranking(weights: Vector, score: Vector, wanted: Flags) -> dict[str, Vector]:
    """How well ``score`` (items,) ranks: each figure (1 + resamples,), NaN where only one class is left.

    auroc (ties count half), average_precision (a step at each distinct score, as in scikit-learn) and recall_at_fpr_1, the highest recall
    at a false-positive rate of at most 1 %.
    """
    hits, alarms = _cumulated(weights, score, wanted)
    positives, negatives = hits[:, -1], alarms[:, -1]
    both = np.where(negatives > 0, positives, 0)  # nothing to divide by unless both classes are there
    area = ((hits[:, 1:] + hits[:, :-1]) / 2 * np.diff(alarms)).sum(axis=1)
    precision = hits[:, 1:] / np.maximum(hits[:, 1:] + alarms[:, 1:], 1)  # counts are whole: the maximum only mends 0 / 0
    steps = (np.diff(hits) * precision).sum(axis=1)
    quiet = np.where(alarms <= 0.01 * negatives[:, None], hits, 0).max(axis=1)
    return {
        "auroc": ratio(area, both * negatives),
        "average_precision": ratio(steps, both),
        "recall_at_fpr_1": ratio(quiet, both),
    }


def _cumulated(weights: Vector, score: Vector, wanted: Flags) -> tuple[Vector, Vector]:
    """Positives and negatives at or above each distinct score, highest first, after a zero. Shape (1 + resamples, 1 + distinct)."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.array([], dtype=np.int64)
    sums = [np.cumsum(weights[:, order] * kind[order], axis=1)[:, last] for kind in (wanted, ~wanted)]
    hits, alarms = (np.hstack([np.zeros((len(weights), 1)), each]) for each in sums)
    return hits, alarms


def calibration_error(weights: Vector, probability: Vector, wanted: Flags) -> Vector:
    """Expected calibration error over equal-mass bins (Nguyen and O'Connor 2015), shape (1 + resamples,).

    The mean over items of |mean probability - share of positives| of the item's bin. Resamples keep the sample's bins. It is biased
    upwards in small samples, and the more so in resamples.
    """
    gaps = np.eye(BINS)[_bins(probability)] * (probability - wanted)[:, None]
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _bins(probability: Vector) -> NDArray[np.int64]:
    """Equal-mass bin of each item, by rank."""
    ranks = np.empty(len(probability), dtype=np.int64)
    ranks[np.argsort(probability, kind="stable")] = np.arange(len(probability))
    bins: NDArray[np.int64] = ranks * BINS // max(len(probability), 1)
    return bins


def curve(probability: Vector, wanted: Flags) -> Curve:
    """Points of the reliability and precision-recall plots; no precision and recall where only one class is there."""
    bins = _bins(probability)
    groups = [bins == i for i in np.unique(bins)]
    hits, alarms = (sums[0] for sums in _cumulated(np.ones((1, len(wanted))), probability, wanted))
    rises = np.flatnonzero(np.diff(hits)) + 1 if not wanted.all() else np.array([], dtype=np.int64)
    return Curve(
        probability=[float(probability[g].mean()) for g in groups],
        share=[float(wanted[g].mean()) for g in groups],
        recall=(hits[rises] / max(wanted.sum(), 1)).tolist(),
        precision=(hits[rises] / (hits + alarms)[rises]).tolist(),
    )


def ratio(above: Vector, below: Vector) -> Vector:
    """NaN where there is nothing to divide by."""
    ratio: Vector = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio
