"""How well a classifier does on scenarios that it never saw, beside two baselines in the same run.

Every answer is out of fold twice: the heads never saw the item's scenario, nor did the calibration. Intervals are 95 % percentile
intervals of a bootstrap that resamples scenarios, because items of one scenario resemble each other. All figures share the resamples, so
differences between them are paired. In arrays of shape (1 + resamples,), the first value is that of the sample itself.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.examples import Columns, Example, scenario_folds, truth
from classifier.fitting import FULL_TRACE, Calibrated, fit_calibration, pooled_score
from classifier.heads import best_units
from classifier.labels import LabelSet
from classifier.pipeline import FAKING, GATE, UnitScores, faking_score, outcome_features
from classifier.records import Evidence, GoldLabel, LabelGroup, Span

RESAMPLES = 1000
GROUPS = 8
"""Groups of scenarios over which the calibration is cross-fitted."""

BINS = 15
"""Equal-mass bins of the calibration error and of the reliability curves: each holds the same number of items, give or take one."""

STYLE_CONTRAST = 18
"""The contrast of one motive in several styles: neither side should score higher, so it has no accuracy (codebook section 7)."""

TFIDF, MEAN = "tfidf", "mean_embedding"
BASELINES = {TFIDF: 10.0, MEAN: 1.0}
"""The baselines with scikit-learn's C, each the best of 0.3, 1, 10 and 100 on the first corpus, so that none loses for want of it."""

ANY_MOTIVE = "any_motive"
_Z = 1.959963984540054

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
class LabelFigures:
    """One label over ``n`` items; ``figures`` as in ``label_figures``."""

    n: int
    positives: int
    figures: Mapping[str, Estimate]


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


@dataclass(frozen=True, slots=True)
class BaselineFigures:
    """A baseline on the same items and folds. ``macro_gain`` is our macro AUROC less its own, resample by resample."""

    macro_auroc: Estimate
    macro_gain: Estimate
    labels: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a label's plots: mean probability and share of positives of each bin; recall, wherever it rises, and its precision."""

    probability: Sequence[float]
    share: Sequence[float]
    recall: Sequence[float]
    precision: Sequence[float]


@dataclass(frozen=True, slots=True)
class Headline:
    """The figures of a set of items. ``macro_auroc`` is the mean over the five motives, NaN unless all of them have one.

    ``false_positives`` is by kind of item, then by label; ``curves`` holds goal_guarding and the motives, as far as calibrated.
    """

    n: int
    scenarios: int
    macro_auroc: Estimate
    labels: Mapping[str, LabelFigures]
    outcome: OutcomeFigures | None
    baselines: Mapping[str, BaselineFigures]
    false_positives: Mapping[str, Mapping[str, Rate]]
    curves: Mapping[str, Curve]


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


