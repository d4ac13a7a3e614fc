"""Fit heads on units, and calibrations on transcripts scored out of fold. scikit-learn fits; the results are plain arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import Calibration, Calibrations, OutcomeModel
from classifier.encoders import Encoder
from classifier.heads import Heads, pool
from classifier.labels import LabelSet
from classifier.lexical import Lexicon
from classifier.reading import CONSIDERED, DERIVED, FAKING, GATE, GATE_HEAD, UnitScores, best_link_score, channels, outcome_features, read
from classifier.records import GoldLabel
from classifier.training.examples import Columns, Example, embed, is_ordinary, link_of, truth

_log = logging.getLogger(__name__)

MINIMUM_POSITIVES = 25
"""Items that must carry a label before a head for it ships: with fewer, calibration is noise."""

MINIMUM_AUROC = 0.75
"""Out-of-fold AUROC below which a label does not ship: a reader takes what is answered for something that was read."""

MISSED = 0.1
"""Share of a label's positives that may be called absent."""

PRECISION = 0.8
FEWEST = 5
"""Share of right ones among those called present, and the fewest of these that it may be told from."""

FULL_TRACE = 150
"""Words of reasoning from which an item counts as a full trace rather than a passage."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a training run may vary; it is written into the manifest.

    ``epochs`` (0 leaves the encoder frozen) and the learning ``rate`` are the fine-tuning's; ``penalty`` is scikit-learn's C;
    ``dense_weight`` and ``lexical_weight`` scale the two halves of a unit's features; ``folds`` counts the groups of scenarios scored by
    models that never saw them (0: one scenario each). ``drift`` is the most that int8 may move a probability on the golden transcripts:
    beyond it the float graph ships, at twice the time.
    """

    base: str = "all-MiniLM-L6-v2"
    epochs: int = 3
    rate: float = 5e-5
    penalty: float = 0.3
    dense_weight: float = 1.0
    lexical_weight: float = 3.0
    minimum_units: int = 3
    terms: int = 20_000
    folds: int = 5
    drift: float = 0.02
    seed: int = 0


def fit_heads(examples: Sequence[Example], columns: Columns, config: Config) -> tuple[Lexicon, Heads]:
    """One logistic regression per column over [embedding, TF-IDF] of every usable unit; zero weights where a column has no positives."""
    from scipy import sparse

    units = [unit for example in examples for unit in example.cut.units]
    lexicon = Lexicon.fit(units, config.minimum_units, config.terms)
    starts, terms, values = lexicon.rows(units)
    words = sparse.csr_matrix((values, terms, starts), shape=(len(units), len(lexicon.terms)))
    dense = np.concatenate([example.embeddings for example in examples])
    features = sparse.hstack([sparse.csr_matrix(dense * config.dense_weight), words * config.lexical_weight]).tocsr().astype(np.float32)
    wanted = np.concatenate([example.targets for example in examples])
    weights = np.zeros((features.shape[1] + 1, len(columns.names)), dtype=np.float32)
    for column in range(len(columns.names)):
        usable = wanted[:, column] >= 0
        weights[:, column] = _logistic(features[usable], wanted[usable, column], config)
    width = dense.shape[1]
    dense_weights = (weights[:width] * config.dense_weight).astype(np.float32)
    # float16 is what the bundle stores: calibration must see the same weights.
    lexical_weights = (weights[width:-1] * config.lexical_weight).astype(np.float16).astype(np.float32)
    return lexicon, Heads(columns.names, dense_weights, lexical_weights, weights[-1])


def _logistic(features: Any, wanted: NDArray[np.int8], config: Config) -> NDArray[np.float64]:
    """Weights and, last, the bias."""
    from sklearn.linear_model import LogisticRegression

    if wanted.sum() < 2 or wanted.sum() == len(wanted):
        return np.zeros(features.shape[1] + 1)
    model = LogisticRegression(C=config.penalty, class_weight="balanced", tol=1e-3, max_iter=300)
    model.fit(features, wanted)
    return cast(NDArray[np.float64], np.append(model.coef_[0], model.intercept_[0]))


