"""What is measured on labelled items and their answers: each record of figures with the function that fills it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.statistics import Estimate, Flags, Rate, Vector, calibration_error, ranking, ratio
from classifier.heads import best_units
from classifier.labels import LabelSet
from classifier.pipeline import CONSIDERED, GATE, UnitScores
from classifier.records import Evidence, GoldLabel, Span
from classifier.training.examples import Example

ANY_MOTIVE = "any_motive"


@dataclass(frozen=True, slots=True)
class Answers:
    """Cross-fitted answers. ``labels``: (items, 4) of probability and the edges absent, threshold, present, for labels that every group
    could calibrate; ``outcome``: (items, outcomes), NaN where there is no model. ``uncalibrated`` as in Evaluation.
    """

    labels: Mapping[str, Vector]
    outcome: Vector
    uncalibrated: Mapping[str, int]

    def called(self, name: str) -> Flags:
        """Items at or above the label's threshold, shape (items,)."""
        flags: Flags = self.labels[name][:, 0] >= self.labels[name][:, 2]
        return flags


@dataclass(frozen=True, slots=True)
class Sample:
    """Scored items with all that the figures share. ``weights``: (1 + resamples, items); ``truths`` and each of ``baselines``: (items,)."""

    labels: LabelSet
    golds: Sequence[GoldLabel]
    weights: Vector
    answers: Answers
    truths: Mapping[str, Flags]
    baselines: Mapping[str, Mapping[str, Vector]]

    @property
    def probabilities(self) -> dict[str, Vector]:
        """Calibrated probability of each label, shape (items,)."""
        return {name: values[:, 0] for name, values in self.answers.labels.items()}

    def take(self, chosen: Flags) -> Sample:
        """The chosen items, in the same resamples."""
        answers = Answers(_take(self.answers.labels, chosen), self.answers.outcome[chosen], self.answers.uncalibrated)
        golds = [gold for gold, kept in zip(self.golds, chosen, strict=True) if kept]
        others = {name: _take(scores, chosen) for name, scores in self.baselines.items()}
        return Sample(self.labels, golds, self.weights[:, chosen], answers, _take(self.truths, chosen), others)


