"""How well a classifier does on scenarios that it never saw, beside two baselines in the same run.

On the development scenarios every answer is out of fold twice: neither encoder and heads nor the calibration were fitted on the item's
scenario (though the scores that a calibration is fitted on come from models that may have seen it, and which labels ship is decided on all
items). On the test scenarios the model answers as it ships. Intervals are 95 % percentile intervals of a bootstrap that resamples
scenarios, because items of one scenario resemble each other. All figures share the resamples, so differences between them are paired.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from classifier.bundle import BundleError
from classifier.bundle import load as load_bundle
from classifier.calibration import Calibration, Calibrations
from classifier.evaluation.baselines import baselines
from classifier.evaluation.figures import (
    Alarms,
    Answers,
    EvidenceFigures,
    LabelFigures,
    LengthFigures,
    LinkFigures,
    OutcomeFigures,
    PrimaryFigures,
    Sample,
    Stratum,
    evidence_figures,
    false_alarms,
    label_figures,
    length_figures,
    link_figures,
    outcome_figures,
    primary_figures,
    strata,
)
from classifier.evaluation.pairs import PairFigures, pair_figures
from classifier.evaluation.statistics import Curve, Estimate, Flags, Vector, curve, ranking, resample
from classifier.labels import LabelSet
from classifier.reading import CONSIDERED, FAKING, GATE, Reading, Readings, UnitScores, decide, primary, read
from classifier.records import GoldLabel, LabelGroup
from classifier.training.corpus import CorpusError
from classifier.training.corpus import load as load_items
from classifier.training.examples import Columns, Example, embed, encode, prepare, scenario_folds, truth
from classifier.training.fitting import FULL_TRACE, Learnt, fit_calibration, pooled_score
from classifier.training.out_of_fold import OUT_OF_FOLD, OutOfFold, corpus_sha256
from classifier.training.train import OPENINGS

RESAMPLES = 1000
GROUPS = 8
"""Groups of scenarios over which the calibration is cross-fitted."""


@dataclass(frozen=True, slots=True)
class BaselineFigures:
    """A baseline on the same items and folds. ``macro_gain`` is our macro AUROC less its own, resample by resample."""

    macro_auroc: Estimate
    macro_gain: Estimate
    labels: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Headline:
    """The figures of a set of items. ``macro_auroc`` is the mean over the five motives, NaN unless all of them have one.

    ``false_alarms`` is by kind of item, then by label; ``curves`` holds goal_guarding and the motives, as far as calibrated.
    """

    n: int
    scenarios: int
    macro_auroc: Estimate
    labels: Mapping[str, LabelFigures]
    outcome: OutcomeFigures | None
    primary: PrimaryFigures
    baselines: Mapping[str, BaselineFigures]
    false_alarms: Mapping[str, Mapping[str, Alarms]]
    curves: Mapping[str, Curve]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured in one run. ``unseen`` is the headline, ``full_traces`` the same for items of at least FULL_TRACE words.

    ``split`` is "development" (out of fold, over ``folds`` and ``groups``) or "test" (the model as it ships; neither means anything then).
    ``label_origin`` and ``text_origin`` count items; ``untrained`` labels have no figures, because they do not ship; ``unscored`` counts
    items without reasoning, which no figure includes.
    """

    split: str
    folds: int
    groups: int
    resamples: int
    seed: int
    unscored: int
    label_origin: Mapping[str, int]
    text_origin: Mapping[str, int]
    untrained: Sequence[str]
    unseen: Headline
    full_traces: Headline
    pairs: PairFigures
    lengths: LengthFigures
    scenarios: Mapping[str, Stratum]
    styles: Mapping[str, Stratum]
    evidence: Mapping[str, EvidenceFigures]
    link: LinkFigures | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for evaluation.json, floats to five places, NaN as None."""
        value: dict[str, Any] = plain(asdict(self))
        return value


def evaluate_model(folder: Path, corpus: Path) -> Evaluation:
    """Evaluate the model in ``folder`` by what training left there, on the items of ``corpus`` that it was trained on. Needs torch.

    The baseline of mean embeddings takes the base encoder as it was before any fine-tuning. Raises BundleError, which names the remedy,
    where the model or its out-of-fold scores are missing or damaged, or do not fit the corpus.
    """
    from classifier.encoders.sentence_transformer import TorchEncoder

    bundle, found = load_bundle(folder), OutOfFold.load(folder / OUT_OF_FOLD)
    golds = found.items([*load_items(corpus, "development"), *load_items(corpus, "calibration")])
    columns = Columns(bundle.labels)
    base = TorchEncoder.load(bundle.manifest["config"]["base"])
    examples = prepare(golds, base, columns)
    if not same_units(examples, found.scores):
        raise BundleError(f"{folder / OUT_OF_FOLD}: sentences are cut in another way now; train it again with `motives train`")
    return evaluate(embed(examples, base), found.scores, columns, found.folds)


def test_model(folder: Path, corpus: Path) -> Evaluation:
    """Open the test scenarios of ``corpus`` for the model in ``folder``, as it ships, and note that in OPENINGS beside it. Needs torch.

    Whoever tunes anything by these figures makes them worthless. Raises BundleError as ``evaluate_model``, CorpusError where no scenario
    is kept for the test.
    """
    from classifier.encoders.sentence_transformer import TorchEncoder

    bundle = load_bundle(folder)
    columns, base = Columns(bundle.labels), TorchEncoder.load(bundle.manifest["config"]["base"])
    opened = open_test(folder, corpus, "evaluation")
    scores = Learnt(bundle.encoder, bundle.lexicon, bundle.heads).scores(prepare(opened.held, bundle.encoder, columns))
    learnt, held = encode(opened.learnt, base, columns), encode(opened.held, base, columns)
    return evaluate_shipped(learnt, held, scores, columns, bundle.calibrations)


@dataclass(frozen=True, slots=True)
class Opened:
    """The items that a model ``learnt`` from, and those ``held`` back for its test."""

    learnt: Sequence[GoldLabel]
    held: Sequence[GoldLabel]


def open_test(folder: Path, corpus: Path, purpose: str) -> Opened:
    """The test items of ``corpus`` for the model in ``folder``. That they were opened, and what for, is noted in OPENINGS beside it.

    Raises BundleError and CorpusError as ``test_model``.
    """
    bundle, found = load_bundle(folder), OutOfFold.load(folder / OUT_OF_FOLD)
    learnt, held = found.items([*load_items(corpus), *load_items(corpus, "calibration")]), load_items(corpus, "test")
    if not held or {gold.scenario for gold in held} & {gold.scenario for gold in learnt}:
        raise CorpusError(f"{corpus}: its splits.toml keeps no scenario for the test, or one that the model learnt from")
    said = {
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "for": purpose,
        "model": bundle.sha256,
        "items": len(held),
        "items_sha256": corpus_sha256(held),
    }
    with (folder / OPENINGS).open("a", encoding="utf-8") as log:
        log.write(json.dumps(said) + "\n")
    return Opened(learnt, held)


def same_units(examples: Sequence[Example], scores: Sequence[UnitScores]) -> bool:
    """Whether the scores are of the examples' units, by number and channel."""
    return [example.channels.tolist() for example in examples] == [score.channels.tolist() for score in scores]


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

    Raises ValueError where the scores are not those of the examples' units, the folds leave a scenario out, or there is only one.
    """
    scenarios = {example.gold.scenario for example in examples}
    if not same_units(examples, scores) or len(scenarios) < 2 or scenarios - {name for fold in folds for name in fold}:
        raise ValueError("every unit needs its out-of-fold scores, every scenario a fold, and another scenario to learn from")
    kept = [i for i, score in enumerate(scores) if (score.channels == "reasoning").any()]
    unscored = len(examples) - len(kept)
    examples, scores = [examples[i] for i in kept], [scores[i] for i in kept]
    shipped = fit_calibration(examples, scores, columns).calibrations.labels.keys()
    answers = cross_fit(examples, scores, columns, shipped, groups, seed)
    fitted = baselines(examples, folds, _truths(examples, columns.labels))
    found = _measured(examples, scores, columns, shipped, answers, fitted, resamples, seed)
    return replace(found, folds=len(folds), groups=groups, unscored=unscored)


def evaluate_shipped(
    learnt: Sequence[Example],
    test: Sequence[Example],
    scores: Sequence[UnitScores],
    columns: Columns,
    calibrations: Calibrations,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate the ``scores`` that a model gave to ``test`` items of scenarios that it never saw, by its own ``calibrations``.

    The baselines are fitted on the items that it learnt from. Raises ValueError where a scenario is among both.
    """
    if {example.gold.scenario for example in learnt} & (scenarios := {example.gold.scenario for example in test}):
        raise ValueError("a scenario is among what was learnt and what is to test it")
    every = [*learnt, *test]
    fitted = baselines(every, [sorted(scenarios)], _truths(every, columns.labels))
    own = {baseline: {name: values[len(learnt) :] for name, values in found.items()} for baseline, found in fitted.items()}
    answers = _answers([(read(score, columns.labels, calibrations), calibrations) for score in scores], columns.labels)
    return replace(_measured(test, scores, columns, calibrations.labels.keys(), answers, own, resamples, seed), split="test")