@dataclass(frozen=True, slots=True)
class Stratum:
    """Ranking of goal_guarding among the items of one scenario or style; NaN where they are all of one class."""

    n: int
    positives: int
    auroc: float


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


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """How often a motive's best unit touches a gold span of it; ``chance`` is the share that a unit drawn at random would reach."""

    rate: Rate
    chance: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured in one run. ``unseen`` is the headline, ``full_traces`` the same for items of at least FULL_TRACE words.

    ``label_origin`` and ``text_origin`` count items; ``uncalibrated`` maps a label without figures to the number of groups that could
    calibrate it; ``unscored`` counts items without reasoning, which no figure includes.
    """

    folds: int
    groups: int
    resamples: int
    seed: int
    unscored: int
    label_origin: Mapping[str, int]
    text_origin: Mapping[str, int]
    uncalibrated: Mapping[str, int]
    unseen: Headline
    full_traces: Headline
    pairs: PairFigures
    lengths: LengthFigures
    scenarios: Mapping[str, Stratum]
    styles: Mapping[str, Stratum]
    evidence: Mapping[str, EvidenceFigures]

    def to_json(self) -> dict[str, Any]:
        """Plain values for evaluation.json, floats to five places, NaN as None."""
        value: dict[str, Any] = _plain(asdict(self))
        return value


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
class Pair:
    """Indices of the two items of a minimal pair, the one that must score higher first (either, in STYLE_CONTRAST)."""

    high: int
    low: int
    number: int
    label: str


def evaluate(
    examples: Sequence[Example],
    scores: Sequence[UnitScores],
    columns: Columns,
    folds: Sequence[Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    groups: int = GROUPS,
    seed: int = 0,
) -> Evaluation:
    """Evaluate out-of-fold ``scores`` of labelled items; ``folds`` are those that the scores came from, and the baselines use them too.

    Raises ValueError where scores and examples differ in number, the folds leave a scenario out, or there is only one scenario.
    """
    scenarios = {example.gold.scenario for example in examples}
    if len(scores) != len(examples) or len(scenarios) < 2 or scenarios - {name for fold in folds for name in fold}:
        raise ValueError("every example needs its out-of-fold scores, its scenario a fold, and another scenario to learn from")
    kept = [i for i, score in enumerate(scores) if (score.channels == "reasoning").any()]
    unscored = len(examples) - len(kept)
    examples, scores = [examples[i] for i in kept], [scores[i] for i in kept]
    golds, names = [example.gold for example in examples], _names(columns.labels)
    truths = {name: np.array([truth(gold, name, columns.labels) for gold in golds]) for name in names}
    weights = resample([gold.scenario for gold in golds], resamples, seed)
    answers = cross_fit(examples, scores, columns, groups, seed)
    sample = Sample(columns.labels, golds, weights, answers, truths, baselines(examples, folds, truths))
    raw = {name: _raw(scores, name, columns) for name in names if name in columns.names}
    return Evaluation(
        folds=len(folds),
        groups=groups,
        resamples=resamples,
        seed=seed,
        unscored=unscored,
        label_origin=_count(gold.label_origin for gold in golds),
        text_origin=_count(str(gold.transcript.metadata.get("text_origin", "unknown")) for gold in golds),
        uncalibrated=answers.uncalibrated,
        unseen=headline(sample),
        full_traces=headline(sample.take(np.array([example.words >= FULL_TRACE for example in examples]))),
        pairs=pair_figures(sample, raw),
        lengths=length_figures(sample, np.array([int((score.channels == "reasoning").sum()) for score in scores])),
        scenarios=strata(sample, [gold.scenario for gold in golds]),
        styles=strata(sample, [gold.style for gold in golds]),
        evidence={name: evidence_figures(examples, scores, name) for name in columns.labels.names("motive")},
    )


def _names(labels: LabelSet) -> tuple[str, ...]:
    """Everything that may be calibrated, in the order of the report."""
    groups: tuple[LabelGroup, ...] = ("behaviour", "other_reason", "attribute")
    return (*labels.names("motive"), GATE, FAKING, *(name for group in groups for name in labels.names(group)))


def _raw(scores: Sequence[UnitScores], name: str, columns: Columns) -> Vector:
    return np.array([pooled_score(score, name, columns.channels(name))[0] for score in scores])


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def headline(sample: Sample) -> Headline:
    """Figures of all items of a sample."""
    probabilities, truths = sample.probabilities, sample.truths
    motives = sample.labels.names("motive")
    own = macro_auroc(sample, probabilities)
    return Headline(
        n=len(sample.golds),
        scenarios=len({gold.scenario for gold in sample.golds}),
        macro_auroc=Estimate.of(own),
        labels={name: label_figures(sample.weights, values, truths[name]) for name, values in sample.answers.labels.items()},
        outcome=outcome_figures(sample.weights, sample.answers.outcome, [gold.outcome for gold in sample.golds], sample.labels),
        baselines={name: _baseline_figures(sample, scores, own) for name, scores in sample.baselines.items()},
        false_positives=false_positives(sample),
        curves={name: curve(probabilities[name], truths[name]) for name in (GATE, *motives) if name in probabilities},
    )


def _baseline_figures(sample: Sample, scores: Mapping[str, Vector], ours: Vector) -> BaselineFigures:
    found = {name: ranking(sample.weights, scores[name], sample.truths[name]) for name in sample.answers.labels}
    labels = {name: {figure: Estimate.of(values) for figure, values in figures.items()} for name, figures in found.items()}
    macro = macro_auroc(sample, scores)
    return BaselineFigures(Estimate.of(macro), Estimate.of(ours - macro), labels)


def macro_auroc(sample: Sample, scores: Mapping[str, Vector]) -> Vector:
    """Mean AUROC of the five motives, shape (1 + resamples,); NaN where one of them has none."""
    missing = np.full(len(sample.weights), np.nan)
    each = [
        ranking(sample.weights, scores[name], sample.truths[name])["auroc"] if name in scores else missing
        for name in sample.labels.names("motive")
    ]
    mean: Vector = np.mean(each, axis=0)
    return mean


def resample(scenarios: Sequence[str], resamples: int, seed: int) -> Vector:
    """How often each item counts, shape (1 + resamples, items): once in the sample, then as often as its scenario was drawn.

    Scenarios are drawn with replacement, as many as there are: the cluster bootstrap (Davison and Hinkley 1997, section 3.8).
    """
    names, codes = np.unique(scenarios, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    counts: Vector = np.vstack([np.ones(len(names)), drawn])
    return counts[:, codes]


def cross_fit(examples: Sequence[Example], scores: Sequence[UnitScores], columns: Columns, groups: int, seed: int) -> Answers:
    """Answers to each item by calibrations fitted on the other groups' out-of-fold scores.

    A label counts only where every group could calibrate it: the groups that cannot are those whose own items hold its positives, so
    that figures over the rest would flatter.
    """
    labels = {name: np.full((len(examples), 4), np.nan) for name in _names(columns.labels)}
    outcome = np.full((len(examples), len(columns.labels.names("outcome"))), np.nan)
    fitted_in: Counter[str] = Counter()
    folds = scenario_folds(examples, groups, seed)
    for fold in folds:
        others = [i for i, example in enumerate(examples) if example.gold.scenario not in fold]
        fitted = fit_calibration([examples[i] for i in others], [scores[i] for i in others], columns)
        fitted_in.update(fitted.labels.keys())
        for i in sorted(set(range(len(examples))) - set(others)):
            found, outcome[i] = _answer(scores[i], fitted, columns)
            for name, probability in found.items():
                edges = fitted.labels[name]
                labels[name][i] = probability, edges.absent, edges.threshold, edges.present
    missing = {name: fitted_in[name] for name in labels if fitted_in[name] < len(folds)}
    return Answers({name: values for name, values in labels.items() if name not in missing}, outcome, missing)


def _answer(score: UnitScores, fitted: Calibrated, columns: Columns) -> tuple[dict[str, float], Vector]:
    """Probabilities of labels and outcomes, as the pipeline derives them."""
    outcomes = columns.labels.names("outcome")
    named = fitted.outcome.probabilities(outcome_features(score, outcomes)) if fitted.outcome else dict.fromkeys(outcomes, math.nan)
    found = {
        name: calibration.probability(*pooled_score(score, name, columns.channels(name)))
        for name, calibration in fitted.labels.items()
        if name != FAKING
    }
    if FAKING in fitted.labels:
        parts = [found[part] for part in (GATE, "training_awareness", "own_preference")]
        found[FAKING] = fitted.labels[FAKING].probability(faking_score(parts, named), 1)
    return found, np.array([named[name] for name in outcomes])


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
    recall, specificity = _ratio(hits, positives), _ratio(n - positives - calls + hits, n - positives)
    found = {
        "precision": np.where(positives > 0, _ratio(hits, calls), np.nan),
        "recall": recall,
        "f1": np.where(positives > 0, _ratio(2 * hits, calls + positives), np.nan),
        "specificity": specificity,
        "g_mean_squared": recall * specificity,
        **ranking(weights, probability, wanted),
        "brier": _ratio(squares, n),
        "ece": calibration_error(weights, probability, wanted),
        "abstained": _ratio(n - decided, n),
        "error": _ratio(errors, decided),
    }
    return LabelFigures(len(wanted), int(wanted.sum()), {name: Estimate.of(values) for name, values in found.items()})


def _ratio(above: Vector, below: Vector) -> Vector:
    """NaN where there is nothing to divide by."""
    ratio: Vector = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio


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
        "auroc": _ratio(area, both * negatives),
        "average_precision": _ratio(steps, both),
        "recall_at_fpr_1": _ratio(quiet, both),
    }


def _cumulated(weights: Vector, score: Vector, wanted: Flags) -> tuple[Vector, Vector]:
    """Positives and negatives at or above each distinct score, highest first, after a zero. Shape (1 + resamples, 1 + distinct)."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.array([], dtype=np.int64)
    sums = [np.cumsum(weights[:, order] * kind[order], axis=1)[:, last] for kind in (wanted, ~wanted)]
    hits, alarms = (np.hstack([np.zeros((len(weights), 1)), each]) for each in sums)
    return hits, alarms