def unit_scores(example: Example, lexicon: Lexicon, heads: Heads) -> UnitScores:
    """Raw scores of an encoded item, exactly as the pipeline computes them."""
    return UnitScores(heads.names, heads.scores(example.embeddings, example.cut.units, lexicon), example.channels)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one training gave: the encoder as it will serve, the lexicon and the heads."""

    encoder: Encoder
    lexicon: Lexicon
    heads: Heads

    def scores(self, examples: Sequence[Example]) -> list[UnitScores]:
        """Raw scores of items, exactly as the pipeline computes them. Encodes them anew."""
        return [unit_scores(example, self.lexicon, self.heads) for example in embed(examples, self.encoder)]


Learn = Callable[[Sequence[Example]], Learnt]


def out_of_fold(examples: Sequence[Example], folds: Sequence[Sequence[str]], learn: Learn) -> list[UnitScores]:
    """Each item's raw scores by a model that never saw its scenario. ``folds`` partitions the scenarios."""
    scores: dict[int, UnitScores] = {}
    for number, fold in enumerate(folds, start=1):
        _log.info("Fold %d of %d: a model that has not seen %s", number, len(folds), ", ".join(fold))
        learnt = learn([example for example in examples if example.gold.scenario not in fold])
        held = [i for i, example in enumerate(examples) if example.gold.scenario in fold]
        scores.update(zip(held, learnt.scores([examples[i] for i in held]), strict=True))
    if len(scores) != len(examples):
        raise ValueError("folds must cover every scenario of the examples")
    return [scores[i] for i in range(len(examples))]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibrations, and the labels left ``untrained``: with too few positives, or ranked too badly on unseen scenarios."""

    calibrations: Calibrations
    untrained: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Items to calibrate on, each with its out-of-fold scores; those of a lengthened item (see ``lengthened``) are of several.

    The first ``items`` stand for themselves alone.
    """

    golds: Sequence[Sequence[GoldLabel]]
    scores: Sequence[UnitScores]
    items: int
    labels: LabelSet

    def truths(self, name: str) -> NDArray[np.bool_]:
        """Whether each carries the label, shape (scores,)."""
        return np.array([any(truth(gold, name, self.labels) for gold in golds) for golds in self.golds])


def fit_calibration(
    examples: Sequence[Example], scores: Sequence[UnitScores], columns: Columns, shipped: Collection[str] | None = None
) -> Calibrated:
    """Calibrate every label on items scored out of fold: full traces and passages, as they are and lengthened.

    Minimal pairs are no sample of any field and stay out. A label ships with MINIMUM_POSITIVES of these items and MINIMUM_AUROC;
    ``shipped`` names those that passed already, where their calibrations are fitted on other items for evaluation.
    """
    sample = lengthened(examples, scores, columns)
    fitted: dict[str, Calibration] = {}
    for name in (n for n in columns.names if n not in (*columns.labels.names("outcome"), CONSIDERED)):
        pooled = [pooled_score(score, name, columns.labels) for score in sample.scores]
        key = GATE_HEAD if name == GATE else name
        found = _fit([score for score, _ in pooled], [units for _, units in pooled], sample.truths(name), sample.items, shipped, key)
        fitted |= {key: found} if found else {}
    fitted |= _fit_link(sample, shipped)
    outcome = _fit_outcome(sample)
    for name, derive in DERIVED.items():
        readings = [read(score, columns.labels, Calibrations(fitted, outcome)) for score in sample.scores]
        raw = [score for reading in readings if (score := derive(reading.labels, reading.outcome)) is not None]
        found = _fit(raw, [1] * len(raw), sample.truths(name), sample.items, shipped, name) if raw else None
        fitted |= {name: found} if found else {}
    wanted = [name for name in columns.names if name not in columns.labels.names("outcome")]
    return Calibrated(Calibrations(fitted, outcome), tuple(name for name in (*wanted, FAKING) if name not in fitted))


def lengthened(examples: Sequence[Example], scores: Sequence[UnitScores], columns: Columns) -> Sample:
    """The items that are no minimal pairs; then each of the passages once more, its reasoning lengthened by that of two ordinary traces.

    The decisive sentence of the field's long traces is one among very many; here, where most of the corpus is short, length and motives
    would go together. What is joined carries the labels of all its parts.
    """
    chosen = [i for i, example in enumerate(examples) if example.gold.pair_id is None]
    ordinary = [i for i in chosen if examples[i].gold.words >= FULL_TRACE and is_ordinary(examples[i].gold, columns.labels)]
    passages = [i for i in chosen if examples[i].gold.words < FULL_TRACE] if len(ordinary) > 1 else []
    draw = np.random.default_rng(0)
    joined = [(i, *draw.choice(ordinary, 2, replace=False).tolist()) for i in passages]
    parts = [*((i,) for i in chosen), *joined]
    golds = [[examples[i].gold for i in part] for part in parts]
    return Sample(golds, [_joined([scores[i] for i in part]) for part in parts], len(chosen), columns.labels)


def _joined(scores: Sequence[UnitScores]) -> UnitScores:
    """The first one's units, then the others' reasoning."""
    first, *others = scores
    reasoning = [score.chosen("reasoning") for score in others]
    values = [score.values[units] for score, units in zip(others, reasoning, strict=True)]
    channels = [score.channels[units] for score, units in zip(others, reasoning, strict=True)]
    return UnitScores(first.names, np.concatenate([first.values, *values]), np.concatenate([first.channels, *channels]))


def pooled_score(scores: UnitScores, name: str, labels: LabelSet) -> tuple[float, int]:
    """A label's pooled score and the number of units that it was pooled from."""
    values, _ = scores.column(name, *channels(name, labels))
    return float(pool(values[:, None])[0]), len(values)