def _take(values: Mapping[str, NDArray[Any]], chosen: Flags) -> dict[str, NDArray[Any]]:
    return {name: array[chosen] for name, array in values.items()}


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label over ``n`` items; ``figures`` as in ``label_figures``."""

    n: int
    positives: int
    figures: Mapping[str, Estimate]


def label_figures(weights: Vector, answers: Vector, wanted: Flags) -> LabelFigures:
    """Figures of one label. ``weights``: (1 + resamples, items), ``answers``: (items, 4) as in Answers, ``wanted``: (items,).

    precision, recall, f1 and specificity at the threshold, g_mean_squared (recall times specificity), brier, ece, abstained (share between
    the edges), error (share wrong among those outside them), and those of ``ranking``.
    """
    probability, absent, threshold, present = answers.T
    called, sure = probability >= threshold, (probability < absent) | (probability >= present)
    wrong = sure & ((probability >= present) != wanted)
    kinds = np.column_stack([np.ones(len(wanted)), wanted, called, called & wanted, sure, wrong, (probability - wanted) ** 2])
    n, positives, calls, hits, decided, errors, squares = (weights @ kinds).T
    recall, specificity = ratio(hits, positives), ratio(n - positives - calls + hits, n - positives)
    found = {
        "precision": np.where(positives > 0, ratio(hits, calls), np.nan),
        "recall": recall,
        "f1": np.where(positives > 0, ratio(2 * hits, calls + positives), np.nan),
        "specificity": specificity,
        "g_mean_squared": recall * specificity,
        **ranking(weights, probability, wanted),
        "brier": ratio(squares, n),
        "ece": calibration_error(weights, probability, wanted),
        "abstained": ratio(n - decided, n),
        "error": ratio(errors, decided),
    }
    return LabelFigures(len(wanted), int(wanted.sum()), {name: Estimate.of(values) for name, values in found.items()})


@dataclass(frozen=True, slots=True)
class OutcomeFigures:
    """Outcomes of the ``n`` items that have one. ``majority`` is the accuracy of always naming the commonest.

    ``confusion`` counts by gold outcome, then by the likeliest.
    """

    n: int
    accuracy: Estimate
    log_loss: Estimate
    majority: float
    confusion: Mapping[str, Mapping[str, int]]


def outcome_figures(weights: Vector, answers: Vector, golds: Sequence[str], labels: LabelSet) -> OutcomeFigures | None:
    """Figures of the outcome; None where no item has both an outcome and an answer. ``answers``: (items, outcomes), ``golds``: (items,)."""
    outcomes = labels.names("outcome")
    usable = np.isin(golds, outcomes) & np.isfinite(answers).all(axis=1)
    if not usable.any():
        return None
    answers, weights = answers[usable], weights[:, usable]
    wanted, named = np.array([outcomes.index(gold) for gold, use in zip(golds, usable, strict=True) if use]), answers.argmax(axis=1)
    kinds = np.column_stack([named == wanted, -np.log(np.maximum(answers[np.arange(len(wanted)), wanted], 1e-12))])
    right, losses = (weights @ kinds).T
    total = weights.sum(axis=1)
    table = np.zeros((len(outcomes), len(outcomes)), dtype=np.int64)
    np.add.at(table, (wanted, named), 1)
    confusion = {gold: dict(zip(outcomes, row.tolist(), strict=True)) for gold, row in zip(outcomes, table, strict=True)}
    majority = float(np.bincount(wanted).max() / len(wanted))
    return OutcomeFigures(len(wanted), Estimate.of(ratio(right, total)), Estimate.of(ratio(losses, total)), majority, confusion)


def false_positives(sample: Sample) -> dict[str, dict[str, Rate]]:
    """Share of the items without a motive at or above the threshold of each motive, of the gate, and of any motive."""
    motives = sample.labels.names("motive")
    called = {name: sample.answers.called(name) for name in (*motives, GATE) if name in sample.answers.labels}
    any_motive = [flags for name, flags in called.items() if name != GATE]
    if any_motive:
        called[ANY_MOTIVE] = np.any(any_motive, axis=0)
    without = ~np.any([sample.truths[name] for name in motives], axis=0)
    ordinary = without & np.array([_is_ordinary(gold, sample.labels) for gold in sample.golds], dtype=bool)
    kinds = {"ordinary": ordinary, "hard": without & ~ordinary}
    return {kind: {name: Rate.of(flags[chosen]) for name, flags in called.items()} for kind, chosen in kinds.items()}


def _is_ordinary(gold: GoldLabel, labels: LabelSet) -> bool:
    """Nothing in it comes near a motive: no restatement, mention or other context, and no awareness of training."""
    contexts = labels.names("context")
    return gold.attributes.get("training_awareness", "none") == "none" and not any(span.label in contexts for span in gold.spans)


@dataclass(frozen=True, slots=True)
class Decile:
    """False positives of goal_guarding among the unguarded items of ``shortest`` to ``longest`` units of reasoning."""

    shortest: int
    longest: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class LengthFigures:
    """Whether mere length makes goal_guarding likelier: ``spearman`` of probability with units among items without guarding."""

    n: int
    spearman: float
    deciles: Sequence[Decile]


def length_figures(sample: Sample, units: NDArray[np.int64]) -> LengthFigures:
    """False positives of goal_guarding by decile of length among items without guarding. ``units``: (items,).

    Items of equal length stay together, so deciles may be uneven, and fewer than ten.
    """
    from scipy.stats import spearmanr

    negative = ~sample.truths[GATE]
    if GATE not in sample.answers.labels or not negative.any():
        return LengthFigures(0, math.nan, ())
    units, probability, called = units[negative], sample.probabilities[GATE][negative], sample.answers.called(GATE)[negative]
    decile = np.searchsorted(np.quantile(units, np.arange(0.1, 1, 0.1)), units)
    groups = [decile == i for i in np.unique(decile)]
    varied = len(np.unique(units)) > 1 and len(np.unique(probability)) > 1
    spearman = float(spearmanr(units, probability).statistic) if varied else math.nan
    return LengthFigures(len(units), spearman, [Decile(int(units[g].min()), int(units[g].max()), Rate.of(called[g])) for g in groups])


@dataclass(frozen=True, slots=True)
class Stratum:
    """Ranking of goal_guarding among the items of one scenario or style; NaN where they are all of one class."""

    n: int
    positives: int
    auroc: float


def strata(sample: Sample, of: Sequence[str]) -> dict[str, Stratum]:
    """Ranking of goal_guarding by stratum, in the order of their names; empty where it is not calibrated."""
    found = {}
    for name in sorted(set(of)) if GATE in sample.answers.labels else ():
        chosen = np.array(of) == name
        wanted = sample.truths[GATE][chosen]
        auroc = ranking(np.ones((1, len(wanted))), sample.probabilities[GATE][chosen], wanted)["auroc"]
        found[name] = Stratum(len(wanted), int(wanted.sum()), float(auroc[0]))
    return found


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """How often a motive's best unit touches a gold span of it; ``chance`` is the share that a unit drawn at random would reach."""

    rate: Rate
    chance: float


def evidence_figures(examples: Sequence[Example], scores: Sequence[UnitScores], name: str) -> EvidenceFigures:
    """Whether the best unit of each item with the motive overlaps one of its spans in the reasoning."""
    found, chances = [], []
    for example, score in zip(examples, scores, strict=True):
        spans = [span for span in example.gold.spans if span.label == name and span.channel == "reasoning"]
        if spans:
            values, units = score.column(name, "reasoning")
            touching = np.array([_overlaps(example.cut.units[unit].evidence, spans) for unit in units])
            found.append(touching[best_units(values, 1)[0]])
            chances.append(touching.mean())
    return EvidenceFigures(Rate.of(np.array(found, dtype=bool)), float(np.mean(chances)) if chances else math.nan)


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """Whether a motive that an item has is told apart as executed or merely considered, by the link head on the motive's best unit."""

    right: Rate
    executed: Rate
    considered: Rate


def link_figures(examples: Sequence[Example], scores: Sequence[UnitScores], motives: Sequence[str]) -> LinkFigures:
    """Every motive of every item counts once; it is considered where none of its spans is executed."""
    called, wanted = [], []
    for example, score in zip(examples, scores, strict=True):
        for name in motives:
            if links := {span.link for span in example.gold.spans if span.label == name}:
                values, units = score.column(name, "reasoning")
                called.append(score.values[units[best_units(values, 1)[0]], score.names.index(CONSIDERED)] > 0)
                wanted.append("executed" not in links)
    said, considered = np.array(called, dtype=bool), np.array(wanted, dtype=bool)
    return LinkFigures(Rate.of(said == considered), Rate.of(~said[~considered]), Rate.of(said[considered]))


def _overlaps(evidence: Evidence, spans: Sequence[Span]) -> bool:
    return any(evidence.start < span.end and span.start < evidence.end for span in spans)