def _bins(probability: Vector) -> NDArray[np.int64]:
    """Equal-mass bin of each item, by rank."""
    ranks = np.empty(len(probability), dtype=np.int64)
    ranks[np.argsort(probability, kind="stable")] = np.arange(len(probability))
    bins: NDArray[np.int64] = ranks * BINS // max(len(probability), 1)
    return bins


def calibration_error(weights: Vector, probability: Vector, wanted: Flags) -> Vector:
    """Expected calibration error over equal-mass bins (Nguyen and O'Connor 2015), shape (1 + resamples,).

    The mean over items of |mean probability - share of positives| of the item's bin. Resamples keep the sample's bins. It is biased
    upwards in small samples, and the more so in resamples.
    """
    gaps = np.eye(BINS)[_bins(probability)] * (probability - wanted)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


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
    return OutcomeFigures(len(wanted), Estimate.of(_ratio(right, total)), Estimate.of(_ratio(losses, total)), majority, confusion)


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


def pair_wins(pairs: Sequence[Pair], scores: Mapping[str, Vector]) -> Flags:
    """Whether the high side scores higher, shape (pairs,)."""
    return np.array([scores[pair.label][pair.high] > scores[pair.label][pair.low] for pair in pairs], dtype=bool)


def pair_accuracy(pairs: Sequence[Pair], scores: Mapping[str, Vector], weights: Vector) -> Vector:
    """Share of pairs won, shape (1 + resamples,). A pair counts as often as the scenario of its high side was drawn."""
    drawn = weights[:, [pair.high for pair in pairs]]
    return _ratio(drawn @ pair_wins(pairs, scores), drawn.sum(axis=1))


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