def _fit(
    scores: Sequence[float], units: Sequence[int], wanted: NDArray[np.bool_], items: int, shipped: Collection[str] | None, name: str
) -> Calibration | None:
    """The label's calibration, if it may ship."""
    from sklearn.metrics import roc_auc_score

    positives = int(wanted[:items].sum())
    if shipped is not None:
        may = name in shipped and 0 < positives < items
    else:
        may = positives >= MINIMUM_POSITIVES and roc_auc_score(wanted[:items], scores[:items]) >= MINIMUM_AUROC
    return fit_label(scores, units, wanted, items) if may else None


def fit_label(scores: Sequence[float], units: Sequence[int], wanted: NDArray[np.bool_], items: int | None = None) -> Calibration:
    """Platt scaling with a length term that may only lower (see Calibration), then the decision's edges on the first ``items``."""
    x = np.column_stack([scores, np.log(np.maximum(units, 1))])
    slope, length, offset = _platt(x, wanted)
    if length > 0 or slope <= 0:
        slope, offset = _platt(x[:, :1], wanted)
        length = 0.0
    bare = Calibration(max(slope, 1e-3), length, max(units), offset, 0.5, 0.5, 0.5)
    probabilities = np.array([bare.probability(s, n) for s, n in zip(scores, units, strict=True)])
    absent, threshold, present = edges(probabilities[:items], wanted[:items])
    return replace(bare, absent=absent, threshold=threshold, present=present)


def _platt(x: NDArray[np.float64], wanted: NDArray[np.bool_]) -> tuple[float, ...]:
    """Slopes and offset by logistic regression on Platt's smoothed targets (Platt 1999), as weights of both classes."""
    from sklearn.linear_model import LogisticRegression

    positives, negatives = int(wanted.sum()), int((~wanted).sum())
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    soft = np.where(wanted, high, low)
    both = np.concatenate([x, x])
    labels = np.repeat([1, 0], len(x))
    model = LogisticRegression(C=1e3, max_iter=1000).fit(both, labels, sample_weight=np.concatenate([soft, 1 - soft]))
    return (*model.coef_[0].tolist(), float(model.intercept_[0]))


def edges(probabilities: NDArray[np.float64], wanted: NDArray[np.bool_]) -> tuple[float, float, float]:
    """(absent, threshold, present): the threshold of best F1, and around it the band in which neither answer is sure enough.

    Below ``absent`` lie MISSED of the positives; at or above ``present``, PRECISION of the items are positives, and it is no less than a
    half. Where no probability gives that, ``present`` is 1. What lies between abstains, however much it is.
    """
    candidates = np.unique(probabilities)
    f1 = [2 * (wanted & (probabilities >= t)).sum() / (wanted.sum() + (probabilities >= t).sum()) for t in candidates]
    best = int(np.argmax(f1))
    threshold = float(candidates[best] + candidates[max(best - 1, 0)]) / 2
    absent = min(threshold, float(np.quantile(probabilities[wanted], MISSED)))
    called = {t: wanted[probabilities >= t] for t in candidates if t >= max(threshold, 0.5)}
    sure = [float(t) for t, right in called.items() if len(right) >= FEWEST and right.mean() >= PRECISION]
    return absent, threshold, min(sure, default=1.0)


def _fit_outcome(sample: Sample) -> OutcomeModel | None:
    from sklearn.linear_model import LogisticRegression

    outcomes = sample.labels.names("outcome")
    decided = [(gold.outcome, score) for (gold, *_), score in zip(sample.golds[: sample.items], sample.scores, strict=False)]
    decided = [(outcome, score) for outcome, score in decided if outcome in outcomes]
    if len({outcome for outcome, _ in decided}) < 2:
        return None
    features = np.array([outcome_features(score, sample.labels) for _, score in decided])
    model = LogisticRegression(C=0.1, max_iter=1000).fit(features, [outcomes.index(outcome) for outcome, _ in decided])
    weights = np.zeros((features.shape[1], len(outcomes)))
    bias = np.full(len(outcomes), -20.0)  # an outcome that no item has is all but impossible
    for row, outcome in enumerate(model.classes_):
        weights[:, outcome] = model.coef_[row] if len(model.classes_) > 2 else model.coef_[0] * (1 if row else -1) / 2
        bias[outcome] = model.intercept_[row] if len(model.classes_) > 2 else model.intercept_[0] * (1 if row else -1) / 2
    return OutcomeModel(outcomes, weights, bias)


def _fit_link(sample: Sample, shipped: Collection[str] | None) -> dict[str, Calibration]:
    """Whether a motive is merely considered, from the link head's score on the motive's best unit: each motive of each item once."""
    raw, wanted = [], []
    for (gold, *_), score in zip(sample.golds[: sample.items], sample.scores, strict=False):
        for name in sample.labels.names("motive"):
            if (link := link_of(gold, name)) is not None:
                raw.append(best_link_score(score, name))
                wanted.append(link == "considered")
    found = _fit(raw, [1] * len(raw), np.array(wanted, dtype=bool), len(raw), shipped, CONSIDERED) if raw else None
    return {CONSIDERED: found} if found else {}