def _truths(examples: Sequence[Example], labels: LabelSet) -> dict[str, Flags]:
    return {name: np.array([truth(example.gold, name, labels) for example in examples]) for name in _names(labels)}


def _measured(
    examples: Sequence[Example],
    scores: Sequence[UnitScores],
    columns: Columns,
    shipped: Collection[str],
    answers: Answers,
    fitted: Mapping[str, Mapping[str, Vector]],
    resamples: int,
    seed: int,
) -> Evaluation:
    """All figures of items with their answers and the scores of the baselines."""
    golds, names = [example.gold for example in examples], _names(columns.labels)
    weights = resample([gold.scenario for gold in golds], resamples, seed)
    sample = Sample(columns.labels, golds, weights, answers, _truths(examples, columns.labels), fitted)
    raw = {name: _raw(scores, name, columns) for name in names if name in scores[0].names}
    return Evaluation(
        split="development",
        folds=0,
        groups=0,
        resamples=resamples,
        seed=seed,
        unscored=0,
        label_origin=_count(gold.label_origin for gold in golds),
        text_origin=_count(str(gold.transcript.metadata.get("text_origin", "unknown")) for gold in golds),
        untrained=[name for name in (*names, CONSIDERED) if name not in shipped],
        unseen=headline(sample),
        full_traces=headline(sample.take(np.array([example.gold.words >= FULL_TRACE for example in examples]))),
        pairs=pair_figures(sample, raw),
        lengths=length_figures(sample, np.array([int((score.channels == "reasoning").sum()) for score in scores])),
        scenarios=strata(sample, [gold.scenario for gold in golds]),
        styles=strata(sample, [gold.style for gold in golds]),
        evidence={name: evidence_figures(examples, scores, name) for name in columns.labels.names("motive")},
        link=link_figures(sample),
    )


