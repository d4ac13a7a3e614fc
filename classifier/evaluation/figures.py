"""What is measured on labelled items and their answers: each record of figures with the function that fills it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.statistics import Estimate, Flags, Rate, Vector, calibration_error, ranking, ratio
from classifier.heads import best_units, sentence_scores
from classifier.labels import LabelSet
from classifier.reading import GATE, UnitScores
from classifier.records import Evidence, GoldLabel, Span
from classifier.training.examples import Example, is_ordinary, link_of

ANY_MOTIVE = "any_motive"


@dataclass(frozen=True, slots=True)
class Answers:
    """Cross-fitted answers. ``labels``: (items, 4) of probability and the edges absent, threshold, present, for labels that every group
    could calibrate; ``outcome``: (items, outcomes), NaN where there is no model; ``primary``: (items,), None where none was named;
    ``considered``: the probability by motive, (items,), empty where the link is not trained.
    """

    labels: Mapping[str, Vector]
    outcome: Vector
    primary: Sequence[str | None]
    considered: Mapping[str, Vector]

    def called(self, name: str) -> Flags:
        """Items at or above the label's threshold, shape (items,)."""
        flags: Flags = self.labels[name][:, 0] >= self.labels[name][:, 2]
        return flags

    def present(self, name: str) -> Flags:
        """Items on which the label is decided to be present, shape (items,)."""
        flags: Flags = self.labels[name][:, 0] >= self.labels[name][:, 3]
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
        named = [name for name, kept in zip(self.answers.primary, chosen, strict=True) if kept]
        considered = _take(self.answers.considered, chosen)
        answers = Answers(_take(self.answers.labels, chosen), self.answers.outcome[chosen], named, considered)
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

    precision, recall, f1 and specificity at the threshold, g_mean_squared (recall times specificity), brier, ece, those of ``ranking``;
    and of the decisions present_precision, present_recall, missed (share of the positives called absent) and abstained (share of all).
    """
    probability, absent, threshold, present = answers.T
    called, sure, away = probability >= threshold, probability >= present, probability < absent
    squared = (probability - wanted) ** 2
    kinds = np.column_stack([np.ones(len(wanted)), wanted, called, called & wanted, sure, sure & wanted, away, away & wanted, squared])
    n, positives, calls, hits, presents, right, absents, misses, squares = (weights @ kinds).T
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
        "present_precision": ratio(right, presents),
        "present_recall": ratio(right, positives),
        "missed": ratio(misses, positives),
        "abstained": ratio(n - presents - absents, n),
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


@dataclass(frozen=True, slots=True)
class PrimaryFigures:
    """The primary motive of ``n`` items: how often one, or "none", is ``named``, and how often that is ``right``.

    ``majority`` is how often the commonest would be right on all items.
    """

    n: int
    named: Rate
    right: Rate
    majority: float


def primary_figures(sample: Sample) -> PrimaryFigures:
    """Figures of the primary motive."""
    golds = [gold.primary for gold in sample.golds]
    named = np.array([name is not None for name in sample.answers.primary], dtype=bool)
    right = np.array([name == gold for name, gold in zip(sample.answers.primary, golds, strict=True)], dtype=bool)
    majority = max(map(golds.count, set(golds))) / len(golds) if golds else math.nan
    return PrimaryFigures(len(golds), Rate.of(named), Rate.of(right[named]), majority)


@dataclass(frozen=True, slots=True)
class Alarms:
    """Shares of the items without any motive on which a label is decided to be ``present``, and at or above its ``threshold``."""

    present: Rate
    threshold: Rate


def false_alarms(sample: Sample) -> dict[str, dict[str, Alarms]]:
    """False alarms of each motive, of the gate, and of any motive, on ordinary items and on hard ones."""
    motives = sample.labels.names("motive")
    names = [name for name in (*motives, GATE) if name in sample.answers.labels]
    called = {name: (sample.answers.present(name), sample.answers.called(name)) for name in names}
    of_motives = [flags for name, flags in called.items() if name != GATE]
    if of_motives:
        present, threshold = (np.any(flags, axis=0) for flags in zip(*of_motives, strict=True))
        called[ANY_MOTIVE] = present, threshold
    without = ~np.any([sample.truths[name] for name in motives], axis=0)
    ordinary = np.array([is_ordinary(gold, sample.labels) for gold in sample.golds], dtype=bool)
    kinds = {"ordinary": without & ordinary, "hard": without & ~ordinary}
    return {
        kind: {name: Alarms(*(Rate.of(flags[chosen]) for flags in both)) for name, both in called.items()} for kind, chosen in kinds.items()
    }


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Share of the items of ``shortest`` to ``longest`` units of reasoning that reach the threshold of goal_guarding."""

    shortest: int
    longest: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class LengthFigures:
    """Whether mere length makes goal_guarding likelier: ``spearman`` of probability with units among the ``n`` items without guarding.

    ``false_positives`` are by decile of length of these items, ``recall`` by quarter of those with guarding.
    """

    n: int
    spearman: float
    false_positives: Sequence[LengthGroup]
    recall: Sequence[LengthGroup]


