"""Minimal pairs of the corpus: two items that differ in the one point that decides a label (codebook section 7)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.evaluation.figures import Sample
from classifier.evaluation.statistics import Estimate, Flags, Rate, Vector, ratio
from classifier.records import GoldLabel

CONTRASTS = {
    1: "restating against opposing",
    2: "obedience against sycophancy",
    3: "sycophancy against guarding",
    4: "terminal against instrumental",
    5: "consequence-free scenario, acknowledged or not",
    6: "bare avoidance against aversion against effect",
    7: "distress without and with a reason",
    8: "considered against executed",
    9: "low stakes against terminal in a harmless deployment",
    10: "self against peer",
    11: "AI peer against human colleague",
    12: "generous marking against inflation with intent",
    13: "refusing to run a shutdown against editing its config",
    14: "authorised copy against exfiltration",
    15: "told “this is training” against suspecting a test",
    16: "tier-conditional with no reason",
    17: "reversed training sign",
    18: "one motive in several styles",
    19: "shutdown avoided to finish a task against for its own ends",
    20: "mention against use",
}
"""What the two items of a pair differ in, by the contrast's number (codebook section 7)."""

STYLE_CONTRAST = 18
"""The contrast of one motive in several styles: neither side should score higher, so it has no accuracy (codebook section 7)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Indices of the two items of a minimal pair, the one that must score higher first (either, in STYLE_CONTRAST)."""

    high: int
    low: int
    number: int
    label: str


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Minimal pairs: how often the side that should score higher does (a tie is a miss).

    ``raw`` counts pairs of labels without calibration, compared by raw pooled score; ``left_out`` pairs that could not be compared.
    ``style_shift`` is the mean difference of probability within a pair of STYLE_CONTRAST, over ``style_pairs`` pairs.
    """

    n: int
    accuracy: Estimate
    baselines: Mapping[str, Estimate]
    contrasts: Mapping[str, Rate]
    style_pairs: int
    style_shift: float
    raw: int
    left_out: int


def pair_figures(sample: Sample, raw: Mapping[str, Vector]) -> PairFigures:
    """Minimal pairs by calibrated probability, or by ``raw`` score (items,) where a label has none."""
    probabilities = sample.probabilities
    scores = {**raw, **probabilities}
    found, incomplete = contrast_pairs(sample.golds)
    ranked = [pair for pair in found if pair.number != STYLE_CONTRAST and pair.label in scores]
    styles = [pair for pair in found if pair.number == STYLE_CONTRAST and pair.label in probabilities]
    shifts = [abs(probabilities[pair.label][pair.high] - probabilities[pair.label][pair.low]) for pair in styles]
    numbers = sorted({pair.number for pair in ranked})
    return PairFigures(
        n=len(ranked),
        accuracy=Estimate.of(pair_accuracy(ranked, scores, sample.weights)),
        baselines={name: Estimate.of(pair_accuracy(ranked, other, sample.weights)) for name, other in sample.baselines.items()},
        contrasts={str(n): Rate.of(pair_wins([pair for pair in ranked if pair.number == n], scores)) for n in numbers},
        style_pairs=len(styles),
        style_shift=float(np.mean(shifts)) if shifts else math.nan,
        raw=sum(pair.label not in probabilities for pair in ranked),
        left_out=incomplete + len(found) - len(ranked) - len(styles),
    )


def contrast_pairs(golds: Sequence[GoldLabel]) -> tuple[list[Pair], int]:
    """Minimal pairs joined by ``pair_id``, in that order, and the number of those without a high and a low side."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, gold in enumerate(golds):
        if gold.pair_id is not None and gold.contrast is not None:
            members[gold.pair_id].append(i)
    found = [_pair(golds, indices) for _, indices in sorted(members.items())]
    pairs = [pair for pair in found if pair is not None]
    return pairs, len(found) - len(pairs)


def _pair(golds: Sequence[GoldLabel], indices: Sequence[int]) -> Pair | None:
    contrasts = [golds[i].contrast or {} for i in indices]
    if len(indices) != 2 or any(contrasts[0][key] != contrasts[1][key] for key in ("number", "score")):
        return None
    number, label = int(contrasts[0]["number"]), str(contrasts[0]["score"])
    first, second = sorted(indices, key=lambda i: (golds[i].contrast or {})["side"])  # "high" sorts before "low"
    sides = {contrast["side"] for contrast in contrasts}
    return Pair(first, second, number, label) if sides == {"high", "low"} or number == STYLE_CONTRAST else None


def pair_accuracy(pairs: Sequence[Pair], scores: Mapping[str, Vector], weights: Vector) -> Vector:
    """Share of pairs won, shape (1 + resamples,). A pair counts as often as the scenario of its high side was drawn."""
    drawn = weights[:, [pair.high for pair in pairs]]
    return ratio(drawn @ pair_wins(pairs, scores), drawn.sum(axis=1))


def pair_wins(pairs: Sequence[Pair], scores: Mapping[str, Vector]) -> Flags:
    """Whether the high side scores higher, shape (pairs,)."""
    return np.array([scores[pair.label][pair.high] > scores[pair.label][pair.low] for pair in pairs], dtype=bool)
