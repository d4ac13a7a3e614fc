"""From pooled scores to probabilities, and from probabilities to decisions with room for abstention. Plain numbers, no scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.records import Choice

_CLIP = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling with a correction for length, and the decision's edges, for one label.

    ``probability = sigmoid(slope * score + length * ln(min(units, longest)) + offset)``. The best of many units scores higher than the
    best of few even where nothing is there, so ``length`` (never positive) takes back what mere length adds; beyond the ``longest`` that
    it was fitted on nobody knows how much that is, and it stays. A probability at or above ``present`` is present, below ``absent``
    absent, between them abstained; ``threshold`` is what a yes-or-no reader should use. A ``present`` of 1 is never reached: no
    probability tells this label surely enough.
    """

    slope: float
    length: float
    longest: int
    offset: float
    absent: float
    threshold: float
    present: float

    def probability(self, score: float, units: int) -> float:
        """Calibrated probability in (0, 1) of a pooled score over ``units`` units."""
        log_units = math.log(min(max(units, 1), self.longest))
        return min(max(sigmoid(self.slope * score + self.length * log_units + self.offset), _CLIP), 1 - _CLIP)

    def decide(self, probability: float) -> Choice:
        """The decision at this probability."""
        if probability >= self.present:
            return "present"
        return "absent" if probability < self.absent else "abstain"

    def to_json(self) -> dict[str, float]:
        """Plain numbers for calibration.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """Multinomial logistic regression from pooled outcome scores to outcome probabilities.

    ``weights`` has shape (features, outcomes): features are the pooled outcome scores over the reasoning, then over the answer (zeros
    where there is none), then 1 if there is an answer.
    """

    outcomes: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probabilities(self, features: NDArray[np.float64]) -> dict[str, float]:
        """Probabilities by outcome; they add up to 1."""
        logits = features @ self.weights + self.bias
        exponentials = np.exp(logits - logits.max())
        return dict(zip(self.outcomes, (exponentials / exponentials.sum()).tolist(), strict=True))

    def to_json(self) -> dict[str, object]:
        """Plain numbers for calibration.json."""
        return {"outcomes": list(self.outcomes), "weights": self.weights.tolist(), "bias": self.bias.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> OutcomeModel:
        """The inverse of to_json."""
        outcomes = value["outcomes"]
        if not isinstance(outcomes, list):
            raise ValueError("calibration.json: outcome.outcomes must be a list")
        return cls(tuple(outcomes), np.array(value["weights"], dtype=np.float64), np.array(value["bias"], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Everything fitted on out-of-fold scores. A label that is not among ``labels`` is not trained: its key is null in every answer."""

    labels: Mapping[str, Calibration]
    outcome: OutcomeModel | None

    def to_json(self) -> dict[str, object]:
        """Plain numbers for calibration.json."""
        return {"labels": {name: c.to_json() for name, c in self.labels.items()}, "outcome": self.outcome and self.outcome.to_json()}


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def log_odds(p: float) -> float:
    """ln(p / (1 - p)), finite for every p in [0, 1]."""
    p = min(max(p, _CLIP), 1 - _CLIP)
    return math.log(p / (1 - p))


def all_of(probabilities: Sequence[float]) -> float:
    """Raw score of "all of these hold": the log odds of the product, to be calibrated like any other score."""
    return log_odds(math.prod(probabilities))


def any_of(probabilities: Sequence[float]) -> float:
    """Raw score of "one of these holds" (noisy or): the log odds of 1 less the product of the complements."""
    return -all_of([1 - p for p in probabilities])