def strata(sample: Sample, of: Sequence[str]) -> dict[str, Stratum]:
    """Ranking of goal_guarding by stratum, in the order of their names; empty where it is not calibrated."""
    found = {}
    for name in sorted(set(of)) if GATE in sample.answers.labels else ():
        chosen = np.array(of) == name
        wanted = sample.truths[GATE][chosen]
        auroc = ranking(np.ones((1, len(wanted))), sample.probabilities[GATE][chosen], wanted)["auroc"]
        found[name] = Stratum(len(wanted), int(wanted.sum()), float(auroc[0]))
    return found


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


def _overlaps(evidence: Evidence, spans: Sequence[Span]) -> bool:
    return any(evidence.start < span.end and span.start < evidence.end for span in spans)


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


def baselines(examples: Sequence[Example], folds: Sequence[Sequence[str]], truths: Mapping[str, Flags]) -> dict[str, dict[str, Vector]]:
    """Out-of-fold scores (log odds) of both baselines by label, shape (items,): logistic regressions on the labels of whole transcripts.

    TFIDF reads word 1- and 2-grams of the whole reasoning, MEAN the mean embedding of its units.
    """
    scenarios = np.array([example.gold.scenario for example in examples])
    found: dict[str, dict[str, Vector]] = {baseline: {name: np.zeros(len(examples)) for name in truths} for baseline in BASELINES}
    for fold in folds:
        held = np.isin(scenarios, fold)
        for baseline, features in (_tfidf(examples, held), _means(examples)) if held.any() else ():
            for name, wanted in truths.items():
                found[baseline][name][held] = _log_odds(features, wanted, held, BASELINES[baseline])
    return found


def _tfidf(examples: Sequence[Example], held: Flags) -> tuple[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["\n".join(segment.text for _, segment in example.gold.transcript.segments("reasoning")) for example in examples]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    vectorizer.fit([text for text, unseen in zip(texts, held, strict=True) if not unseen])
    return TFIDF, vectorizer.transform(texts)


def _means(examples: Sequence[Example]) -> tuple[str, Any]:
    return MEAN, np.stack([example.embeddings[example.channels == "reasoning"].mean(axis=0) for example in examples])


def _log_odds(features: Any, wanted: Flags, held: Flags, penalty: float) -> Vector:
    """Log odds of the held-out items; zeros where the others are all of one class."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(wanted[~held])) < 2:
        return np.zeros(int(held.sum()))
    model = LogisticRegression(C=penalty, class_weight="balanced", solver="liblinear", dual=True, max_iter=5000, random_state=0)
    found: Vector = model.fit(features[~held], wanted[~held]).decision_function(features[held])
    return found


def _plain(value: Any) -> Any:
    """Mappings, lists and numbers without NaN, ready for JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