def _names(labels: LabelSet) -> tuple[str, ...]:
    """Everything that may be calibrated, in the order of the report."""
    groups: tuple[LabelGroup, ...] = ("behaviour", "other_reason", "attribute")
    return (*labels.names("motive"), GATE, FAKING, *(name for group in groups for name in labels.names(group)))


def _raw(scores: Sequence[UnitScores], name: str, columns: Columns) -> Vector:
    return np.array([pooled_score(score, name, columns.labels)[0] for score in scores])


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
        primary=primary_figures(sample),
        baselines={name: _baseline_figures(sample, scores, own) for name, scores in sample.baselines.items()},
        false_alarms=false_alarms(sample),
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


def cross_fit(
    examples: Sequence[Example], scores: Sequence[UnitScores], columns: Columns, shipped: Collection[str], groups: int, seed: int
) -> Answers:
    """Answers to each item by calibrations fitted on the other groups' out-of-fold scores, for the labels ``shipped``.

    A label that some group could not calibrate, for want of any positives elsewhere, has no answers.
    """
    found: dict[int, tuple[Readings, Calibrations]] = {}
    for fold in track(scenario_folds(examples, groups, seed), description="Calibrating"):
        held = {i for i, example in enumerate(examples) if example.gold.scenario in fold}
        others = [i for i in range(len(examples)) if i not in held]
        fitted = fit_calibration([examples[i] for i in others], [scores[i] for i in others], columns, shipped).calibrations
        found |= {i: (read(scores[i], columns.labels, fitted), fitted) for i in held}
    return _answers([found[i] for i in range(len(examples))], columns.labels)


def _answers(every: Sequence[tuple[Readings, Calibrations]], labels: LabelSet) -> Answers:
    """The readings of all items, each with the calibrations that it was read by. What not all of them hold is left out."""
    names = [name for name in _names(labels) if all(name in readings.labels for readings, _ in every)]
    found = {name: np.array([_answer(readings.labels[name], fitted.labels[name]) for readings, fitted in every]) for name in names}
    nothing = dict.fromkeys(labels.names("outcome"), math.nan)
    outcome = np.array([list((readings.outcome or nothing).values()) for readings, _ in every])
    linked = labels.names("motive") if all(readings.considered for readings, _ in every) else ()
    considered = {name: np.array([readings.considered[name] for readings, _ in every]) for name in linked}
    return Answers(found, outcome, [_primary(labels, *both) for both in every], considered)


def _answer(reading: Reading, edges: Calibration) -> tuple[float, float, float, float]:
    return reading.probability, edges.absent, edges.threshold, edges.present


def _primary(labels: LabelSet, readings: Readings, calibrations: Calibrations) -> str | None:
    decided = decide(readings, calibrations)
    return primary({name: decided.get(name) for name in labels.names("motive")})


def plain(value: Any) -> Any:
    """A record's mappings, lists and numbers without NaN, ready for JSON."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