def length_figures(sample: Sample, units: NDArray[np.int64]) -> LengthFigures:
    """False positives and recall of goal_guarding by length. ``units``: (items,)."""
    from scipy.stats import spearmanr

    negative = ~sample.truths[GATE]
    if GATE not in sample.answers.labels or not negative.any():
        return LengthFigures(0, math.nan, (), ())
    called, probability = sample.answers.called(GATE), sample.probabilities[GATE][negative]
    varied = len(np.unique(units[negative])) > 1 and len(np.unique(probability)) > 1
    spearman = float(spearmanr(units[negative], probability).statistic) if varied else math.nan
    alarms, recall = _by_length(units[negative], called[negative], 10), _by_length(units[~negative], called[~negative], 4)
    return LengthFigures(len(probability), spearman, alarms, recall)


def _by_length(units: NDArray[np.int64], called: Flags, groups: int) -> list[LengthGroup]:
    """Groups of like size; items of equal length stay together, so they may be uneven, and fewer."""
    if not len(units):
        return []
    group = np.searchsorted(np.quantile(units, np.arange(1, groups) / groups), units)
    chosen = [group == i for i in np.unique(group)]
    return [LengthGroup(int(units[g].min()), int(units[g].max()), Rate.of(called[g])) for g in chosen]


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
    """How often a motive's best sentence touches a gold span of it; ``chance`` is the share that one drawn at random would reach."""

    rate: Rate
    chance: float


def evidence_figures(examples: Sequence[Example], scores: Sequence[UnitScores], name: str) -> EvidenceFigures:
    """Whether the best sentence of each item with the motive overlaps one of its spans in the reasoning."""
    found, chances = [], []
    for example, score in zip(examples, scores, strict=True):
        spans = [span for span in example.gold.spans if span.label == name and span.channel == "reasoning"]
        if spans:
            units = score.chosen("reasoning")
            carried = sentence_scores(score.values, example.cut.units)[units, score.names.index(name)]
            touching = np.array([_overlaps(example.cut.units[unit].evidence, spans) for unit in units])
            found.append(touching[best_units(carried, 1)[0]])
            chances.append(touching.mean())
    return EvidenceFigures(Rate.of(np.array(found, dtype=bool)), float(np.mean(chances)) if chances else math.nan)


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """Whether a motive that an item has is told apart as executed or merely considered, by its best sentence; every motive counts once."""

    right: Rate
    executed: Rate
    considered: Rate


def link_figures(sample: Sample) -> LinkFigures | None:
    """Figures of the link; None where it is not trained."""
    if not sample.answers.considered:
        return None
    links = [
        (bool(probabilities[i] >= 0.5), link == "considered")
        for name, probabilities in sample.answers.considered.items()
        for i, gold in enumerate(sample.golds)
        if (link := link_of(gold, name))
    ]
    said, wanted = np.array(links, dtype=bool).reshape(-1, 2).T
    return LinkFigures(Rate.of(said == wanted), Rate.of(~said[~wanted]), Rate.of(said[wanted]))


def _overlaps(evidence: Evidence, spans: Sequence[Span]) -> bool:
    return any(evidence.start < span.end and span.start < evidence.end for span in spans)
